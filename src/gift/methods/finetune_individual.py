"""Each task fine-tuned on its own from the pre-trained weights: the upper bound."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gift import weights
from gift.methods.base import (
    Backward,
    Batches,
    LabelSpaces,
    Losses,
    Method,
    Predictor,
    TaskContext,
    ZeroShotPredictor,
)
from gift.methods.objectives import TaskLoss
from gift.vlm import VisionLanguageModel


class FinetuneIndividual(Method):
    """One model per task, chosen by the task's name; unseen tasks get the pre-trained model.

    It needs the task of every image and keeps every task's weights (600 MB each for
    ViT-B/16 in fp32): a yardstick, not a method to use.
    """

    needs_task_id = True
    one_per_task = True
    shards = True

    def __init__(self, settings: None = None) -> None:
        super().__init__(settings)
        self._weights: dict[str, dict[str, Tensor]] = {}

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        initial = self._weights.setdefault(_INITIAL, weights.snapshot(model.trainable_parameters()))
        weights.assign(model.trainable_parameters(), initial)
        self._task_loss = TaskLoss(model, task)

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        loss = self._task_loss(model, batch["task"])
        backward(loss)
        return {"task": loss}

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Put the task's weights aside and the pre-trained ones back."""
        self._weights[task.labels.name] = weights.snapshot(model.trainable_parameters())
        weights.assign(model.trainable_parameters(), self._weights[_INITIAL])

    def predictor(self, model: VisionLanguageModel, learned: LabelSpaces = ()) -> Predictor:
        return _PerTask(model, self._weights)

    def classifier(self, model: VisionLanguageModel, task: str | None) -> VisionLanguageModel:
        """The task's own model."""
        own = model.frozen_copy()
        if stored := self._weights.get(task or _INITIAL):
            weights.assign(own.trainable_parameters(), stored)
        return own

    def extra_parameters(self) -> int:
        """All weights of every task."""
        tasks = (tensors for task, tensors in self._weights.items() if task != _INITIAL)
        return sum(tensor.numel() for tensors in tasks for tensor in tensors.values())

    def state_dict(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for task, tensors in self._weights.items():
            state |= weights.with_prefix(task, tensors)
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._weights = {}
        for key, tensor in state.items():
            task, _, name = key.rpartition("/")
            self._weights.setdefault(task, {})[name] = tensor


_INITIAL = ""


class _PerTask:
    """Zero-shot prediction with the weights of the task that is asked for."""

    def __init__(
        self, model: VisionLanguageModel, weights_of: Mapping[str, Mapping[str, Tensor]]
    ) -> None:
        self._model = model.frozen_copy()
        self._weights = weights_of
        self._current: str | None = None
        self._predictor = ZeroShotPredictor(self._model)

    def scores(self, pixels: Tensor, candidates: LabelSpaces, task: str | None = None) -> Tensor:
        return self._of(task).scores(pixels, candidates)

    def features(self, pixels: Tensor, task: str | None = None) -> Tensor:
        """The embeddings of the task's model."""
        return self._of(task).features(pixels)

    def _of(self, task: str | None) -> ZeroShotPredictor:
        """The rule with the task's weights; valid until another task's are asked for."""
        wanted = task if task is not None and task in self._weights else _INITIAL
        if wanted != self._current and wanted in self._weights:
            weights.assign(self._model.trainable_parameters(), self._weights[wanted])
            self._predictor = ZeroShotPredictor(self._model)
            self._current = wanted
        return self._predictor
