"""GIFT's published training step, plainly, on transformers' CLIP: what the library is measured by.

Nothing of the library is used. As in the official code, every text is padded to the whole context,
the teacher runs in every step, both losses' graphs are made before the first is run backward, the
penalty is built with autograd, and AdamW has its default form. Two things are better than there:
attention is transformers' fused kernel, and the teacher is the anchor of the penalty, too.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

Penalty = Literal["awc", "l2"]


def tokens_of(tokenizer: CLIPTokenizer, texts: Sequence[str], context: int) -> Tensor:
    """Token ids [T, context] of the texts."""
    encoded = tokenizer(
        list(texts),
        padding="max_length",
        truncation=True,
        max_length=context,
        return_tensors="pt",
    )
    tokens: Tensor = encoded.input_ids
    return tokens


class PublishedStep:
    """Trains ``model`` in place, one step at a time.

    Args:
        model: a CLIP; it is its own teacher and anchor, as it is now.
        tokenizer: of the model.
        prompts: one text per class of the task.
        learning_rate: of every step, unless ``optimizer`` is given another one.
        alpha: weight of contrastive distillation.
        beta: weight of image-text alignment.
        temperature: of distillation.
        smoothing: label smoothing of the task and of the alignment.
        penalty: adaptive weight consolidation from the anchor loss, or plain l2; None: neither.
        weight: of the penalty.
    """

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: CLIPTokenizer,
        prompts: Sequence[str],
        *,
        learning_rate: float = 1e-5,
        alpha: float = 1.0,
        beta: float = 0.25,
        temperature: float = 2.0,
        smoothing: float = 0.2,
        penalty: Penalty | None = "awc",
        weight: float = 1.0,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.teacher = copy.deepcopy(model).eval().requires_grad_(False)
        self.prompts = tokens_of(tokenizer, prompts, self.context)
        named = model.named_parameters()
        self.parameters = {name: value for name, value in named if name != "logit_scale"}
        self.model.logit_scale.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=learning_rate, weight_decay=0.0
        )
        self.alpha, self.beta, self.temperature = alpha, beta, temperature
        self.smoothing, self.penalty, self.weight = smoothing, penalty, weight

    @property
    def context(self) -> int:
        """Tokens of every text."""
        length: int = self.model.config.text_config.max_position_embeddings
        return length

    def __call__(
        self,
        pixels: Tensor,
        labels: Tensor,
        pair_pixels: Tensor | None = None,
        captions: Sequence[str] = (),
    ) -> None:
        """One step on a task batch [B, 3, S, S] with labels [B], and on B pairs if any."""
        scale = self.model.logit_scale.exp()
        prompts = texts_of(self.model, self.prompts)
        logits = scale * images_of(self.model, pixels) @ prompts.T
        loss = F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        anchors = dict(self.teacher.named_parameters())
        self.optimizer.zero_grad()
        if pair_pixels is not None:
            self.anchor_loss(pair_pixels, captions).backward()
        if self.penalty is not None:
            weights = fisher(self.parameters) if self.penalty == "awc" else None
            loss = loss + self.weight * distance(self.parameters, anchors, weights)
        loss.backward()
        self.optimizer.step()

    def anchor_loss(self, pixels: Tensor, captions: Sequence[str]) -> Tensor:
        """Contrastive distillation and alignment on pairs."""
        tokens = tokens_of(self.tokenizer, captions, self.context)
        scale = self.model.logit_scale.exp()
        student = scale * images_of(self.model, pixels) @ texts_of(self.model, tokens).T
        with torch.no_grad():
            teacher = scale * images_of(self.teacher, pixels) @ texts_of(self.teacher, tokens).T
        equal = torch.tensor([[float(a == b) for b in captions] for a in captions])
        target = (equal.to(student) / equal.sum(dim=1, keepdim=True)).to(student)
        loss = student.new_zeros(())
        for ours, theirs in ((student, teacher), (student.T, teacher.T)):
            soft = (theirs / self.temperature).softmax(dim=1)
            distilled = self.temperature**2 * F.cross_entropy(ours / self.temperature, soft)
            aligned = F.cross_entropy(ours, target, label_smoothing=self.smoothing)
            loss = loss + self.alpha * distilled + self.beta * aligned
        return loss


def distance(
    parameters: Mapping[str, Tensor],
    anchors: Mapping[str, Tensor],
    weights: Mapping[str, Tensor] | None,
) -> Tensor:
    """The weighted squared distance to the anchors, with its graph; None: all weights are 1."""
    total = next(iter(parameters.values())).new_zeros(())
    for name, parameter in parameters.items():
        away = (parameter - anchors[name]).square()
        total = total + (away if weights is None else weights[name] * away).sum()
    return total


def images_of(model: CLIPModel, pixels: Tensor) -> Tensor:
    """Unit features of images."""
    return F.normalize(model.get_image_features(pixel_values=pixels).pooler_output, dim=-1)


def texts_of(model: CLIPModel, tokens: Tensor) -> Tensor:
    """Unit features of texts."""
    tokens = tokens.to(model.device)
    return F.normalize(model.get_text_features(input_ids=tokens).pooler_output, dim=-1)


def fisher(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """``g**2 / mean(g**2)`` of the gradients, query, key and value as one tensor."""
    groups: dict[str, list[str]] = {}
    for name in parameters:
        groups.setdefault(re.sub(r"\b[qkv]_proj\b", "in_proj", name), []).append(name)
    weights = {}
    for names in groups.values():
        squares = {name: gradient(parameters[name]).square() for name in names}
        mean = torch.cat([square.flatten() for square in squares.values()]).mean()
        weights |= {name: square / mean for name, square in squares.items()}
    return weights


def gradient(parameter: nn.Parameter) -> Tensor:
    """The gradient, which must be there."""
    assert parameter.grad is not None
    return parameter.grad


def classifier(
    model: CLIPModel, tokenizer: CLIPTokenizer, prompts: Sequence[Sequence[str]]
) -> Tensor:
    """Zero-shot weights [C, D], class by class, each from its prompts."""
    rows = []
    with torch.no_grad():
        for texts in prompts:
            context = model.config.text_config.max_position_embeddings
            mean = texts_of(model, tokens_of(tokenizer, texts, context)).mean(dim=0)
            rows.append(mean / mean.norm())
    return torch.stack(rows)
