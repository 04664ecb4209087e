"""ConDU: every task is tuned from the pre-trained weights, and the task models are merged.

"Enhanced Continual Learning of Vision-Language Models with Model Fusion" (ConDU).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from gift import weights as consolidation
from gift.data.labels import LabelSpace
from gift.data.loader import Batch
from gift.methods.base import Loss, Method, Predictor, TaskContext
from gift.methods.task_models import TaskModels, TaskModelSettings, difference
from gift.methods.terms import ClassificationTask
from gift.vlm import VisionLanguageModel


class ConduSettings(TaskModelSettings):
    """ConDU with all weights tuned; the defaults are the official code's."""


class Condu(Method):
    """Fine-tuning from the pre-trained model, then merging (unify) and rebuilding (decouple).

    An image of a known task is named by the task's rebuilt model. For others the models of the K
    nearest tasks and the pre-trained model vote.
    """

    # Deviation: prototypes come from images under the test transform, and the first task is
    # measured with its own model at once. See docs/methods/condu.md, "Deviations".

    Settings = ConduSettings
    settings: ConduSettings
    sets = ("current",)
    independent = True

    def __init__(self, settings: ConduSettings | None = None) -> None:
        super().__init__(settings)
        self._tasks = TaskModels(self.settings)
        self._initial: dict[str, Tensor] = {}

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        if self._initial:  # a training that was broken off has left its weights in the model
            consolidation.put(model.trainable_parameters(), self._initial)
        self._initial = consolidation.snapshot(model.trainable_parameters())
        self._task = ClassificationTask(model, task)

    def losses(self, model: VisionLanguageModel, batches: Mapping[str, Batch]) -> Iterator[Loss]:
        """The task's cross-entropy."""
        yield self._task.loss(model, batches["task"])

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Merge the task's weights, and put the pre-trained ones back."""
        tuned = consolidation.snapshot(model.trainable_parameters())
        consolidation.put(model.trainable_parameters(), self._initial)
        self._tasks.add(task, model, difference(tuned, self._initial))
        self._initial = {}

    def predictor(
        self, model: VisionLanguageModel, learned: Sequence[LabelSpace] = ()
    ) -> Predictor:
        if self._initial:
            model = model.frozen_copy()
            consolidation.put(model.trainable_parameters(), self._initial)
        return self._tasks.predictor(model, model.frozen_copy())

    def extra_parameters(self) -> int:
        """The merged vector, its scales and the prototypes; the masks are bits."""
        return self._tasks.extra_parameters()

    def state_dict(self) -> dict[str, Tensor]:
        """See :meth:`TaskModels.state_dict`."""
        return self._tasks.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._tasks.load_state_dict(state)
