"""Fine-tuning with an l2 pull towards the weights before the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field
from torch import Tensor

from gift import weights as consolidation
from gift.data.loader import Batch
from gift.methods.base import Loss, Method, MethodSettings, Parameters, TaskContext
from gift.methods.terms import ClassificationTask
from gift.vlm import VisionLanguageModel


class L2Settings(MethodSettings):
    """The l2 baseline (called WC in ZSCL)."""

    penalty_weight: float = Field(1.0, ge=0, description="lambda; the sum runs over all weights")


class L2(Method):
    """Cross-entropy with an l2 pull towards the weights before the task."""

    Settings = L2Settings
    settings: L2Settings
    shards = True

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._task = ClassificationTask(model, task)
        self._anchor = consolidation.snapshot(model.trainable_parameters())

    def losses(self, model: VisionLanguageModel, batches: Mapping[str, Batch]) -> Iterator[Loss]:
        """The task's cross-entropy; the penalty has no graph."""
        yield self._task.loss(model, batches["task"])

    def backward(self, loss: Loss, parameters: Parameters) -> Mapping[str, Tensor]:
        super().backward(loss, parameters)
        penalty = consolidation.add_l2_gradient(
            parameters, self._anchor, weight=self.settings.penalty_weight
        )
        return {"consolidation": penalty}
