"""Lists of names that the package ships or the user writes: one name per line."""

from __future__ import annotations

import os
from pathlib import Path

from gift.plugins import shipped_files
from gift.text import unknown


def class_list(name: str) -> tuple[str, ...]:
    """A shipped list of class names, or those of a text file (``.txt``), one per line.

    Names may repeat: the ImageNet list has 1000 entries, 998 of them distinct.

    Raises:
        ValueError: unknown name (with the nearest), no such file, or no names in it.
    """
    return _read(name, "class list", "classnames")


def label_list(name: str) -> tuple[str, ...]:
    """A data set's own label strings: a shipped list, or the lines of a text file (``.txt``).

    Raises:
        ValueError: unknown name (with the nearest), no such file, or nothing in it.
    """
    return _read(name, "label list", "labels")


def shipped_names(folder: str, suffix: str) -> list[str]:
    """The names in a folder of the catalogues."""
    return list(shipped_files(folder, suffix))


def shipped(kind: str, name: str, folder: str, suffix: str) -> Path:
    """The file of a shipped name.

    Raises:
        ValueError: unknown name, with the nearest.
    """
    known = shipped_files(folder, suffix)
    if name not in known:
        raise ValueError(unknown(kind, name, known))
    return known[name]


def is_path(reference: str, *suffixes: str) -> bool:
    """Whether a reference is a path and not a shipped name."""
    return os.sep in reference or reference.endswith(suffixes)


def _read(name: str, kind: str, folder: str) -> tuple[str, ...]:
    if is_path(name, ".txt"):
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"{name} does not exist; give a text file with one name per line.")
    else:
        path = shipped(kind, name, folder, ".txt")
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    names = tuple(line for line in lines if line)
    if not names:
        raise ValueError(f"{path} holds no class names; write one per line.")
    return names
