"""Loss terms that methods share: the task's own, GIFT's on pairs, and ZSCL's on a reference set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from gift import distributed
from gift.data.loader import Batch, ImageTexts
from gift.losses import (
    Divergence,
    alignment_targets,
    classification,
    contrastive_distillation,
    distillation,
    feature_distance,
    image_text_alignment,
    similarity,
)
from gift.methods.base import Loss, TaskContext
from gift.vlm import (
    VisionLanguageModel,
    encode_all_images,
    encode_all_texts,
    pixel_batch,
    tokenize_unique,
    trim,
)
from gift.weights import Groups, mean_fisher

Distillation = Literal["contrastive", "image", "text", "feature"]


class ClassificationTask:
    """The task's own loss: cross-entropy over its classes, the prompts re-encoded each step."""

    def __init__(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._prompts = model.tokenize(task.labels.prompts)
        self._smoothing = task.label_smoothing

    def loss(self, model: VisionLanguageModel, batch: Batch) -> Loss:
        """Label-smoothed cross-entropy of a labelled batch, named "task"."""
        texts = model.encode_texts(self._prompts)
        logits = similarity(model.encode_images(batch.pixels), texts, model.logit_scale)
        return Loss("task", classification(logits, batch.labels, smoothing=self._smoothing))


class PairDistillation:
    """GIFT's loss on image-text pairs: S = alpha * distillation + beta * alignment.

    The teacher is the model as it is when this object is made; it runs over all pairs once.

    Args:
        model: the teacher.
        pairs: N pairs.
        alpha: weight of distillation.
        beta: weight of image-text alignment.
        temperature: of distillation.
        smoothing: label smoothing of the alignment.
        distillation: what is distilled. "contrastive" (GIFT, Eq. 4): the similarities of the
            batch's images and captions. "image" and "text": the same, but with the teacher's
            captions, or its images, in the student's matrix, so that one tower alone learns of
            S. "feature": the mean squared difference of both towers' features; the alignment is
            the student's own.
        divergence: see :func:`gift.losses.distillation`.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        pairs: ImageTexts,
        *,
        alpha: float = 1.0,
        beta: float = 0.25,
        temperature: float = 2.0,
        smoothing: float = 0.2,
        distillation: Distillation = "contrastive",
        divergence: Divergence = "cross_entropy",
    ) -> None:
        self.pairs = pairs
        self._alpha, self._beta = alpha, beta
        self._temperature, self._smoothing = temperature, smoothing
        self._distillation, self._divergence = distillation, divergence
        self._tokens, self._captions = tokenize_unique(model, pairs.texts)
        self._teacher_texts = encode_all_texts(model, self._tokens)
        self._teacher_images = encode_all_images(model, pairs.pixels)

    def loss(self, model: VisionLanguageModel, batch: Batch) -> Loss:
        """S on a batch of pairs, named "anchor"."""
        captions = self._captions[batch.index]
        teacher_images = self._teacher_images[batch.index]
        teacher_texts = self._teacher_texts[captions]
        kind = self._distillation
        images = teacher_images if kind == "text" else model.encode_images(batch.pixels)
        texts = teacher_texts if kind == "image" else self._encode(model, captions)
        logits = similarity(images, texts, model.logit_scale)
        if kind == "feature":
            distilled = feature_distance(teacher_images, images) + feature_distance(
                teacher_texts, texts
            )
        else:
            distilled = contrastive_distillation(
                similarity(teacher_images, teacher_texts, model.logit_scale),
                logits,
                temperature=self._temperature,
                divergence=self._divergence,
            )
        targets = alignment_targets(captions, dtype=logits.dtype)
        aligned = image_text_alignment(logits, targets, smoothing=self._smoothing)
        name = "feature_distance" if kind == "feature" else "contrastive_distillation"
        return Loss(
            "anchor",
            self._alpha * distilled + self._beta * aligned,
            {name: distilled, "image_text_alignment": aligned},
        )

    def gradients(self, model: VisionLanguageModel, positions: Sequence[int]) -> Gradients:
        """The gradient of S on the pairs at these positions, by parameter name.

        Without alignment (beta = 0) it is taken with beta = 1: a model that is its own teacher has
        no gradient of distillation but rounding.
        """
        index = torch.tensor(positions, device=model.device)
        batch = Batch(pixel_batch(model, self.pairs.pixels, positions), index, index)
        parameters = model.trainable_parameters()
        loss = self.loss(model, batch)
        value = loss.value if self._beta else loss.value + loss.parts["image_text_alignment"]
        found = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
        distributed.all_reduce(found)
        return dict(zip(parameters, found, strict=True))

    def _encode(self, model: VisionLanguageModel, captions: Tensor) -> Tensor:
        """Each distinct caption is encoded once."""
        distinct, position = captions.unique(return_inverse=True)
        return model.encode_texts(trim(model, self._tokens[distinct]))[position]


Gradients = Mapping[str, Tensor | None]


def static_pair_fisher(
    model: VisionLanguageModel, pairs: PairDistillation, groups: Groups | None, *, count: int
) -> dict[str, Tensor]:
    """Fisher weights from the first ``count`` pairs, in batches of 64 (GIFT, EWC-V of Table 6)."""
    positions = range(min(count, len(pairs.pairs)))
    batches = [positions[start : start + _FISHER_BATCH] for start in positions[::_FISHER_BATCH]]
    return mean_fisher((pairs.gradients(model, batch) for batch in batches), groups)


_FISHER_BATCH = 64


class ReferenceDistillation:
    """Distillation on a reference set against fixed texts, of LwF, iCaRL and ZSCL.

    ``KD(A', A) + KD(A'.T, A.T)`` with ``A' = s Z' W'.T`` of the teacher's images and texts and
    ``A = s Z W'.T``: the *teacher's* texts stand in the student's matrix too, so only the image
    tower learns of it (as in the official ZSCL code).

    Args:
        teacher: a frozen copy; asked once for every image, when the image is first met.
        size: N, the number of images in the set.
        texts: unit features of the teacher, [T, D].
        temperature: of distillation.
    """

    def __init__(
        self,
        teacher: VisionLanguageModel,
        size: int,
        texts: Tensor,
        *,
        temperature: float = 2.0,
    ) -> None:
        self._teacher = teacher
        self._texts = texts
        self._temperature = temperature
        self._features = texts.new_zeros(size, texts.shape[1])
        self._known = torch.zeros(size, dtype=torch.bool, device=texts.device)

    def loss(
        self,
        model: VisionLanguageModel,
        batch: Batch,
        *,
        row_weight: float = 1.0,
        column_weight: float = 1.0,
    ) -> Loss:
        """The weighted sum over rows (images) and columns (texts), named "distillation"."""
        teacher = similarity(self._teacher_images(batch), self._texts, model.logit_scale)
        student = similarity(model.encode_images(batch.pixels), self._texts, model.logit_scale)
        rows = distillation(teacher, student, temperature=self._temperature)
        columns = distillation(teacher.T, student.T, temperature=self._temperature)
        return Loss(
            "distillation",
            row_weight * rows + column_weight * columns,
            {"distillation_rows": rows, "distillation_columns": columns},
        )

    def training_state(self) -> dict[str, Tensor]:
        """The teacher's features so far, [N, D], and of which images they are, bool [N].

        They are kept because a teacher asked in other batches rounds differently.
        """
        return {"features": self._features, "known": self._known}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`training_state` gave."""
        self._features.copy_(state["features"])
        self._known.copy_(state["known"])

    @torch.no_grad()
    def _teacher_images(self, batch: Batch) -> Tensor:
        new = ~self._known[batch.index]
        if bool(new.any()):
            features = self._teacher.encode_images(batch.pixels[new])
            self._features[batch.index[new]] = features.to(self._features.dtype)
            self._known[batch.index[new]] = True
        return self._features[batch.index]
