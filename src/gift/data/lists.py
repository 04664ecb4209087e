"""Lists of class names, shipped or the user's (one name per line), and overlaps between lists."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from gift.plugins import shipped_files
from gift.text import check_name, is_path, shortened, unknown, user_path
from gift.textfiles import lines_of


def class_list(name: str) -> tuple[str, ...]:
    """A shipped list of class names, or those of a text file (``.txt``), one per line.

    Names may repeat: the ImageNet list has 1000 entries, 998 of them distinct.

    Raises:
        ValueError: unknown name (with the nearest), no such file, or no names in it.
    """
    return _read(name, "class list", "classnames")


def names_in(path: Path) -> tuple[str, ...]:
    """The class names in a user's text file, one per line.

    Raises:
        ValueError: no such file, another encoding than UTF-8, no name, or one that is not a line of
            text; the message names the file.
    """
    names = tuple(lines_of(path))
    if not names:
        raise ValueError(f"{path} holds no class names; write one per line.")
    for name in names:
        check_name(f"{path}: the class name", name)
    return names


def names_given(value: str) -> tuple[str, ...]:
    """Class names as they are given on a command line: ``a,b,c``, or a text file's, one per line.

    What has a path separator, the ending of a file or is a file or folder is never a class name.

    >>> names_given("cat, dog")
    ('cat', 'dog')

    Raises:
        ValueError: a file that is not there or cannot be used, an empty name, or one that stands
            twice.
    """
    path = user_path(value)
    is_file = path.suffix.lower() in FILE_ENDINGS or os.sep in value or value[:1] == "~"
    if "," not in value and (is_file or _exists(path)):
        if path.is_dir():
            raise ValueError(
                f"{value} is a folder; give class names (a,b,c) or a text file with one per line."
            )
        names = names_in(path)
    else:
        names = tuple(name.strip() for name in value.split(","))
        for name in names:
            if not name:
                raise ValueError(f"{shortened(value)} has an empty class name; write a,b,c.")
            if Path(name).suffix.lower() in FILE_ENDINGS:
                raise ValueError(f"{name!r} is a file's name; give one file, or class names a,b,c.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the class name {twice!r} is given twice; give each once.")
    return names


FILE_ENDINGS = {".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".md", ".list", ".names"}
"""Endings by which a word is the name of a file and not of a class."""


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a path
        return False


def label_list(name: str) -> tuple[str, ...]:
    """A data set's own label strings, from a list like those of :func:`class_list`."""
    return _read(name, "label list", "labels")


def shipped(kind: str, name: str, folder: str, suffix: str) -> Path:
    """The file of a shipped name; ValueError with the nearest name for an unknown one."""
    known = shipped_files(folder, suffix)
    if name not in known:
        raise ValueError(unknown(kind, name, known))
    return known[name]


def without_overlap(names: Sequence[str], others: Iterable[str]) -> tuple[str, ...]:
    """The names that overlap with none of the others, in their order.

    Two names overlap when one holds the other as a run of whole words. Case, text in brackets,
    hyphens, underscores and a plural s do not count.

    >>> without_overlap(["Tree frogs", "pine tree", "sea-lion", "steam train"], ["frog", "trees"])
    ('sea-lion', 'steam train')
    """
    taken = [_spelled(name) for name in others]
    return tuple(name for name in names if not any(_overlap(_spelled(name), own) for own in taken))


def draw_names(
    names: Sequence[str], others: Iterable[str], *, count: int, seed: int
) -> tuple[str, ...]:
    """At most ``count`` of the names that overlap with none of the others, sampled at random.

    The result keeps the order of the names; one that is repeated counts once.

    Raises:
        ValueError: no name remains.
    """
    free = without_overlap(tuple(dict.fromkeys(names)), others)
    if not free:
        raise ValueError(
            f"all {len(names)} general names overlap with the data set's; give another list."
        )
    chosen = np.random.default_rng(seed).permutation(len(free))[:count]
    return tuple(free[position] for position in sorted(chosen))


def _read(name: str, kind: str, folder: str) -> tuple[str, ...]:
    path = Path(name) if is_path(name, ".txt") else shipped(kind, name, folder, ".txt")
    return names_in(path)


def _spelled(name: str) -> tuple[str, ...]:
    plain = re.sub(r"\([^)]*\)|\[[^\]]*\]", " ", name.lower())
    words = re.split(r"[\s_-]+", plain.strip(" _-"))
    return tuple(word.removesuffix("s") for word in words)


def _overlap(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    short, long = sorted((a, b), key=len)
    starts = range(len(long) - len(short) + 1)
    return any(long[start : start + len(short)] == short for start in starts)
