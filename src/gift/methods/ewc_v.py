"""EWC-V: GIFT's losses under a static Fisher that synthetic pairs give before the task.

The comparison of Table 6 in Wu et al., CVPR 2025.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from pydantic import Field, model_validator
from torch import Tensor

from gift import weights as consolidation
from gift.data.loader import Batch
from gift.methods.base import Loss, Method, MethodSettings, Parameters, TaskContext
from gift.methods.terms import ClassificationTask, PairDistillation, static_pair_fisher
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
        """Anchor, teacher features and the Fisher weights."""
        parameters = model.trainable_parameters()
        self._task = ClassificationTask(model, task)
        self._anchor = consolidation.snapshot(parameters)
        self._pairs = PairDistillation(
            model,
            task.sets["synthetic"],
            alpha=self.settings.alpha,
            beta=self.settings.beta,
            temperature=self.settings.temperature,
            smoothing=task.label_smoothing,
        )
        self._fisher = static_pair_fisher(
            model,
            self._pairs,
            consolidation.normalization_groups(parameters),
            count=self.settings.fisher_images,
        )

    def losses(self, model: VisionLanguageModel, batches: Mapping[str, Batch]) -> Iterator[Loss]:
        """The loss on synthetic pairs, then the task's cross-entropy."""
        yield self._pairs.loss(model, batches["synthetic"])
        yield self._task.loss(model, batches["task"])

    def backward(self, loss: Loss, parameters: Parameters) -> Mapping[str, Tensor]:
        super().backward(loss, parameters)
        if loss.name != "task":
            return {}
        penalty = consolidation.add_weighted_gradient(
            parameters, self._anchor, self._fisher, weight=self.settings.penalty_weight
        )
        return {"consolidation": penalty}
