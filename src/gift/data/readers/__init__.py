"""Readers of data sets in the layouts in which they are published, one module per layout.

The ``kind`` of a data set's source names the module. Its function ``read(root, wanted)`` takes the
folder and the label strings that the data set's entry expects, and returns for every split its
images and their labels: strings as the files spell them, or numbers where they have no names. It
raises FileNotFoundError or ValueError that names the file.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from gift.data.images import ImageSource

Labels = Sequence[str] | Sequence[int]
Splits = dict[str, tuple[Sequence[Path] | ImageSource, Labels]]
"""Images (files, or a source that numbers them) and one label each, by split."""
Reader = Callable[[Path, Sequence[str]], Splits]

_LARGEST_MAT = 16 * 2**20
"""Bytes of a MATLAB file; the official ones have less than a quarter."""


def reader_names() -> list[str]:
    """The layouts that can be read."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def reader(kind: str) -> Reader:
    """The reader of a layout."""
    read: Reader = import_module(f"{__name__}.{kind}").read
    return read


def existing(path: Path) -> Path:
    """The path of a file that is there.

    Raises:
        FileNotFoundError: it is not.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the file {path} is missing")
    return path


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank."""
    text = existing(path).read_text(encoding="utf-8", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def load_mat(path: Path, *names: str) -> list[Any]:
    """Variables of a MATLAB file, without their dimensions of length one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is larger than the official ones, damaged, or has no such variable.
    """
    from scipy.io import loadmat

    if existing(path).stat().st_size > _LARGEST_MAT:
        raise ValueError(f"{path} cannot be read (it is larger than {_LARGEST_MAT >> 20} MiB)")
    try:
        content = loadmat(path, squeeze_me=True, variable_names=names)
    except Exception as error:  # scipy raises nearly every type on damaged files
        raise ValueError(f"{path} cannot be read ({error})") from error
    if missing := [name for name in names if name not in content]:
        raise ValueError(f"{path} has no variable {missing[0]!r}")
    return [content[name] for name in names]


def named(numbers: Sequence[int], names: Sequence[str], source: Path, first: int = 0) -> list[str]:
    """The label strings of numbers that begin with ``first``.

    Raises:
        ValueError: a number without a name; names the file that has it.
    """
    last = first + len(names) - 1
    if wrong := [number for number in numbers if not first <= number <= last]:
        raise ValueError(f"{source} has the label {wrong[0]}, not {first} to {last}")
    return [names[number - first] for number in numbers]


def subfolders(path: Path) -> list[str]:
    """Names of the visible folders in a folder, in byte order.

    Raises:
        FileNotFoundError: no such folder.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"the folder {path} is missing")
    with os.scandir(path) as entries:
        found = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    return sorted(found, key=os.fsencode)


def in_class_folders(
    root: Path, folders: Iterable[tuple[str, str]], suffix: str, prefix: str = ""
) -> tuple[list[Path], list[str]]:
    """The images of one folder per class.

    Args:
        root: the folder that the paths begin in.
        folders: path and label of every folder; one that is not there has no images.
        suffix: end of the images' names.
        prefix: beginning of the images' names; ``{}`` stands for the label.
    """
    return listed(
        root,
        (
            (f"{folder}/{file}", label)
            for folder, label in folders
            for file in _files(root / folder)
            if file.startswith(prefix.replace("{}", label)) and file.endswith(suffix)
        ),
        root,
    )


def listed(
    root: Path, images: Iterable[tuple[str, str]], source: Path
) -> tuple[list[Path], list[str]]:
    """Images that a file lists, in byte order of their paths.

    Args:
        root: the folder that the paths begin in.
        images: path with slashes, and label, of every image.
        source: the file or folder that lists them.

    Raises:
        FileNotFoundError: images are missing.
        ValueError: an image is listed twice, or lies outside the folder.
    """
    pairs = sorted(images, key=lambda pair: os.fsencode(pair[0]))
    by_folder: dict[str, set[str]] = {}
    for name, _ in pairs:
        folder, _, file = name.rpartition("/")
        by_folder.setdefault(folder, set()).add(file)
    missing: list[Path] = []
    for folder, files in by_folder.items():
        if ".." in folder.split("/") or folder.startswith("/"):
            raise ValueError(f"{source} lists images outside {root}, in {folder!r}")
        missing += [root / folder / file for file in files.difference(_files(root / folder))]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(pairs)} images that {source} lists are missing, the first is "
            f"{min(missing)}"
        )
    for (before, _), (name, _) in pairwise(pairs):
        if before == name:
            raise ValueError(f"{source} lists {name} twice")
    return [root / name for name, _ in pairs], [label for _, label in pairs]


def _files(folder: Path) -> list[str]:
    """Names of the visible files in a folder, in any order; none where there is no folder."""
    if not folder.is_dir():
        return []
    return [name for name in os.listdir(folder) if not name.startswith(".")]
