"""Readers of data sets in the layouts in which they are published, one module per layout.

The ``kind`` of a data set's source names the module. Its function ``read(root, wanted)`` takes the
folder and the label strings that the data set's entry expects, and returns for every split its
images and their labels: strings as the files spell them, or numbers where they have no names. It
raises FileNotFoundError or ValueError that names the file; images that are missing, listed twice or
outside the folder are found by :mod:`gift.data.opening`.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from gift.data.images import ImageSource
from gift.data.matlab import check_sizes

Labels = Sequence[str] | Sequence[int]
Splits = dict[str, tuple[Sequence[Path] | ImageSource, Labels]]
"""Images (files, or a source that numbers them) and one label each, by split."""
Reader = Callable[[Path, Sequence[str]], Splits]

_LARGEST_MAT = 2 * 2**20
"""Bytes of a MATLAB file; the official ones have far less."""


def reader_names() -> list[str]:
    """The layouts that can be read."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def reader(kind: str) -> Reader:
    """The reader of a layout."""
    read: Reader = import_module(f"{__name__}.{kind}").read
    return read


def existing(path: Path) -> Path:
    """The path of a file that is there; FileNotFoundError if it is not."""
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
        ValueError: it is larger than the official ones, damaged, or has no such variable.
    """
    from scipy.io import loadmat

    if existing(path).stat().st_size > _LARGEST_MAT:
        raise ValueError(f"{path} cannot be read (it is larger than {_LARGEST_MAT >> 20} MiB)")
    try:
        packed = path.read_bytes()
        check_sizes(packed)
        content = loadmat(BytesIO(packed), squeeze_me=True, variable_names=names)
    except Exception as error:  # scipy raises nearly every type on damaged files
        raise ValueError(f"{path} cannot be read ({error})") from error
    if missing := [name for name in names if name not in content]:
        raise ValueError(f"{path} has no variable {missing[0]!r}")
    return [content[name] for name in names]


def named(numbers: Sequence[int], names: Sequence[str], source: Path, first: int = 0) -> list[str]:
    """The label strings of numbers from ``first`` on; ValueError for a number without a name."""
    last = first + len(names) - 1
    if wrong := [number for number in numbers if not first <= number <= last]:
        raise ValueError(f"{source} has the label {wrong[0]}, not {first} to {last}")
    return [names[number - first] for number in numbers]


def subfolders(path: Path) -> list[str]:
    """Names of the visible folders in a folder, in byte order; FileNotFoundError without it."""
    if not path.is_dir():
        raise FileNotFoundError(f"the folder {path} is missing")
    with os.scandir(path) as entries:
        found = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    return sorted(found, key=os.fsencode)


def files_in(folder: Path) -> list[str]:
    """Names of the visible files in a folder, in any order; none where there is no folder."""
    names = os.listdir(folder) if folder.is_dir() else []
    return [name for name in names if not name.startswith(".")]


def in_class_folders(
    root: Path, folders: Iterable[tuple[str, str]], suffix: str, prefix: str = ""
) -> tuple[list[Path], list[str]]:
    """The images of one folder per class.

    Args:
        root: where the paths begin.
        folders: path and label of every folder; one that is not there has no images.
        suffix: end of the images' names.
        prefix: beginning of the images' names; ``{}`` stands for the label.
    """
    images = (
        (f"{folder}/{file}", label)
        for folder, label in folders
        for file in files_in(root / folder)
        if file.startswith(prefix.replace("{}", label)) and file.endswith(suffix)
    )
    return in_order(root, images)


def in_order(root: Path, images: Iterable[tuple[str, str]]) -> tuple[list[Path], list[str]]:
    """Images in byte order of their paths, and their labels.

    ``images`` gives the path below ``root`` (with slashes) and the label of every image.
    """
    pairs = sorted(images, key=lambda pair: os.fsencode(pair[0]))
    return [root / name for name, _ in pairs], [label for _, label in pairs]
