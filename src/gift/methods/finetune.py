"""Continual fine-tuning: one task after the other, nothing else. The lower bound."""

from __future__ import annotations

from gift.methods.base import Backward, Batches, Losses, Method, TaskContext
from gift.methods.objectives import TaskLoss
from gift.vlm import VisionLanguageModel


class Finetune(Method):
    """Cross-entropy on the current task, starting from the previous task's weights."""

    shards = True

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._task_loss = TaskLoss(model, task)

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        loss = self._task_loss(model, batch["task"])
        backward(loss)
        return {"task": loss}
