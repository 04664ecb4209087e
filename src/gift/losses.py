"""Losses as pure functions on tensors: usable in any training loop.

Shapes: B images (or pairs), C classes, T texts, D embedding width. Features are unit vectors.
All formulas follow GIFT (CVPR 2025) and its official code; see ``docs/methods/gift.md`` for where
the two differ.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Divergence = Literal["cross_entropy", "forward_kl", "reverse_kl"]


def similarity(images: Tensor, texts: Tensor, scale: Tensor | float) -> Tensor:
    """Scaled cosine similarities of unit features.

    Args:
        images: [B, D].
        texts: [T, D].
        scale: the exponential of CLIP's logit scale (100 for OpenAI's models).

    Returns:
        [B, T] logits, in float32 or better whatever the features' precision: at scale 100 a half
        precision cosine would be too coarse.
    """
    with torch.autocast(images.device.type, enabled=False):
        images, texts = (x.float() if x.dtype.itemsize < 4 else x for x in (images, texts))
        return scale * images @ texts.T


def classification(
    logits: Tensor, labels: Tensor, *, smoothing: float, class_weights: Tensor | None = None
) -> Tensor:
    """Label-smoothed cross-entropy, the mean over rows.

    Args:
        logits: [B, C].
        labels: [B] class indices, or [B, C] probabilities.
        smoothing: fraction of the target mass spread evenly over the C columns, in [0, 1).
        class_weights: [C] >= 0; the mean over rows is weighted by them, as torch's is.
    """
    weights = None if class_weights is None else class_weights.to(logits.dtype)
    return F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)


def distillation(
    teacher: Tensor,
    student: Tensor,
    *,
    temperature: float,
    divergence: Divergence = "cross_entropy",
) -> Tensor:
    """How far the student's rows are from the teacher's, as distributions at a temperature.

    ``T**2 * mean_rows D(softmax(teacher / T), softmax(student / T))``.

    Args:
        teacher: [B, T] logits, taken as constants.
        student: [B, T] logits.
        temperature: T > 0.
        divergence: "cross_entropy" H(teacher, student); "forward_kl" KL(teacher || student), which
            has the same gradient and is 0 where they agree; "reverse_kl" KL(student || teacher),
            what the optional switch of the official GIFT code computes.
    """
    target, own = teacher.detach() / temperature, student / temperature
    if divergence == "cross_entropy":
        return temperature**2 * F.cross_entropy(own, target.softmax(dim=-1))
    of_teacher, of_student = target.log_softmax(dim=-1), own.log_softmax(dim=-1)
    if divergence == "reverse_kl":
        of_teacher, of_student = of_student, of_teacher
    return temperature**2 * F.kl_div(of_student, of_teacher, log_target=True, reduction="batchmean")


def contrastive_distillation(
    teacher: Tensor,
    student: Tensor,
    *,
    temperature: float,
    divergence: Divergence = "cross_entropy",
) -> Tensor:
    """Distillation of the in-batch similarity matrix over rows and over columns (GIFT, Eq. 4).

    Args:
        teacher: [B, B] logits of the teacher's images against its captions.
        student: [B, B] logits of the student.
        temperature: T > 0.
        divergence: see :func:`distillation`.
    """
    rows = distillation(teacher, student, temperature=temperature, divergence=divergence)
    columns = distillation(teacher.T, student.T, temperature=temperature, divergence=divergence)
    return rows + columns


def feature_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean squared difference over all B * D elements of unit features [B, D]."""
    return F.mse_loss(student, teacher.detach())


def alignment_targets(captions: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Targets of the in-batch pairing where equal captions share the mass.

    Args:
        captions: [B] caption ids; equal ids mean equal captions.
        dtype: that of the logits.

    Returns:
        [B, B] symmetric matrix whose rows (and columns) sum to 1.

    >>> alignment_targets(torch.tensor([3, 5, 3]))[0].tolist()
    [0.5, 0.0, 0.5]
    """
    equal = (captions[:, None] == captions[None, :]).to(dtype)
    return equal / equal.sum(dim=1, keepdim=True)


def image_text_alignment(logits: Tensor, targets: Tensor, *, smoothing: float) -> Tensor:
    """Cross-entropy towards correct pairing, over rows and over columns (GIFT, Eq. 5).

    Args:
        logits: [B, B] similarities of a batch's images and captions.
        targets: [B, B] symmetric, from :func:`alignment_targets`.
        smoothing: label smoothing over the B columns, in [0, 1).
    """
    rows = classification(logits, targets, smoothing=smoothing)
    columns = classification(logits.T, targets, smoothing=smoothing)
    return rows + columns
