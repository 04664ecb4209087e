"""GIFT: distillation on synthetic image-text pairs under adaptive weight consolidation.

Wu et al., "Synthetic Data is an Elegant GIFT for Continual Vision-Language Models", CVPR 2025.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from gift import weights as consolidation
from gift.data.loader import Batch
from gift.losses import Divergence
from gift.methods.base import Loss, Method, MethodSettings, Parameters, TaskContext
from gift.methods.terms import (
    ClassificationTask,
    Distillation,
    PairDistillation,
    static_pair_fisher,
)
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
    distillation: Distillation = Field(
        "contrastive", description="what is distilled: contrastive, image, text or feature"
    )
    divergence: Divergence = Field(
        "cross_entropy", description="cross_entropy, forward_kl (same gradient) or reverse_kl"
    )
    teacher: str = Field(
        "last",
        pattern=r"^(last|initial|wise:(0(\.\d+)?|1(\.0+)?|\.\d+))$",
        description="last, initial, or wise:<r>, which is r * initial + (1 - r) * last",
    )
    consolidation: Literal["none", "l2", "ewc_v", "awc"] = Field(
        "awc", description="pull towards the weights before the task: none, l2, ewc_v or awc"
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
                f"consolidation = {self.consolidation} weighs the pull by the gradient on the "
                "pairs, so alpha or beta must be above 0; use l2 or none without pairs"
            )
        return self

    @property
    def uses_pairs(self) -> bool:
        """Whether synthetic pairs play a part."""
        return self.alpha > 0 or self.beta > 0


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
    streams: tuple[str, ...] = ("synthetic",)

    def __init__(self, settings: GiftSettings | None = None) -> None:
        super().__init__(settings)
        self._initial: dict[str, Tensor] = {}
        self.shards = self.settings.consolidation != "ewc_v"
        if not self.settings.uses_pairs:
            self.streams = ()

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Anchor, and what the teacher says of every pair."""
        parameters = model.trainable_parameters()
        self._task = ClassificationTask(model, task)
        self._anchor = consolidation.snapshot(parameters)
        self._groups = consolidation.normalization_groups(
            parameters, self.settings.fisher_normalization
        )
        if self.settings.teacher != "last" and not self._initial:
            self._initial = consolidation.snapshot(parameters)
        if self.settings.uses_pairs:
            self._pairs = self._pair_distillation(model, task)
        if self.settings.consolidation == "ewc_v":
            self._fisher = static_pair_fisher(
                model, self._pairs, self._groups, count=self.settings.fisher_images
            )

    def losses(self, model: VisionLanguageModel, batches: Mapping[str, Batch]) -> Iterator[Loss]:
        """First the anchor loss on synthetic pairs, then the task's cross-entropy."""
        if self.settings.uses_pairs:
            yield self._pairs.loss(model, batches["synthetic"])
        yield self._task.loss(model, batches["task"])

    def backward(self, loss: Loss, parameters: Parameters) -> Mapping[str, Tensor]:
        super().backward(loss, parameters)
        weight = self.settings.penalty_weight
        match self.settings.consolidation, loss.name:
            case "awc", "anchor":
                penalty = consolidation.add_adaptive_gradient(
                    parameters, self._anchor, self._groups, weight=weight
                )
            case "ewc_v", "task":
                penalty = consolidation.add_weighted_gradient(
                    parameters, self._anchor, self._fisher, weight=weight
                )
            case "l2", "task":
                penalty = consolidation.add_l2_gradient(parameters, self._anchor, weight=weight)
            case _:
                return {}
        return {"consolidation": penalty}

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._initial)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._initial = dict(state)

    def _pair_distillation(self, model: VisionLanguageModel, task: TaskContext) -> PairDistillation:
        settings = self.settings
        smoothing = settings.alignment_smoothing
        with self._as_teacher(model):
            return PairDistillation(
                model,
                task.sets["synthetic"],
                alpha=settings.alpha,
                beta=settings.beta,
                temperature=settings.temperature,
                smoothing=task.label_smoothing if smoothing is None else smoothing,
                distillation=settings.distillation,
                divergence=settings.divergence,
            )

    def _as_teacher(self, model: VisionLanguageModel) -> AbstractContextManager[None]:
        """Let the model hold the teacher's weights for a while."""
        kind, _, share = self.settings.teacher.partition(":")
        if kind == "last":
            return nullcontext()
        weights = self._initial
        if kind == "wise":
            weights = consolidation.interpolate(self._initial, self._anchor, float(share))
        return consolidation.holding(model.trainable_parameters(), weights)
