"""Features of whole sets, without gradient: what a frozen model says once and for all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gift.data.loader import PixelSet
from gift.vlm.model import VisionLanguageModel


@torch.no_grad()
def encode_all_images(
    model: VisionLanguageModel,
    pixels: PixelSet,
    *,
    positions: Sequence[int] | None = None,
    batch_size: int = 128,
) -> Tensor:
    """Unit features [N, D] of preprocessed images, uint8 [S, S, 3] each, on the model's device.

    Args:
        model: in evaluation mode.
        pixels: a set of images.
        positions: those to encode, in this order; all by default.
        batch_size: images encoded at a time; it bears on memory and speed only.
    """
    if positions is None:
        positions = range(len(pixels))
    starts = range(0, len(positions), batch_size)
    batches = [positions[start : start + batch_size] for start in starts]
    return torch.cat([model.encode_images(pixel_batch(model, pixels, batch)) for batch in batches])


def pixel_batch(model: VisionLanguageModel, pixels: PixelSet, positions: Sequence[int]) -> Tensor:
    """The images at these positions as the model takes them: float [B, 3, S, S], on its device."""
    array = np.stack([pixels[position] for position in positions])
    return model.preprocess.normalize(torch.from_numpy(array).to(model.device))


@torch.no_grad()
def encode_all_texts(
    model: VisionLanguageModel, tokens: Tensor, *, batch_size: int = 256
) -> Tensor:
    """Unit features [T, D] of token ids [T, L]."""
    return torch.cat([model.encode_texts(trim(model, part)) for part in tokens.split(batch_size)])


def trim(model: VisionLanguageModel, tokens: Tensor) -> Tensor:
    """Token ids [T, L] cut to the longest text among them, where the text tower is causal.

    A causal tower reads a text at its end token and never sees what follows, so embeddings and
    gradients stay the same.
    """
    if not model.has_causal_text_tower:
        return tokens
    ends = (tokens == model.tokenizer.eos_token_id).int().argmax(dim=1)
    return tokens[:, : int(ends.max()) + 1]
