"""Continual fine-tuning: one task after the other, nothing else. The lower bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gift.data.loader import Batch
from gift.methods.base import Loss, Method, TaskContext
from gift.methods.terms import ClassificationTask
from gift.vlm import VisionLanguageModel


class Finetune(Method):
    """Cross-entropy on the current task, starting from the previous task's weights."""

    shards = True

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._task = ClassificationTask(model, task)

    def losses(self, model: VisionLanguageModel, batches: Mapping[str, Batch]) -> Iterator[Loss]:
        """The task's cross-entropy."""
        yield self._task.loss(model, batches["task"])
