"""The contract of a method: what the training loop, evaluation and saving ask of it.

A method is one module of this package named as on the command line, holding one subclass of
:class:`Method`, or a class of another package (see :func:`gift.methods.method_class`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from gift.data.labels import LabelSpace, rivals
from gift.data.loader import Batch, ImageTexts
from gift.losses import similarity
from gift.settings import MethodSettings as MethodSettings
from gift.text import fill
from gift.vlm import VisionLanguageModel, class_embeddings

Batches = Mapping[str, Batch]
"""The batches of a step: the task's and one for each of the method's streams."""

Losses = Mapping[str, Tensor]
"""Scalars to log by name."""

LabelSpaces = Sequence[LabelSpace]

Backward = Callable[[Tensor], None]
"""Adds the gradient of a loss to ``.grad`` of the trained parameters.

The loop hands it in. What ``.grad`` holds afterwards is the whole gradient, also where several
processes share the work.
"""


@dataclass(frozen=True)
class TaskContext:
    """What a method may know of the task that begins.

    Attributes:
        labels: class names and templates of the task.
        label_smoothing: of hard targets, in [0, 1).
        sets: the image sets that the method asked for, by name (see :class:`Method`).
        sentences: texts of no task that go with the reference set.
        learned: the label spaces of the tasks before, in order.
        seed: of whatever the method draws for this task.
        class_weights: of each of the task's classes in its own loss; None weighs them equally.
    """

    labels: LabelSpace
    label_smoothing: float
    sets: Mapping[str, ImageTexts] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    learned: tuple[LabelSpace, ...] = ()
    seed: int = 0
    class_weights: tuple[float, ...] | None = None

    def loss_weights(self, device: torch.device) -> Tensor | None:
        """The weight of each of :attr:`prompts` in the task's loss, [T]; None for equal ones."""
        if self.class_weights is None:
            return None
        weights = torch.ones(len(self.prompts), device=device)
        weights[: len(self.class_weights)] = torch.tensor(self.class_weights, device=device)
        return weights

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts that compete for a training image, those of the task's classes first.

        Classes that extend a task are learned against all classes of that one, and a single class
        against all learned before, see :func:`gift.data.labels.rivals`.
        """
        own, spaces = self.labels.prompts, rivals(self.labels, self.learned)
        names = {name: labels for labels in spaces for name in labels.classnames}
        others = (
            fill(labels.templates[0], name)
            for name, labels in names.items()
            if name not in self.labels.classnames
        )
        return tuple(dict.fromkeys((*own, *others)))


class Predictor(Protocol):
    """Classifies images."""

    def scores(self, pixels: Tensor, candidates: LabelSpaces, task: str | None = None) -> Tensor:
        """Scores of images against class names.

        Args:
            pixels: float [B, 3, S, S], normalised.
            candidates: label spaces whose classes compete.
            task: name of the task that the images belong to, or None where it is unknown.

        Returns:
            [B, C] with C the candidates' classes, one label space after the other.
        """
        ...

    def features(self, pixels: Tensor, task: str | None = None) -> Tensor:
        """The image features that the scores come from, unit rows [B, D]; see :meth:`scores`."""
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
    def scores(self, pixels: Tensor, candidates: LabelSpaces, task: str | None = None) -> Tensor:
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


class Method:
    """A continual-learning method: hooks, in the order in which the loop calls them.

    Image sets are asked for by name: ``synthetic`` (generated image-text pairs), ``reference``
    (real images of no task), ``current`` (the task's training images under the test transform, each
    with its class prompt) and ``exemplar`` (what :meth:`exemplars` keeps).

    A method may train other parameters than the model's own: it adds modules to the towers in
    :meth:`begin_task` (:func:`gift.vlm.add_adapters`, :func:`gift.vlm.add_branches`), takes them
    away in :meth:`end_task`, so that a plain model is saved, keeps their weights in
    :meth:`state_dict`, and puts them back for :meth:`predictor`.

    Attributes:
        Settings: the settings model; its docstring and descriptions are the user's help.
        streams: names of the sets of which every step gets a batch beside the task's.
        sets: names of the sets that are only looked at as a whole.
        trains: False for a method that leaves the model as it is.
        needs_task_id: True for a method that cannot classify without the task of an image.
        one_per_task: True for a method that leaves the model as it is and has one for each task,
            see :meth:`classifier`; no classes can be added to its tasks.
        shards: True for a method that works on weights sharded over processes
            (:mod:`gift.distributed.fsdp`): it neither copies the model nor calls
            ``torch.autograd.grad``, and its state's keys end with the name of the parameter that
            they belong to.
    """

    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    streams: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    trains: ClassVar[bool] = True
    needs_task_id: ClassVar[bool] = False
    one_per_task: ClassVar[bool] = False
    shards: bool = False

    def __init__(self, settings: MethodSettings | None = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    @classmethod
    def name(cls) -> str:
        """What the method is called in messages: the name of its module."""
        return cls.__module__.rpartition(".")[2]

    @property
    def plain_model(self) -> str:
        """What the model folder of a learner is, in words."""
        if self.one_per_task:
            return "the pre-trained model, unchanged"
        return "the model after the last task" if self.trains else "the pre-trained model"

    def classifier(self, model: VisionLanguageModel, task: str | None) -> VisionLanguageModel:
        """The model by which :meth:`predictor` classifies the images of a task, as an ordinary one.

        Args:
            model: as it is after the last task; it stays as it is.
            task: name of a learned task; it matters where :attr:`one_per_task` is true.

        Raises:
            ValueError: the method classifies by a rule of its own that no single model has.
        """
        if type(self).predictor is not Method.predictor:
            raise ValueError(
                f"{self.name()} classifies by a rule of its own, not by the zero-shot rule of one "
                "model, so no export would classify as it does; use 'gift predict', or take "
                f"learner/model for {self.plain_model}."
            )
        return model

    @classmethod
    def uses_task_id(cls) -> bool:
        """Whether a prediction may depend on the task of an image, where that is known."""
        return cls.predictor is not Method.predictor

    def check(self, model: VisionLanguageModel) -> None:
        """Refuse settings that do not go with the model, before anything is made for it.

        Raises:
            ValueError: what does not go, and what would.
        """

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Called once before the first step of a task, with the model as it is then.

        Also called before a task is resumed, with the model as it was at the task's start.
        """

    def steps(self, iterations: int) -> int:
        """Optimiser steps of a task, given ``training.iterations``; 0 to learn in closed form."""
        return iterations

    def optimizer(
        self, model: VisionLanguageModel, *, learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer | None:
        """The optimiser of a task, made after :meth:`begin_task`; None for that of the settings.

        Each parameter group's ``lr`` is its peak learning rate.
        """
        return None

    def learning_rate(
        self, step: int, *, peak: float, warmup: int, iterations: int
    ) -> float | None:
        """The learning rate of a step, from 0, of a parameter group with this peak.

        None for that of the schedule in the settings.
        """
        return None

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        """One training step: compute losses and leave their gradients in ``.grad``.

        Each loss goes through ``backward`` before the next one is computed, so that one graph is
        alive at a time; between two of them ``.grad`` may be read and changed.

        Args:
            model: in training mode, gradients empty.
            batch: ``batch["task"]`` and one batch for each name of :attr:`streams`.
            backward: see :data:`Backward`.

        Returns:
            Scalars to log by name; all must be finite.
        """
        raise NotImplementedError(f"{type(self).__name__} takes no steps")

    def update(self, model: VisionLanguageModel, optimizer: torch.optim.Optimizer) -> None:
        """Take the optimiser's step; a method may project gradients before or weights after it."""
        optimizer.step()

    def after_step(self, model: VisionLanguageModel, step: int) -> None:
        """Called after each step, from 0, also after one that was skipped."""

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Called after the last step of a task; may still change the weights."""

    def exemplars(self) -> ImageTexts | None:
        """Images of earlier tasks that the method keeps: the ``exemplar`` set; None without."""
        return None

    def predictor(self, model: VisionLanguageModel, learned: LabelSpaces = ()) -> Predictor:
        """Classifies images with the model after the last task, and the label spaces so far."""
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
        """What it remembers in the middle of a task and :meth:`begin_task` cannot make again."""
        return {}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`training_state` gave; called after :meth:`begin_task`."""
        assert not state
