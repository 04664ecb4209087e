"""Features of whole sets, without gradient: what a frozen model says once and for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gift.vlm.model import VisionLanguageModel


@torch.no_grad()
def encode_all_images(
    model: VisionLanguageModel,
    pixels: np.ndarray[Any, np.dtype[np.uint8]],
    *,
    batch_size: int = 128,
) -> Tensor:
    """Unit features [N, D] of stored images, uint8 [N, S, S, 3], on the model's device."""
    features = [
        model.encode_images(
            model.preprocess.normalize(
                torch.from_numpy(pixels[start : start + batch_size].copy()).to(model.device)
            )
        )
        for start in range(0, len(pixels), batch_size)
    ]
    return torch.cat(features)


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
