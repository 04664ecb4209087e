"""ZSCL: distillation from the pre-trained model on reference images, and averaged weights.

Zheng et al., "Preventing Zero-Shot Transfer Degradation in Continual Learning of Vision-Language
Models", ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from gift import weights
from gift.methods.base import Backward, Batches, Losses, Method, TaskContext
from gift.methods.objectives import DistillationSettings, ReferenceDistillation, TaskLoss
from gift.vlm import VisionLanguageModel


class ZsclSettings(DistillationSettings):
    """ZSCL as in its main script; ZSCL* has penalty_weight 0."""

    penalty_weight: float = Field(
        1.0, ge=0, description="lambda of the l2 penalty towards the weights before the task"
    )
    average_every: int = Field(
        100, ge=0, description="steps between two of the weights that are averaged; 0 = no average"
    )


class Zscl(Method):
    """Distilled from the pre-trained model on reference images against reference sentences.

    A task ends with the mean of the weights at its start, after every ``average_every`` steps from
    step 0 on, and at its end; the next task starts there.
    """

    Settings = ZsclSettings
    settings: ZsclSettings
    streams = ("reference",)

    def __init__(self, settings: ZsclSettings | None = None) -> None:
        super().__init__(settings)
        self._initial: dict[str, Tensor] = {}

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Anchor, average, and the pre-trained model as the teacher."""
        parameters = model.trainable_parameters()
        self._task_loss = TaskLoss(model, task)
        self._anchor = weights.snapshot(parameters)
        if not self._initial:
            self._initial = weights.snapshot(parameters)
        teacher = model.frozen_copy()
        weights.assign(teacher.trainable_parameters(), self._initial)
        # The teacher's image features are not kept for the next task, where most would serve again:
        # a resumed run would meet the images in other batches, which round differently.
        self._distillation = ReferenceDistillation(
            teacher, task.sets["reference"], teacher.tokenize(task.sentences), self.settings
        )
        self._average = weights.RunningMean(parameters)
        self._is_averaged = True

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        """The distillation, the task's cross-entropy, the penalty's gradient in place."""
        logged = self._distillation(model, batch["reference"])
        backward(logged["distillation"])
        logged["task"] = self._task_loss(model, batch["task"])
        backward(logged["task"])
        logged["consolidation"] = weights.add_l2_gradient(
            model.trainable_parameters(), self._anchor, weight=self.settings.penalty_weight
        )
        return logged

    def after_step(self, model: VisionLanguageModel, step: int) -> None:
        """Take every ``average_every``-th step's weights into the mean."""
        every = self.settings.average_every
        self._is_averaged = every > 0 and step % every == 0
        if self._is_averaged:
            self._average.add(model.trainable_parameters())

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Take the last weights into the mean, then go on from it."""
        if not self.settings.average_every:
            return
        parameters = model.trainable_parameters()
        if not self._is_averaged:
            self._average.add(parameters)
        weights.assign(parameters, self._average.value)

    def training_state(self) -> dict[str, Tensor]:
        """The teacher's image features and the mean of the weights so far."""
        return {
            **self._distillation.training_state(),
            **weights.with_prefix("mean", self._average.value),
            "count": torch.tensor(self._average.count),
            "is_averaged": torch.tensor(self._is_averaged),
        }

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        self._distillation.load_training_state(state)
        weights.assign(self._average.value, weights.without_prefix("mean", state))
        self._average.count = int(state["count"])
        self._is_averaged = bool(state["is_averaged"])

    def state_dict(self) -> dict[str, Tensor]:
        """The pre-trained weights by parameter name."""
        return dict(self._initial)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._initial = dict(state)
