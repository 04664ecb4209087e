"""GIFT: distillation on synthetic image-text pairs under adaptive weight consolidation.

Wu et al., "Synthetic Data is an Elegant GIFT for Continual Vision-Language Models", CVPR 2025.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field
from torch import Tensor

from gift import consolidation
from gift.losses import (
    alignment_targets,
    contrastive_distillation,
    image_text_alignment,
    similarity,
)
from gift.methods.base import (
    Batch,
    ClassificationTask,
    Loss,
    Method,
    MethodSettings,
    Parameters,
    TaskContext,
)
from gift.vlm import (
    VisionLanguageModel,
    encode_all_images,
    encode_all_texts,
    tokenize_unique,
    trim,
)


class GiftSettings(MethodSettings):
    """GIFT's weights; the defaults are the paper's, in the official code's scaling."""

    alpha: float = Field(1.0, ge=0, description="weight of contrastive distillation")
    beta: float = Field(0.25, ge=0, description="weight of image-text alignment")
    temperature: float = Field(2.0, gt=0, description="distillation temperature")
    penalty_weight: float = Field(1.0, ge=0, description="lambda of adaptive weight consolidation")


class Gift(Method):
    """The model is distilled from itself before the task, on pairs painted from class names.

    A step first runs the anchor loss ``S = alpha * CD + beta * ITA`` on a batch of synthetic
    pairs. Its gradient g, alone in ``.grad`` at that moment, gives the Fisher weights
    ``F = g**2 / mean(g**2)`` of the pull towards the previous weights. Then the task's
    cross-entropy is added.
    """

    # Deviation: the paper prints F without the normalisation; the official code divides by the
    # mean of each tensor of the fused layout, without which lambda = 1 would do nothing.
    # See docs/methods/gift.md, "Deviations".

    Settings = GiftSettings
    settings: GiftSettings
    streams = ("synthetic",)

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Anchor, and what the teacher (the model before the task) says of every pair."""
        pairs = task.streams["synthetic"]
        self._task = ClassificationTask(model, task)
        self._smoothing = task.label_smoothing
        parameters = model.trainable_parameters()
        self._anchor = consolidation.snapshot(parameters)
        self._groups = consolidation.normalization_groups(parameters)
        self._tokens, self._captions = tokenize_unique(model, pairs.texts)
        self._teacher_texts = encode_all_texts(model, self._tokens)
        self._teacher_images = encode_all_images(model, pairs.pixels)

    def losses(self, model: VisionLanguageModel, batches: Mapping[str, Batch]) -> Iterator[Loss]:
        """First the anchor loss on synthetic pairs, then the task's cross-entropy."""
        yield self._anchor_loss(model, batches["synthetic"])
        yield Loss("task", self._task.loss(model, batches["task"]))

    def backward(self, loss: Loss, parameters: Parameters) -> Mapping[str, Tensor]:
        super().backward(loss, parameters)
        if loss.name != "anchor":
            return {}
        penalty = consolidation.add_adaptive_gradient(
            parameters, self._anchor, self._groups, weight=self.settings.penalty_weight
        )
        return {"consolidation": penalty}

    def _anchor_loss(self, model: VisionLanguageModel, batch: Batch) -> Loss:
        settings = self.settings
        captions = self._captions[batch.index]
        distinct, position = captions.unique(return_inverse=True)
        images = model.encode_images(batch.pixels)
        texts = model.encode_texts(trim(model, self._tokens[distinct]))[position]
        logits = similarity(images, texts, model.logit_scale)
        teacher = similarity(
            self._teacher_images[batch.index], self._teacher_texts[captions], model.logit_scale
        )
        distilled = contrastive_distillation(teacher, logits, temperature=settings.temperature)
        targets = alignment_targets(captions, dtype=logits.dtype)
        aligned = image_text_alignment(logits, targets, smoothing=self._smoothing)
        return Loss(
            "anchor",
            settings.alpha * distilled + settings.beta * aligned,
            {"contrastive_distillation": distilled, "image_text_alignment": aligned},
        )
