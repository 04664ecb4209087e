"""LwF: distillation from the model before the task on the task's own images.

Li and Hoiem, "Learning without Forgetting", ECCV 2016; for CLIP as in the official code of ZSCL
(Zheng et al., ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gift.methods.base import Backward, Batches, Losses, Method, TaskContext
from gift.methods.objectives import DistillationSettings, ReferenceDistillation, TaskLoss
from gift.vlm import VisionLanguageModel


class Lwf(Method):
    """Distilled on the task's own images against the task's class prompts."""

    # Deviation: the paper distils the outputs of earlier tasks' heads; a zero-shot classifier has
    # none, so the task's own classes serve, as in the official code of ZSCL.
    # See docs/methods/lwf.md.

    Settings = DistillationSettings
    settings: DistillationSettings
    streams = ("current",)

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """The model before the task is the teacher."""
        self._task_loss = TaskLoss(model, task)
        teacher = model.frozen_copy()
        self._distillation = ReferenceDistillation(
            teacher, task.sets["current"], teacher.tokenize(task.prompts), self.settings
        )

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        """The distillation, then the task's cross-entropy."""
        logged = self._distillation(model, batch["current"])
        backward(logged["distillation"])
        logged["task"] = self._task_loss(model, batch["task"])
        backward(logged["task"])
        return logged

    def training_state(self) -> dict[str, Tensor]:
        """The teacher's image features so far."""
        return self._distillation.training_state()

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        self._distillation.load_training_state(state)
