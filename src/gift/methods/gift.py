"""GIFT: distillation on synthetic image-text pairs under adaptive weight consolidation.

Wu et al., "Synthetic Data is an Elegant GIFT for Continual Vision-Language Models", CVPR 2025.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from gift import weights
from gift.data.loader import Batch
from gift.losses import (
    Divergence,
    alignment_targets,
    classification,
    contrastive_distillation,
    feature_distance,
    image_text_alignment,
    similarity,
)
from gift.methods.base import Backward, Batches, Losses, Method, MethodSettings, TaskContext
from gift.methods.objectives import TeacherPairs
from gift.settings import Fixed
from gift.vlm import VisionLanguageModel
from gift.weights import Normalization

PRESETS: dict[str, dict[str, float]] = {
    "gift_first_release": {"alpha": 2.0, "beta": 0.5, "penalty_weight": 2.0}
}
"""Named sets of defaults; a setting that is given beside the preset wins over it."""


class GiftSettings(MethodSettings):
    """GIFT and its ablations; the defaults are the paper's, in the official code's scaling."""

    alpha: float = Field(1.0, ge=0, description="weight of distillation")
    beta: float = Field(0.25, ge=0, description="weight of image-text alignment")
    temperature: float = Field(2.0, gt=0, description="distillation temperature")
    distillation: Literal["contrastive", "image", "text", "feature"] = Field(
        "contrastive",
        description="what is distilled: contrastive (Eq. 4) the in-batch similarities; image or "
        "text the same for one tower alone; feature the features of both",
    )
    divergence: Divergence = Field(
        "cross_entropy", description="cross_entropy, forward_kl (same gradient) or reverse_kl"
    )
    teacher: str = Fixed(
        "last",
        pattern=r"^(last|initial|wise:(0(\.\d+)?|1(\.0+)?|\.\d+))$",
        description="last, initial, or wise:<r>, which is r * initial + (1 - r) * last",
    )
    consolidation: Literal["none", "l2", "ewc_v", "awc"] = Field(
        "awc", description="penalty towards the weights before the task: none, l2, ewc_v or awc"
    )
    penalty_weight: float = Field(1.0, ge=0, description="lambda of the consolidation")
    fisher_normalization: Normalization = Field(
        "fused",
        description="mean of the Fisher weights per tensor of the fused layout, tensor, none",
    )
    fisher_images: int = Field(256, ge=1, description="pairs that give ewc_v its Fisher weights")
    alignment_smoothing: float | None = Field(
        None, ge=0, lt=1, description="label smoothing of the alignment; by default the task's"
    )
    preset: Literal["gift_first_release"] | None = Field(
        None, description="defaults of the first public code: alpha 2, beta 0.5, penalty_weight 2"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        preset = values.get("preset") if isinstance(values, Mapping) else None
        return {**PRESETS.get(str(preset), {}), **values}

    @model_validator(mode="after")
    def _fisher_needs_a_loss(self) -> Self:
        if self.consolidation in {"awc", "ewc_v"} and not self.uses_pairs:
            raise ValueError(
                f"consolidation = {self.consolidation} weighs the penalty by the gradient on the "
                "pairs, so alpha or beta must be above 0; use l2 or none without pairs"
            )
        return self

    @property
    def uses_pairs(self) -> bool:
        """Whether synthetic pairs are used."""
        return self.alpha > 0 or self.beta > 0


class Gift(Method):
    """Distillation from the model before the task on generated pairs, with adaptive consolidation.

    A step first runs the anchor loss ``S = alpha * CD + beta * ITA`` on a batch of synthetic
    pairs. Its gradient g, alone in ``.grad`` at that point, gives the Fisher weights
    ``F = g**2 / mean(g**2)`` of the penalty towards the previous weights. Then the task's
    cross-entropy is added.
    """

    # Deviation: the paper prints F without the normalisation; the official code divides by the
    # mean of each tensor of the fused layout, without which lambda = 1 would do nothing.
    # See docs/methods/gift.md, "Deviations".

    Settings = GiftSettings
    settings: GiftSettings
    streams: tuple[str, ...] = ("synthetic",)

    def __init__(self, settings: GiftSettings | None = None) -> None:
        super().__init__(settings)
        self._initial: dict[str, Tensor] = {}
        self.shards = self.settings.consolidation != "ewc_v"
        if not self.settings.uses_pairs:
            self.streams = ()

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Remember the weights, and run the teacher over every pair."""
        settings, parameters = self.settings, model.trainable_parameters()
        self._prompts = model.tokenize(task.prompts)
        self._task_smoothing = task.label_smoothing
        self._class_weights = task.loss_weights(model.device)
        own = settings.alignment_smoothing
        self._smoothing = task.label_smoothing if own is None else own
        self._anchor = weights.snapshot(parameters)
        self._groups = weights.normalization_groups(parameters, settings.fisher_normalization)
        if settings.teacher != "last" and not self._initial:
            self._initial = weights.snapshot(parameters)
        if settings.uses_pairs:
            with self._as_teacher(model):
                self._teacher = TeacherPairs(model, task.sets["synthetic"])
        if settings.consolidation == "ewc_v":
            self._fisher = self._teacher.fisher(
                model,
                self.anchor_loss,
                self._groups,
                beta=settings.beta,
                count=settings.fisher_images,
            )

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        """The anchor loss, the adaptive penalty from its gradient, the task's cross-entropy."""
        settings, parameters = self.settings, model.trainable_parameters()
        weight = settings.penalty_weight
        logged: dict[str, Tensor] = {}
        if settings.uses_pairs:
            logged |= self.anchor_loss(model, batch["synthetic"])
            logged["teacher_accuracy"] = self._teacher.accuracy
            backward(logged["anchor"])  # .grad now holds its gradient and nothing else
        if settings.consolidation == "awc":
            logged["consolidation"] = weights.add_adaptive_gradient(
                parameters, self._anchor, self._groups, weight=weight
            )
        images, classes = batch["task"], model.encode_texts(self._prompts)
        logits = similarity(model.encode_images(images.pixels), classes, model.logit_scale)
        logged["task"] = classification(
            logits,
            images.labels,
            smoothing=self._task_smoothing,
            class_weights=self._class_weights,
        )
        backward(logged["task"])
        if settings.consolidation == "ewc_v":
            logged["consolidation"] = weights.add_weighted_gradient(
                parameters, self._anchor, self._fisher, weight=weight
            )
        elif settings.consolidation == "l2":
            logged["consolidation"] = weights.add_l2_gradient(
                parameters, self._anchor, weight=weight
            )
        return logged

    def anchor_loss(self, model: VisionLanguageModel, pairs: Batch) -> dict[str, Tensor]:
        """``anchor``, S = alpha * CD + beta * ITA on a batch of pairs, and its two terms."""
        settings, teacher = self.settings, self._teacher
        captions = teacher.captions[pairs.index]
        old_images, old_texts = teacher.images[pairs.index], teacher.texts[captions]
        kind = settings.distillation
        # With the teacher's texts in the student's matrix, the image tower alone learns ("image").
        images = old_images if kind == "text" else model.encode_images(pairs.pixels)
        texts = old_texts if kind == "image" else teacher.encode_captions(model, captions)
        logits = similarity(images, texts, model.logit_scale)
        if kind == "feature":
            name = "feature_distance"
            distilled = feature_distance(old_images, images) + feature_distance(old_texts, texts)
        else:
            name = "contrastive_distillation"
            distilled = contrastive_distillation(
                similarity(old_images, old_texts, model.logit_scale),
                logits,
                temperature=settings.temperature,
                divergence=settings.divergence,
            )
        targets = alignment_targets(captions, dtype=logits.dtype)
        aligned = image_text_alignment(logits, targets, smoothing=self._smoothing)
        anchor = settings.alpha * distilled + settings.beta * aligned
        return {"anchor": anchor, name: distilled, "image_text_alignment": aligned}

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._initial)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._initial = dict(state)

    def _as_teacher(self, model: VisionLanguageModel) -> AbstractContextManager[None]:
        """Let the model hold the teacher's weights for a while."""
        kind, _, ratio = self.settings.teacher.partition(":")
        if kind == "last":
            return nullcontext()
        teacher = self._initial
        if kind == "wise":
            teacher = weights.interpolate(self._initial, self._anchor, float(ratio))
        return weights.holding(model.trainable_parameters(), teacher)
