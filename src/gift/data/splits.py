"""Which images are for training, validation and testing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from gift.data.images import ImageSet

if TYPE_CHECKING:
    from gift.data.task import Task

S = TypeVar("S", bound=ImageSet)

_VALIDATION_SEED = 42


def permutation(count: int, seed: int) -> NDArray[np.int64]:
    """A permutation of 0 ... count - 1, equal to ``torch.randperm`` on the CPU with that seed.

    The Mersenne Twister drives forward exchanges: position i changes places with position
    i + (next 32 bits modulo the positions from i on).
    """
    order = list(range(count))
    bits = np.random.RandomState(seed).randint(0, 2**32, size=max(count - 1, 0), dtype=np.uint32)
    for i, value in enumerate(bits.tolist()):
        j = i + value % (count - i)
        order[i], order[j] = order[j], order[i]
    return np.asarray(order, dtype=np.int64)


def random_split(count: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """The published split of so many images: positions (for training, for testing), ascending.

    The first ``int(fraction * count)`` of the permutation are for training.
    """
    train, test = np.split(permutation(count, seed), [int(fraction * count)])
    return np.sort(train).tolist(), np.sort(test).tolist()


def split(images: S, fraction: float, seed: int, setting: str = "test_fraction") -> tuple[S, S]:
    """Split every class at random into (rest, fraction), at least one image on each side.

    Each class has its own generator: images added to one class leave the others as they were.

    Raises:
        ValueError: a fraction outside (0, 1), or a class with a single image.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"{setting} = {fraction} must lie between 0 and 1, both excluded.")
    labels = np.asarray(images.labels)
    taken = np.zeros(len(images), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise ValueError(
                f"{images.origin(members[0])} has one image, but {setting} needs two or "
                f"more per class; add images or leave {setting} out."
            )
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        order = np.random.default_rng([seed, int(label), *b"split"]).permutation(members)
        taken[order[:count]] = True
    rest, chosen = np.flatnonzero(~taken).tolist(), np.flatnonzero(taken).tolist()
    return images.select(rest), images.select(chosen)


def few_shot(images: ImageSet, shots: int, seed: int) -> list[int]:
    """Ascending positions of so many images of every class, sampled at random.

    Each class has its own generator: images added to one class leave the others' sample as it was.

    Raises:
        ValueError: a class with fewer images.
    """
    labels = np.asarray(images.labels)
    chosen: list[int] = []
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        if len(members) < shots:
            raise ValueError(
                f"{shots} images per class were asked for, but label {label} has {len(members)} in "
                f"{images.origin(int(members[0]))}; add images, or lower 'shots' in the benchmark."
            )
        order = np.random.default_rng([seed, label, *b"shots"]).permutation(members)
        chosen += order[:shots].tolist()
    return sorted(chosen)


def measured_split(task: Task, name: Literal["test", "validation"], fraction: float) -> Task:
    """The task with the images of a split as its test images.

    Where the task has no validation split, a fraction of the training images in (0, 1) is set aside
    for validation: the same images for every method and seed, never test images.

    Raises:
        ValueError: there are no such images.
    """
    if name == "validation" and task.validation is None:
        if task.train is None:
            raise ValueError(f"task {task.name!r} has no training images to split.")
        setting = "evaluation.validation_fraction"
        train, validation = split(task.train, fraction, _VALIDATION_SEED, setting)
        return replace(task, train=train, validation=validation, test=validation)
    images = task.test if name == "test" else task.validation
    if images is None:
        raise ValueError(
            f"task {task.name!r} has no test images; add a test folder beside train, or set "
            "evaluation.split = validation."
        )
    return replace(task, test=images)
