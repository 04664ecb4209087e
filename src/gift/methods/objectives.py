"""Training objectives that methods share: the task's loss, teachers' features, distillation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from pydantic import Field
from torch import Tensor

from gift import distributed
from gift.data.loader import Batch, ImageTexts
from gift.losses import classification, distillation, similarity
from gift.methods.base import Losses, MethodSettings, TaskContext
from gift.vlm import (
    VisionLanguageModel,
    encode_all_images,
    encode_all_texts,
    pixel_batch,
    tokenize_unique,
    trim,
)
from gift.weights import Groups, mean_fisher


class TaskLoss:
    """The task's cross-entropy over its classes; the class prompts are re-encoded each step.

    See :attr:`gift.methods.TaskContext.prompts` for a task of a single class.
    """

    def __init__(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._prompts = model.tokenize(task.prompts)
        self._smoothing = task.label_smoothing
        self._weights = task.loss_weights(model.device)

    def __call__(self, model: VisionLanguageModel, batch: Batch) -> Tensor:
        """Label-smoothed cross-entropy of a labelled batch, a scalar."""
        texts = model.encode_texts(self._prompts)
        logits = similarity(model.encode_images(batch.pixels), texts, model.logit_scale)
        return classification(
            logits, batch.labels, smoothing=self._smoothing, class_weights=self._weights
        )


_FISHER_BATCH = 64


class TeacherPairs:
    """Image-text pairs with the features of a teacher, which runs over all of them once.

    Args:
        teacher: the model as it is now.
        pairs: N pairs.

    Attributes:
        images: the teacher's image features, unit rows [N, D].
        texts: the teacher's features of the U distinct captions, unit rows [U, D].
        captions: [N] which caption a pair has.
        accuracy: how many images the teacher classifies correctly among the distinct captions, in
            percent. A caption is what an image was generated from, so the alignment to it corrects
            the rest.
    """

    def __init__(self, teacher: VisionLanguageModel, pairs: ImageTexts) -> None:
        self._pixels = pairs.pixels
        self._tokens, self.captions = tokenize_unique(teacher, pairs.texts)
        self.texts = encode_all_texts(teacher, self._tokens)
        self.images = encode_all_images(teacher, pairs.pixels)
        nearest = (self.images @ self.texts.T).argmax(dim=1)
        self.accuracy = 100 * (nearest == self.captions).float().mean()

    def encode_captions(self, model: VisionLanguageModel, captions: Tensor) -> Tensor:
        """A model's features of these captions [B], unit rows [B, D]; each distinct one once."""
        distinct, position = captions.unique(return_inverse=True)
        return model.encode_texts(trim(model, self._tokens[distinct]))[position]

    def fisher(
        self,
        model: VisionLanguageModel,
        anchor_loss: Callable[[VisionLanguageModel, Batch], Losses],
        groups: Groups | None,
        *,
        beta: float,
        count: int,
    ) -> dict[str, Tensor]:
        """Static Fisher weights from the first ``count`` pairs in batches of 64 (EWC-V).

        Args:
            model: where the gradients are taken.
            anchor_loss: ``anchor`` and ``image_text_alignment`` of a batch of pairs.
            groups: see :func:`gift.weights.normalization_groups`.
            beta: weight of the alignment in ``anchor``.
            count: pairs that are looked at.
        """
        positions = range(min(count, len(self._pixels)))
        parameters = model.trainable_parameters()

        def gradients(start: int) -> dict[str, Tensor | None]:
            chosen = positions[start : start + _FISHER_BATCH]
            index = torch.tensor(chosen, device=model.device)
            batch = Batch(pixel_batch(model, self._pixels, chosen), index, index)
            losses = anchor_loss(model, batch)
            # A model that is its own teacher has no gradient of distillation but rounding.
            loss = losses["anchor"] if beta else losses["anchor"] + losses["image_text_alignment"]
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            distributed.all_reduce(found)
            return dict(zip(parameters, found, strict=True))

        return mean_fisher(map(gradients, positions[::_FISHER_BATCH]), groups)


class DistillationSettings(MethodSettings):
    """Settings of :class:`ReferenceDistillation`."""

    row_weight: float = Field(1.0, ge=0, description="weight of the distillation over texts")
    column_weight: float = Field(1.0, ge=0, description="weight of the distillation over images")
    temperature: float = Field(2.0, gt=0, description="distillation temperature")


class ReferenceDistillation:
    """Distillation on a set of images against fixed texts, of LwF, iCaRL and ZSCL.

    ``KD(A', A) + KD(A'.T, A.T)`` with ``A' = s Z' W'.T`` of the teacher's images and texts and
    ``A = s Z W'.T``: the *teacher's* texts stand in the student's matrix too, so only the image
    tower learns of it (as in the official ZSCL code).

    Args:
        teacher: a frozen copy; asked once for every image, when the image is first met.
        images: the set, N images.
        tokens: of the texts, [T, L].
        settings: weights and temperature.
    """

    def __init__(
        self,
        teacher: VisionLanguageModel,
        images: ImageTexts,
        tokens: Tensor,
        settings: DistillationSettings,
    ) -> None:
        self._teacher = teacher
        self._settings = settings
        self._texts = encode_all_texts(teacher, tokens)
        self._features = self._texts.new_zeros(len(images), self._texts.shape[1])
        self._known = torch.zeros(len(images), dtype=torch.bool, device=self._texts.device)

    def __call__(self, model: VisionLanguageModel, batch: Batch) -> dict[str, Tensor]:
        """``distillation``, the weighted sum, and its parts over rows and over columns."""
        settings = self._settings
        teacher = similarity(self._teacher_images(batch), self._texts, model.logit_scale)
        student = similarity(model.encode_images(batch.pixels), self._texts, model.logit_scale)
        rows = distillation(teacher, student, temperature=settings.temperature)
        columns = distillation(teacher.T, student.T, temperature=settings.temperature)
        return {
            "distillation": settings.row_weight * rows + settings.column_weight * columns,
            "distillation_rows": rows,
            "distillation_columns": columns,
        }

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
