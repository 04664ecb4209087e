"""Classification by class names: each class is the embedding of sentences about it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from gift.data.labels import LabelSpace
from gift.text import fill
from gift.vlm.model import VisionLanguageModel


@torch.no_grad()
def class_embeddings(
    model: VisionLanguageModel, labels: LabelSpace, *, batch_size: int = 256
) -> Tensor:
    """The zero-shot classifier of a task: w_c = normalise(mean over templates k of w_ck).

    Here w_ck is the unit embedding of template k filled with class c. The logits of unit image
    embeddings Z [B, D] are ``model.logit_scale * Z @ W.T``.

    Args:
        model: on any device.
        labels: C class names and their templates; all templates are used.
        batch_size: prompts encoded at a time; it bears on memory and speed only.

    Returns:
        Unit rows W [C, D] on the model's device, without gradient.
    """
    return F.normalize(mean_class_embeddings(model, labels, batch_size=batch_size), dim=-1)


@torch.no_grad()
def mean_class_embeddings(
    model: VisionLanguageModel, labels: LabelSpace, *, batch_size: int = 256
) -> Tensor:
    """The mean of each class's unit prompt embeddings over all templates: rows [C, D].

    Arguments as for :func:`class_embeddings`; the rows are shorter than 1.
    """
    prompts = [fill(template, name) for template in labels.templates for name in labels.classnames]
    distinct, position = _distinct(prompts)
    starts = range(0, len(distinct), batch_size)
    batches = [model.tokenize(distinct[start : start + batch_size]) for start in starts]
    embeddings = torch.cat([model.encode_texts(tokens) for tokens in batches])
    per_template = embeddings[position].view(len(labels.templates), len(labels.classnames), -1)
    return per_template.mean(dim=0)


def tokenize_unique(model: VisionLanguageModel, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Tokenises each distinct text once.

    ``model.encode_texts(tokens)[index]`` embeds all texts, with the gradients of encoding each.

    Args:
        model: whose tokenizer is used.
        texts: T texts, at least one.

    Returns:
        tokens: int64 [U, L], the U distinct texts in order of first occurrence.
        index: int64 [T], the row of each text. Both are on the model's device.
    """
    distinct, position = _distinct(texts)
    return model.tokenize(distinct), torch.tensor(position, device=model.device)


def _distinct(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """The distinct texts in order of first occurrence, and each text's position among them."""
    position = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    return list(position), [position[text] for text in texts]
