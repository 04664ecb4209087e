"""LwF: distillation from the model before the task on the task's own images.

Li and Hoiem, "Learning without Forgetting", ECCV 2016; for CLIP as in the official code of ZSCL
(Zheng et al., ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field
from torch import Tensor

from gift.data.loader import Batch
from gift.methods.base import Loss, Method, MethodSettings, TaskContext
from gift.methods.terms import ClassificationTask, ReferenceDistillation
from gift.vlm import VisionLanguageModel, encode_all_texts


class LwfSettings(MethodSettings):
    """LwF as in ZSCL's comparisons."""

    row_weight: float = Field(1.0, ge=0, description="weight of the distillation over texts")
    column_weight: float = Field(1.0, ge=0, description="weight of the distillation over images")
    temperature: float = Field(2.0, gt=0, description="distillation temperature")


class Lwf(Method):
    """Distilled on the task's own images against the task's class prompts."""

    # Deviation: the paper distils the outputs of earlier tasks' heads; a zero-shot classifier has
    # none, so the task's own classes serve, as in the official code of ZSCL.
    # See docs/methods/lwf.md.

    Settings = LwfSettings
    settings: LwfSettings
    streams = ("current",)

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """The teacher, and what it says of the class prompts."""
        self._task = ClassificationTask(model, task)
        teacher = model.frozen_copy()
        self._distillation = ReferenceDistillation(
            teacher,
            len(task.sets["current"]),
            encode_all_texts(teacher, teacher.tokenize(task.labels.prompts)),
            temperature=self.settings.temperature,
        )

    def losses(self, model: VisionLanguageModel, batches: Mapping[str, Batch]) -> Iterator[Loss]:
        """The distillation, then the task's cross-entropy."""
        yield self._distillation.loss(
            model,
            batches["current"],
            row_weight=self.settings.row_weight,
            column_weight=self.settings.column_weight,
        )
        yield self._task.loss(model, batches["task"])

    def training_state(self) -> dict[str, Tensor]:
        """What the teacher said of images so far."""
        return self._distillation.training_state()

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        self._distillation.load_training_state(state)
