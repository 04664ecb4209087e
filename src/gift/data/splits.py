"""Which images are for training, validation and testing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gift.data.images import ImageSet

S = TypeVar("S", bound=ImageSet)


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
    """Split every class at random into (rest, fraction), see :func:`split_positions`."""
    rest, chosen = split_positions(images, fraction, seed, setting)
    return images.select(rest), images.select(chosen)


def split_positions(
    images: ImageSet, fraction: float, seed: int, setting: str = "test_fraction"
) -> tuple[list[int], list[int]]:
    """The positions of (rest, fraction) of every class, ascending, at least one on each side.

    Raises:
        ValueError: a fraction outside (0, 1), or a class with a single image.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"{setting} = {fraction} must lie between 0 and 1, both excluded.")
    chosen: list[int] = []
    for members in _classes(images, seed, b"split"):
        if len(members) < 2:
            raise ValueError(
                f"{images.origin(members[0])} has one image, but {setting} needs two or "
                f"more per class; add images or leave {setting} out."
            )
        chosen += members[: min(max(round(fraction * len(members)), 1), len(members) - 1)]
    return sorted(set(range(len(images))) - set(chosen)), sorted(chosen)


def few_shot(images: ImageSet, shots: int, seed: int) -> list[int]:
    """Ascending positions of so many images of every class, sampled at random.

    Raises:
        ValueError: a class with fewer images.
    """
    chosen: list[int] = []
    for members in _classes(images, seed, b"shots"):
        if len(members) < shots:
            raise ValueError(
                f"{shots} images per class were asked for, but label {images.labels[members[0]]} "
                f"has {len(members)} in {images.origin(min(members))}; add images, or lower "
                "'shots' in the benchmark."
            )
        chosen += members[:shots]
    return sorted(chosen)


def _classes(images: ImageSet, seed: int, purpose: bytes) -> Iterator[list[int]]:
    """The positions of every class, shuffled.

    Each class has its own generator: images added to one class leave the others as they were.
    """
    labels = np.asarray(images.labels)
    for label in np.unique(labels).tolist():
        rng = np.random.default_rng([seed, label, *purpose])
        yield rng.permutation(np.flatnonzero(labels == label)).tolist()
