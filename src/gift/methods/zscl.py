"""ZSCL: distillation from the pre-trained model on reference images, and averaged weights.

Zheng et al., "Preventing Zero-Shot Transfer Degradation in Continual Learning of Vision-Language
Models", ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from pydantic import Field
from torch import Tensor

from gift import weights as consolidation
from gift.data.loader import Batch
from gift.methods.base import Loss, Method, MethodSettings, Parameters, TaskContext
from gift.methods.terms import ClassificationTask, ReferenceDistillation
from gift.vlm import VisionLanguageModel, encode_all_texts


class ZsclSettings(MethodSettings):
    """ZSCL as in its main script; ZSCL* has penalty_weight 0."""

    penalty_weight: float = Field(
        1.0, ge=0, description="lambda of the l2 pull towards the weights before the task"
    )
    average_every: int = Field(
        100, ge=0, description="steps between two of the weights that are averaged; 0 = no average"
    )
    row_weight: float = Field(1.0, ge=0, description="weight of the distillation over texts")
    column_weight: float = Field(1.0, ge=0, description="weight of the distillation over images")
    temperature: float = Field(2.0, gt=0, description="distillation temperature")


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
        self._task = ClassificationTask(model, task)
        self._anchor = consolidation.snapshot(parameters)
        if not self._initial:
            self._initial = consolidation.snapshot(parameters)
        teacher = model.frozen_copy()
        consolidation.put(teacher.trainable_parameters(), self._initial)
        # The teacher's image features are not kept for the next task, where most would serve again:
        # a resumed run would meet the images in other batches, which round differently.
        self._distillation = ReferenceDistillation(
            teacher,
            len(task.sets["reference"]),
            encode_all_texts(teacher, teacher.tokenize(task.sentences)),
            temperature=self.settings.temperature,
        )
        self._average = consolidation.RunningMean(parameters)
        self._is_averaged = True

    def losses(self, model: VisionLanguageModel, batches: Mapping[str, Batch]) -> Iterator[Loss]:
        """The distillation, then the task's cross-entropy."""
        yield self._distillation.loss(
            model,
            batches["reference"],
            row_weight=self.settings.row_weight,
            column_weight=self.settings.column_weight,
        )
        yield self._task.loss(model, batches["task"])

    def backward(self, loss: Loss, parameters: Parameters) -> Mapping[str, Tensor]:
        super().backward(loss, parameters)
        if loss.name != "task":
            return {}
        penalty = consolidation.add_l2_gradient(
            parameters, self._anchor, weight=self.settings.penalty_weight
        )
        return {"consolidation": penalty}

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
        consolidation.put(parameters, self._average.value)

    def training_state(self) -> dict[str, Tensor]:
        """What the teacher said of images so far, and the mean of the weights so far."""
        return {
            **self._distillation.training_state(),
            **{f"mean/{name}": tensor for name, tensor in self._average.value.items()},
            "count": torch.tensor(self._average.count),
            "is_averaged": torch.tensor(self._is_averaged),
        }

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        self._distillation.load_training_state(state)
        mean = {name: state[f"mean/{name}"] for name in self._average.value}
        self._average.restore(mean, int(state["count"]))
        self._is_averaged = bool(state["is_averaged"])

    def state_dict(self) -> dict[str, Tensor]:
        """The pre-trained weights by parameter name."""
        return dict(self._initial)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._initial = dict(state)
