"""Classification by class names: each class is the embedding of sentences about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from gift.data.labels import LabelSpace
from gift.text import fill
from gift.vlm.model import VisionLanguageModel

_SHOWN = 20


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

    Raises:
        ValueError: classes that are one to the model, see :func:`check_classes`.
    """
    check_classes(model, [labels])
    prompts = [fill(template, name) for template in labels.templates for name in labels.classnames]
    distinct, position = _distinct(prompts)
    starts = range(0, len(distinct), batch_size)
    batches = [model.tokenize(distinct[start : start + batch_size]) for start in starts]
    embeddings = torch.cat([model.encode_texts(tokens) for tokens in batches])
    per_template = embeddings[position].view(len(labels.templates), len(labels.classnames), -1)
    return per_template.mean(dim=0)


def check_classes(model: VisionLanguageModel, spaces: Sequence[LabelSpace]) -> None:
    """Refuse class names that a model reads alike, and templates that are cut before the name.

    Two classes whose prompts have the same tokens in every template have the same embedding,
    whatever is learned. That happens to names that differ in case alone, in how their accents are
    written, or only after the end of the model's context.

    Args:
        model: whose tokenizer is used.
        spaces: label spaces; each is looked at by itself.

    Raises:
        ValueError: classes that can never be told apart; all are named.
    """
    problems = [problem for labels in spaces for problem in _problems(model, labels)]
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ValueError("\n".join(problems[:_SHOWN] + more))


def read_alike(model: VisionLanguageModel, names: Iterable[str]) -> dict[str, str]:
    """Each class name, and the first of the names that a model reads as the same tokens.

    For classes of several tasks: those that a model reads alike are one class.
    """
    distinct = list(dict.fromkeys(names))
    first: dict[bytes, str] = {}
    keys = _token_keys(model, distinct)
    return {name: first.setdefault(key, name) for name, key in zip(distinct, keys, strict=True)}


def _problems(model: VisionLanguageModel, labels: LabelSpace) -> Iterator[str]:
    """What :func:`check_classes` refuses in one label space, a message each."""
    context = model.towers.config.text_config.max_position_embeddings
    cut = [template for template in labels.templates if _is_cut(model, template)]
    for template in cut:
        yield (
            f"{labels.name}: the model reads {context} tokens, which end before the '{{}}' of the "
            f"template {template!r}, so all classes are one to it; shorten the template."
        )
    if cut:
        return
    groups = [list(labels.classnames)]
    for template in labels.templates:
        groups = [
            alike for group in groups for alike in _alike(model, template, group) if len(alike) > 1
        ]
        if not groups:
            return
    for group in groups:
        named = ", ".join(map(repr, group[:_SHOWN]))
        more = f" and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
        yield (
            f"{labels.name}: the classes {named}{more} are one to the model: its tokenizer gives "
            f"them the same tokens (of a prompt it reads {context}), so no image "
            "can tell them apart. Merge them into one class, or give one of them another name."
        )


def _alike(model: VisionLanguageModel, template: str, names: Sequence[str]) -> list[list[str]]:
    """The names, grouped by the tokens that they give in a template."""
    groups: dict[bytes, list[str]] = {}
    keys = _token_keys(model, [fill(template, name) for name in names])
    for name, key in zip(names, keys, strict=True):
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def _is_cut(model: VisionLanguageModel, template: str) -> bool:
    return len(_alike(model, template, ("cat", "dog"))) == 1


def _token_keys(model: VisionLanguageModel, texts: Sequence[str]) -> list[bytes]:
    """What the model reads of each text; a causal tower reads it at its first end token."""
    tokens = model.tokenize(texts).cpu()
    if not model.has_causal_text_tower:
        return [row.numpy().tobytes() for row in tokens]
    is_end = tokens == model.tokenizer.eos_token_id
    ends = torch.where(is_end.any(dim=1), is_end.int().argmax(dim=1), tokens.shape[1])
    return [row[: end + 1].numpy().tobytes() for row, end in zip(tokens, ends, strict=True)]


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
