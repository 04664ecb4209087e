"""What readers share: the result, and how listed files are looked up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gift.data.images import ImageFiles, ImageSet


@dataclass(frozen=True)
class Reading:
    """What the files of a data set hold.

    Attributes:
        place: where they are, for messages.
        names: the data set's own label strings; labels are positions in them. None where a label
            is nothing but a number.
        parts: the images of every part; ``train`` is one of them.
        ordered: whether the files fix the order of the names, so that another one is a mistake.
    """

    place: str
    names: tuple[str, ...] | None
    parts: Mapping[str, ImageSet]
    ordered: bool = True


def lines(path: Path) -> tuple[str, ...]:
    """The lines of a text file that are not blank.

    Raises:
        FileNotFoundError: no such file.
    """
    text = existing(path).read_text(encoding="utf-8", errors="replace")
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def existing(path: Path) -> Path:
    """The path of a file that is there.

    Raises:
        FileNotFoundError: it is not.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the file {path} is missing")
    return path


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


def files_in(path: Path, suffix: str, prefix: str = "") -> list[str]:
    """Names of the visible files in a folder, in any order; none where there is no folder."""
    if not path.is_dir():
        return []
    return [
        name
        for name in os.listdir(path)
        if name.startswith(prefix) and name.endswith(suffix) and not name.startswith(".")
    ]


def labels_of(names: Sequence[str], origin: Path) -> Callable[[str, Path], int]:
    """A function from (label string, the file that has it) to the label.

    Args:
        names: the label strings by label.
        origin: the file that lists them.

    Raises:
        ValueError: a string stands twice among them; the function: an unknown string.
    """
    label = {name: number for number, name in enumerate(names)}
    if len(label) != len(names):
        raise ValueError(f"{origin} names a class twice")

    def find(name: str, said_by: Path) -> int:
        if name not in label:
            raise ValueError(f"{said_by} has the class {name!r}, which {origin} does not have")
        return label[name]

    return find


def image_files(root: Path, labelled: Iterable[tuple[str, int]], said_by: Path) -> ImageFiles:
    """Listed images in byte order of their paths.

    Args:
        root: the folder that the paths begin in.
        labelled: path with slashes, and label, of every image.
        said_by: the file or folder that lists them.

    Raises:
        FileNotFoundError: images are missing.
        ValueError: an image is listed twice, or lies outside the folder.
    """
    pairs = sorted(labelled, key=lambda pair: os.fsencode(pair[0]))
    names = [name for name, _ in pairs]
    for before, name in pairwise(names):
        if before == name:
            raise ValueError(f"{said_by} lists {name} twice")
    _refuse_missing(root, names, said_by)
    return ImageFiles(tuple(root / name for name in names), tuple(label for _, label in pairs))


def _refuse_missing(root: Path, names: Sequence[str], said_by: Path) -> None:
    by_folder: dict[str, set[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        by_folder.setdefault(folder, set()).add(file)
    missing: list[Path] = []
    for folder, wanted in by_folder.items():
        if ".." in folder.split("/") or folder.startswith("/"):
            raise ValueError(f"{said_by} lists images outside {root}, in {folder!r}")
        missing += [root / folder / file for file in wanted - set(files_in(root / folder, ""))]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(names)} images that {said_by} lists are missing, the first is "
            f"{min(missing)}"
        )
