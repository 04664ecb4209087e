"""ConDU: every task is tuned from the pre-trained weights, and the task models are merged.

"Enhanced Continual Learning of Vision-Language Models with Model Fusion" (ConDU).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gift import weights
from gift.methods.base import Backward, Batches, LabelSpaces, Losses, Method, Predictor, TaskContext
from gift.methods.merged_models import MergedModels, MergedModelSettings, difference
from gift.methods.objectives import TaskLoss
from gift.vlm import VisionLanguageModel


class Condu(Method):
    """Fine-tuning from the pre-trained model, then merging (unify) and rebuilding (decouple).

    An image of a known task is named by the task's rebuilt model. For others the models of the K
    nearest tasks and the pre-trained model vote.
    """

    # Deviation: prototypes come from images under the test transform, and the first task is
    # measured with its own model at once. See docs/methods/condu.md, "Deviations".

    Settings = MergedModelSettings
    settings: MergedModelSettings
    sets = ("current",)
    one_per_task = True

    def __init__(self, settings: MergedModelSettings | None = None) -> None:
        super().__init__(settings)
        self.merged = MergedModels(self.settings)
        self._initial: dict[str, Tensor] = {}

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        if self._initial:  # an interrupted training has left its weights in the model
            weights.assign(model.trainable_parameters(), self._initial)
        self._initial = weights.snapshot(model.trainable_parameters())
        self._task_loss = TaskLoss(model, task)

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        loss = self._task_loss(model, batch["task"])
        backward(loss)
        return {"task": loss}

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Merge the task's weights, and put the pre-trained ones back."""
        tuned = weights.snapshot(model.trainable_parameters())
        weights.assign(model.trainable_parameters(), self._initial)
        self.merged.add(task, model, difference(tuned, self._initial))
        self._initial = {}

    def predictor(self, model: VisionLanguageModel, learned: LabelSpaces = ()) -> Predictor:
        if self._initial:
            model = model.frozen_copy()
            weights.assign(model.trainable_parameters(), self._initial)
        return self.merged.predictor(model, model.frozen_copy())

    def classifier(self, model: VisionLanguageModel, task: str | None) -> VisionLanguageModel:
        """The rebuilt model of the task."""
        host = model.frozen_copy()
        if self._initial:  # of an interrupted training
            weights.assign(host.trainable_parameters(), self._initial)
        self.merged.rebuild(task, host)
        return host

    def extra_parameters(self) -> int:
        """The merged vector, its scales and the prototypes; the masks are bits."""
        return self.merged.extra_parameters()

    def state_dict(self) -> dict[str, Tensor]:
        """See :meth:`MergedModels.state_dict`."""
        return self.merged.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.merged.load_state_dict(state)
