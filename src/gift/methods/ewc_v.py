"""EWC-V: GIFT's losses under a static Fisher that synthetic pairs give before the task.

The comparison of Table 6 in Wu et al., CVPR 2025.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from torch import Tensor

from gift import weights
from gift.data.loader import Batch
from gift.losses import (
    alignment_targets,
    contrastive_distillation,
    image_text_alignment,
    similarity,
)
from gift.methods.base import Backward, Batches, Losses, Method, MethodSettings, TaskContext
from gift.methods.objectives import TaskLoss, TeacherPairs
from gift.vlm import VisionLanguageModel


class EwcVSettings(MethodSettings):
    """EWC-V as in the paper's Table 6."""

    alpha: float = Field(1.0, ge=0, description="weight of contrastive distillation")
    beta: float = Field(0.25, ge=0, description="weight of image-text alignment")
    temperature: float = Field(2.0, gt=0, description="distillation temperature")
    penalty_weight: float = Field(1.0, ge=0, description="lambda of the consolidation")
    fisher_images: int = Field(256, ge=1, description="pairs that give the Fisher weights")

    @model_validator(mode="after")
    def _pairs_have_a_use(self) -> Self:
        if not (self.alpha or self.beta):
            raise ValueError("alpha or beta must be above 0, or the pairs have no use")
        return self


class EwcV(Method):
    """GIFT's losses with a static Fisher, estimated on synthetic pairs before each task.

    The model before the task is its own teacher, so the gradient of distillation is zero there and
    the Fisher weights come from the image-text alignment alone.
    """

    # Deviation: the official code averages the Fisher over the first training steps while the
    # weights already move, and drops the anchor loss afterwards; here it is as the paper says.
    # See docs/methods/ewc_v.md.

    Settings = EwcVSettings
    settings: EwcVSettings
    streams = ("synthetic",)

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Remember the weights, run the teacher over every pair, estimate the Fisher weights."""
        parameters = model.trainable_parameters()
        self._task_loss = TaskLoss(model, task)
        self._smoothing = task.label_smoothing
        self._anchor = weights.snapshot(parameters)
        self._teacher = TeacherPairs(model, task.sets["synthetic"])
        self._fisher = self._teacher.fisher(
            model,
            self.anchor_loss,
            weights.normalization_groups(parameters),
            beta=self.settings.beta,
            count=self.settings.fisher_images,
        )

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        """The loss on synthetic pairs, the task's cross-entropy, the penalty."""
        logged = self.anchor_loss(model, batch["synthetic"])
        backward(logged["anchor"])
        logged["task"] = self._task_loss(model, batch["task"])
        backward(logged["task"])
        logged["consolidation"] = weights.add_weighted_gradient(
            model.trainable_parameters(),
            self._anchor,
            self._fisher,
            weight=self.settings.penalty_weight,
        )
        return logged

    def anchor_loss(self, model: VisionLanguageModel, pairs: Batch) -> dict[str, Tensor]:
        """``anchor``, S = alpha * CD + beta * ITA on a batch of pairs, and its two terms."""
        settings, teacher = self.settings, self._teacher
        captions = teacher.captions[pairs.index]
        texts = teacher.encode_captions(model, captions)
        logits = similarity(model.encode_images(pairs.pixels), texts, model.logit_scale)
        old = similarity(teacher.images[pairs.index], teacher.texts[captions], model.logit_scale)
        distilled = contrastive_distillation(old, logits, temperature=settings.temperature)
        targets = alignment_targets(captions, dtype=logits.dtype)
        aligned = image_text_alignment(logits, targets, smoothing=self._smoothing)
        return {
            "anchor": settings.alpha * distilled + settings.beta * aligned,
            "contrastive_distillation": distilled,
            "image_text_alignment": aligned,
        }
