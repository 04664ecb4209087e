"""What a learner keeps while it learns a task, measured before and after.

Images that the generator makes of class names need no data. They are held out: the same prompts as
in training, other noise. Of general names, and of each earlier task's, the meter looks at how many
answers are as before, and how many are the name in the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gift.config import LearnerConfig
from gift.data import pixels
from gift.data.labels import LabelSpace, tasks_of
from gift.evaluate import class_names, score_batches
from gift.learner import Learner
from gift.methods import Predictor
from gift.progress import track
from gift.runs import KeptGroup
from gift.synthesis import build_pool
from gift.vlm import read_alike

_OF_A_NAME = 2

Answers = NDArray[np.object_]
"""The most probable class of each image, [N]."""


@dataclass(frozen=True)
class Group:
    """Class names that images are generated of.

    Attributes:
        labels: the names that compete.
        task: the learned task that they are of; None for general names.
        names: the name in each prompt, by prompt.
    """

    labels: LabelSpace
    task: str | None
    names: Mapping[str, str]


@dataclass(frozen=True)
class _Images:
    """Generated images of a group, and what was said of them before the task.

    Attributes:
        group: whose they are.
        alike: see :func:`gift.vlm.read_alike`.
        pixels: preprocessed, [N, S, S, 3].
        names: in the prompts, [N].
    """

    group: Group
    alike: Mapping[str, str]
    pixels: NDArray[np.uint8]
    names: Answers

    def answers(self, learner: Learner, predictor: Predictor) -> Answers:
        """The most probable class of each image, [N]."""
        labels, task = self.group.labels, self.group.task
        told = task if learner.method.uses_task_id() else None
        classes = class_names([labels], self.alike)
        batches = score_batches(predictor, learner.model, self.pixels, [labels], task=told)
        return np.concatenate([classes[scores.argmax(dim=1).cpu().numpy()] for scores in batches])


class ForgettingMeter:
    """Held-out generated images, and a learner's answers before it learns a task.

    Args:
        learner: as it is before the task.

    Raises:
        ValueError: a generator that cannot be loaded or makes black images only.
    """

    def __init__(self, learner: Learner) -> None:
        self._images = [_generated(learner, group) for group in groups(learner)]
        self._before = _answers(learner, self._images)

    def after(self, learner: Learner) -> tuple[KeptGroup, ...]:
        """What the learner kept, as it is after the task; nothing where the meter is off."""
        every = zip(self._images, self._before, _answers(learner, self._images), strict=True)
        return tuple(
            KeptGroup(
                name=images.group.task or "",
                classes=len(images.group.labels.classnames),
                images=len(images.names),
                agreement=_percent(after == before),
                before=_percent(before == images.names),
                after=_percent(after == images.names),
            )
            for images, before, after in every
        )


def images_of(config: LearnerConfig, *, generates: bool) -> int:
    """How many images of a group are looked at, at most; 0 where the meter is off.

    Args:
        config: the learner's.
        generates: whether its method generates images anyway.
    """
    images = config.forgetting.images
    if images is None:
        return config.synthesis.images // 10 if generates else 0
    return images


def images_needed(learner: Learner) -> tuple[int, int]:
    """How many images the meter looks at for the next task, and how many are in the store."""
    counts = [(tuple(group.names), _count(learner, group)) for group in groups(learner)]
    stored = (learner.streams.held_out_stored(prompts, count) for prompts, count in counts)
    return sum(count for _, count in counts), sum(stored)


def groups(learner: Learner) -> list[Group]:
    """What images are generated of: general class names, then each earlier task's.

    Names and tasks that ``synthesis.exclude`` lists have none; no group where the meter is off.
    """
    settings = learner.config.synthesis
    if not images_of(learner.config, generates=learner.streams.generates):
        return []
    base = tuple(dict.fromkeys(learner.streams.base_classnames))
    general = LabelSpace("general class names", base, (settings.base_template,))
    found = []
    tasks = ((labels, labels.name) for labels in tasks_of(learner.memory))
    for labels, task in [(general, None), *tasks]:
        prompts = build_pool(
            base if task is None else (),
            () if task is None else (labels,),
            base_template=settings.base_template,
            plain_template=settings.plain_template,
            templates=settings.templates,
            exclude=settings.exclude,
        )
        if prompts:
            named = (name for name in labels.classnames if name not in settings.exclude)
            found.append(Group(labels, task, dict(zip(prompts, named, strict=True))))
    return found


def _generated(learner: Learner, group: Group) -> _Images:
    """A group's images, generated unless they are stored, at most two of a name."""
    images = learner.streams.held_out(tuple(group.names), _count(learner, group))
    preprocess = learner.model.preprocess
    alike = read_alike(learner.model, group.labels.classnames)
    names = [alike[group.names[caption]] for caption in images.captions]
    return _Images(
        group,
        alike,
        pixels(images, preprocess.test_array, preprocess.key, learner.paths),
        np.array(names, dtype=object),
    )


def _count(learner: Learner, group: Group) -> int:
    most = images_of(learner.config, generates=learner.streams.generates)
    return min(most, _OF_A_NAME * len(group.names))


def _answers(learner: Learner, every: Sequence[_Images]) -> list[Answers]:
    if not every:
        return []
    predictor = learner.predictor()
    return [images.answers(learner, predictor) for images in track(every, "measuring what is kept")]


def _percent(of: NDArray[np.bool_]) -> float:
    return 100.0 * float(of.mean())
