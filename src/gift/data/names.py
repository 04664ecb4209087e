"""General class names that do not overlap with those of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np


def without_overlap(names: Sequence[str], others: Iterable[str]) -> tuple[str, ...]:
    """The names that overlap with none of the others, in their order.

    Two names overlap when one holds the other as a run of whole words. Case, text in brackets,
    hyphens, underscores and a plural s do not count.

    >>> without_overlap(["Tree frogs", "pine tree", "sea-lion", "steam train"], ["frog", "trees"])
    ('sea-lion', 'steam train')
    """
    taken = [_words(name) for name in others]

    def is_free(words: tuple[str, ...]) -> bool:
        return not any(_overlap(words, own) for own in taken)

    return tuple(name for name in names if is_free(_words(name)))


def draw_names(
    names: Sequence[str], others: Iterable[str], *, count: int, seed: int
) -> tuple[str, ...]:
    """At most ``count`` of the names that overlap with none of the others, drawn without return.

    Args:
        names: general names; the result keeps their order. One that is repeated counts once.
        others: the data set's class names.
        count: how many are wanted; all are taken where fewer remain.
        seed: of the draw.

    Raises:
        ValueError: no name remains.
    """
    free = without_overlap(tuple(dict.fromkeys(names)), others)
    if not free:
        raise ValueError(
            f"all {len(names)} general names overlap with the data set's; give another list."
        )
    drawn = np.random.default_rng(seed).permutation(len(free))[:count]
    return tuple(free[position] for position in sorted(drawn))


def _words(name: str) -> tuple[str, ...]:
    plain = re.sub(r"\([^)]*\)|\[[^\]]*\]", " ", name.lower())
    words = re.split(r"[\s_-]+", plain.strip(" _-"))
    return tuple(word.removesuffix("s") for word in words)


def _overlap(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    short, long = sorted((a, b), key=len)
    starts = range(len(long) - len(short) + 1)
    return any(long[start : start + len(short)] == short for start in starts)
