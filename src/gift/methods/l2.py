"""Fine-tuning with an l2 penalty towards the weights before the task."""

from __future__ import annotations

from pydantic import Field

from gift import weights
from gift.methods.base import Backward, Batches, Losses, Method, MethodSettings, TaskContext
from gift.methods.objectives import TaskLoss
from gift.vlm import VisionLanguageModel


class L2Settings(MethodSettings):
    """The l2 baseline (called WC in ZSCL)."""

    penalty_weight: float = Field(1.0, ge=0, description="lambda; the sum runs over all weights")


class L2(Method):
    """Cross-entropy with an l2 penalty towards the weights before the task."""

    Settings = L2Settings
    settings: L2Settings
    shards = True

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._task_loss = TaskLoss(model, task)
        self._anchor = weights.snapshot(model.trainable_parameters())

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        """The task's cross-entropy, then the penalty's gradient in place."""
        loss = self._task_loss(model, batch["task"])
        backward(loss)
        penalty = weights.add_l2_gradient(
            model.trainable_parameters(), self._anchor, weight=self.settings.penalty_weight
        )
        return {"task": loss, "consolidation": penalty}
