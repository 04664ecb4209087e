"""What a method is: the hooks that the training loop calls, and nothing else.

A method is one module of this package named as on the command line, holding one subclass of
:class:`Method`. The module's file is all that has to be written; it is found by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from gift import distributed
from gift.data.labels import LabelSpace
from gift.data.loader import Batch, ImageTexts
from gift.losses import similarity
from gift.settings import Settings
from gift.vlm import VisionLanguageModel, class_embeddings

Parameters = Mapping[str, torch.nn.Parameter]


class MethodSettings(Settings):
    """Base of every method's settings."""


@dataclass(frozen=True)
class TaskContext:
    """What a method may know of the task that begins.

    Attributes:
        labels: the task's words.
        label_smoothing: of hard targets.
        sets: the image sets that the method asked for, by name (see :class:`Method`).
        sentences: texts of no task that go with the reference set.
        seed: of whatever the method draws for this task.
    """

    labels: LabelSpace
    label_smoothing: float
    sets: Mapping[str, ImageTexts] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Loss:
    """A scalar to run backward on; ``parts`` are logged beside it."""

    name: str
    value: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Predictor(Protocol):
    """Names images."""

    def scores(
        self, pixels: Tensor, candidates: Sequence[LabelSpace], task: str | None = None
    ) -> Tensor:
        """Scores of images against class names.

        Args:
            pixels: float [B, 3, S, S], normalised.
            candidates: label spaces whose classes compete.
            task: name of the task that the images belong to, or None where it is hidden.

        Returns:
            [B, C] with C the candidates' classes, one label space after the other.
        """
        ...

    def features(self, pixels: Tensor, task: str | None = None) -> Tensor:
        """What the images are named by, unit rows [B, D]; arguments as of :meth:`scores`."""
        ...


class ZeroShotPredictor:
    """CLIP's zero-shot rule: the class whose embedding is most similar to the image's.

    Class embeddings are computed once per label space; build a new predictor when the weights
    have changed.
    """

    def __init__(self, model: VisionLanguageModel) -> None:
        self._model = model
        self._classes: dict[LabelSpace, Tensor] = {}

    @torch.no_grad()
    def scores(
        self, pixels: Tensor, candidates: Sequence[LabelSpace], task: str | None = None
    ) -> Tensor:
        """Scaled cosine similarities [B, C]; ``task`` does not matter."""
        classes = self.classes(candidates)
        return similarity(self._model.encode_images(pixels), classes, self._model.logit_scale)

    @torch.no_grad()
    def features(self, pixels: Tensor, task: str | None = None) -> Tensor:
        """The model's embeddings of the images, unit rows [B, D]; ``task`` does not matter."""
        return self._model.encode_images(pixels)

    def classes(self, candidates: Sequence[LabelSpace]) -> Tensor:
        """The embeddings of the candidates' classes, unit rows [C, D]."""
        for labels in candidates:
            if labels not in self._classes:
                self._classes[labels] = class_embeddings(self._model, labels)
        return torch.cat([self._classes[labels] for labels in candidates])


class Method(ABC):
    """The hooks of a method, in the order in which they are called.

    Image sets are asked for by name: ``synthetic`` (painted image-text pairs), ``reference`` (real
    images of no task), ``current`` (the task's training images under the test transform, each with
    its class prompt) and ``exemplar`` (what :meth:`exemplars` keeps).

    Attributes:
        Settings: the settings model; its docstring and descriptions are the user's help.
        streams: names of the sets of which every step gets a batch beside the task's.
        sets: names of the sets that are only looked at as a whole.
        trains: False for a method that leaves the model as it is.
        needs_task_id: True for a method that is nothing without being told the task of an image.
        independent: True for a method that trains every task from the same weights, without a look
            at the others; only :meth:`end_task` brings them together. Several processes then train
            a task each.
        shards: True for a method that works on weights spread over processes
            (:mod:`gift.distributed.fsdp`): it neither copies the model nor calls
            ``torch.autograd.grad``, and its state's keys end with the name of the parameter that
            they belong to.
    """

    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    streams: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    trains: ClassVar[bool] = True
    needs_task_id: ClassVar[bool] = False
    independent: ClassVar[bool] = False
    shards: bool = False

    def __init__(self, settings: MethodSettings | None = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    @classmethod
    def name(cls) -> str:
        return cls.__module__.rpartition(".")[2]

    def check(self, model: VisionLanguageModel) -> None:
        """Refuse settings that do not go with the model, before anything is made for it.

        Raises:
            ValueError: what does not go, and what would.
        """

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Called once before the first step of a task, with the model as it is then.

        Also called before a task is resumed, with the model as it was at the task's start.
        """

    @abstractmethod
    def losses(self, model: VisionLanguageModel, batches: Mapping[str, Batch]) -> Iterator[Loss]:
        """Yield the step's losses one by one; :meth:`backward` runs between two of them.

        So only one graph is alive at a time, and a gradient can be looked at before the next one
        is added to it.
        """

    def backward(self, loss: Loss, parameters: Parameters) -> Mapping[str, Tensor]:
        """Accumulate the gradients of one loss; returns further values to log.

        What ``.grad`` holds afterwards is whole, also where several processes share the work.
        """
        distributed.backward(loss.value, parameters.values())
        return {}

    def after_step(self, model: VisionLanguageModel, step: int) -> None:
        """Called after each optimiser step; ``step`` counts from 0."""

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Called after the last step of a task; may still change the weights."""

    def exemplars(self) -> ImageTexts | None:
        """Images of earlier tasks that the method keeps: the ``exemplar`` set; None without."""
        return None

    def predictor(
        self, model: VisionLanguageModel, learned: Sequence[LabelSpace] = ()
    ) -> Predictor:
        """Classifies images with what was learned so far.

        Args:
            model: as it is after the last task.
            learned: the label spaces of the tasks learned so far, in order.
        """
        return ZeroShotPredictor(model)

    def extra_parameters(self) -> int:
        """How many numbers prediction needs beside the weights of one model."""
        return 0

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors that the method keeps between tasks."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave."""
        assert not state

    def training_state(self) -> dict[str, Tensor]:
        """What the method remembers in the middle of a task beside :meth:`state_dict`.

        Only what :meth:`begin_task` cannot make again.
        """
        return {}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`training_state` gave; called after :meth:`begin_task`."""
        assert not state
