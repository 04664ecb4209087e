"""Scanning image folders: one sub-folder per class, alone or below train/, test/, validation/."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gift.data.images import ImageFiles

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
PARTS = {"train": "train", "test": "test", "validation": "validation", "val": "validation"}
"""Folder name -> part of the data set."""


@dataclass(frozen=True)
class ScannedFolder:
    """What an image folder holds. Labels are positions in ``folders`` (byte order)."""

    path: Path
    folders: tuple[str, ...]
    parts: dict[str, ImageFiles]

    @property
    def classnames(self) -> tuple[str, ...]:
        return tuple(map(class_name, self.folders))


def class_name(folder: str) -> str:
    """The class name that a folder's name spells.

    >>> class_name("sea_lion")
    'sea lion'
    """
    return " ".join(folder.replace("_", " ").split())


def scan(path: Path) -> ScannedFolder:
    """List the images of a folder in byte order of their paths; hidden files are ignored.

    A folder is split when it has ``train`` and no other folders than parts, or when ``train`` has
    sub-folders itself. (``train`` is also a class name: a folder ``train`` that holds images and
    stands beside other classes is a class.)

    Raises:
        FileNotFoundError: no folder at ``path``.
        ValueError: the layout is not one of the two, a class is empty, two folders spell the same
            class name, the parts' classes differ or parts share files.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not a folder; give a folder with one folder per class.")
    names, _ = _list(path)
    is_split = "train" in names and (set(names) <= set(PARTS) or bool(_list(path / "train")[0]))
    if not is_split:
        folders, images = _scan_classes(path)
        return ScannedFolder(path, folders, {"train": images})
    if {"val", "validation"} <= set(names):
        raise ValueError(f"{path} has both val/ and validation/; keep one of them.")
    scanned = {PARTS[name]: _scan_classes(path / name) for name in PARTS if name in names}
    folders = scanned["train"][0]
    for part, (others, _) in scanned.items():
        if different := sorted(set(folders) ^ set(others)):
            where = [f"{n} only in {'train' if n in folders else part}" for n in different]
            raise ValueError(
                f"{path}: train and {part} must have the same class folders, but {_some(where)}."
            )
    parts = {part: images for part, (_, images) in scanned.items()}
    _refuse_shared(parts)
    return ScannedFolder(path, folders, parts)


def _list(path: Path) -> tuple[list[str], list[str]]:
    """Names of the visible sub-folders and files, each in byte order."""
    with os.scandir(path) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    folders = sorted((e.name for e in visible if e.is_dir()), key=os.fsencode)
    return folders, sorted((e.name for e in visible if e.is_file()), key=os.fsencode)


def _scan_classes(path: Path) -> tuple[tuple[str, ...], ImageFiles]:
    folders, loose = _list(path)
    if any(_is_image(name) for name in loose):
        raise ValueError(
            f"{path} holds images without class folders; put them into one folder per class."
        )
    if not folders:
        raise ValueError(f"{path} has no class folders; make one folder per class in it.")
    spelled: dict[str, str] = {}
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        name = class_name(folder)
        if name in spelled:
            raise ValueError(
                f"{path}: the folders {spelled[name]!r} and {folder!r} both spell the class "
                f"{name!r}; merge or rename one."
            )
        spelled[name] = folder
        nested, inside = _list(path / folder)
        if nested:
            raise ValueError(
                f"{path / folder} holds folders ({_some(nested)}), but images must lie directly in "
                "their class folder; move them up, or give the folder that holds the class folders."
            )
        images = [path / folder / name for name in inside if _is_image(name)]
        if not images:
            raise ValueError(f"{path / folder} holds no images; add some or remove the folder.")
        files += images
        labels += [label] * len(images)
    return tuple(folders), ImageFiles(tuple(files), tuple(labels))


def _refuse_shared(parts: dict[str, ImageFiles]) -> None:
    folder = cache(os.path.realpath)  # files are many, folders few

    def real(path: Path) -> str:
        if path.is_symlink():
            return os.path.realpath(path)
        return os.path.join(folder(path.parent), path.name)

    owner: dict[str, tuple[str, Path]] = {}
    for part, images in parts.items():
        for path in images.files:
            other, first = owner.setdefault(real(path), (part, path))
            if other != part:
                raise ValueError(
                    f"{first} ({other}) and {path} ({part}) are the same file; an image may belong "
                    "to one part only."
                )


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
