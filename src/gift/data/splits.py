"""Which images are for training: the published random split, and a few per class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gift.data.images import ImageSet


def permutation(count: int, seed: int) -> NDArray[np.int64]:
    """A permutation of 0 ... count - 1, equal to ``torch.randperm`` on the CPU with that seed.

    The Mersenne Twister drives forward exchanges: position i changes places with position
    i + (next 32 bits modulo the positions from i on).
    """
    order = list(range(count))
    bits = np.random.RandomState(seed).randint(0, 2**32, size=max(count - 1, 0), dtype=np.uint32)
    for i, draw in enumerate(bits.tolist()):
        j = i + draw % (count - i)
        order[i], order[j] = order[j], order[i]
    return np.asarray(order, dtype=np.int64)


def random_split(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """The positions (for training, for testing) of a split of so many images, each ascending.

    The first ``int(share * count)`` of the permutation are for training.
    """
    order = permutation(count, seed)
    border = int(share * count)
    return np.sort(order[:border]).tolist(), np.sort(order[border:]).tolist()


def few_shot(images: ImageSet, shots: int, seed: int) -> list[int]:
    """Ascending positions of so many images of every class, drawn at random.

    Each class has its own generator: images added to one class leave the others' draw as it was.

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
        drawn = np.random.default_rng([seed, label, *b"shots"]).permutation(members)
        chosen += drawn[:shots].tolist()
    return sorted(chosen)
