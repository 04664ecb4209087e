"""Scanning image folders: one sub-folder per class, alone or below train/, test/, validation/."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gift.data.images import ImageFiles
from gift.text import check_name, one_line

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


def scan(path: Path, *, follow_links: bool = False) -> ScannedFolder:
    """List the images of a folder in byte order of their paths; hidden files are ignored.

    A folder is split when it has ``train`` and no other folders than parts, or when ``train`` has
    sub-folders itself. (``train`` is also a class name: a folder ``train`` that holds images and
    stands beside other classes is a class.)

    Args:
        path: the folder, or a link to it.
        follow_links: whether links inside it may lead out of it.

    Raises:
        FileNotFoundError: no folder at ``path``.
        ValueError: the layout is not one of the two, a class is empty, two folders spell the same
            class name, the parts' classes differ or parts share files, a link leads out of the
            folder, or a class folder's name is not one line of text.
    """
    if not path.is_dir():
        raise FileNotFoundError(
            f"{one_line(path)} is not a folder; give a folder with one folder per class."
        )
    look = _Look(path, follow_links)
    names, _ = look.list(path)
    is_split = "train" in names and (set(names) <= set(PARTS) or bool(look.list(path / "train")[0]))
    if not is_split:
        folders, images = _scan_classes(path, look)
        return ScannedFolder(path, folders, {"train": images})
    if {"val", "validation"} <= set(names):
        raise ValueError(f"{path} has both val/ and validation/; keep one of them.")
    scanned = {PARTS[name]: _scan_classes(path / name, look) for name in PARTS if name in names}
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


@dataclass(frozen=True)
class _Look:
    """What may be looked at below a folder."""

    root: Path
    follow_links: bool

    def list(self, path: Path) -> tuple[list[str], list[str]]:
        """Names of the visible sub-folders and files, each in byte order.

        Raises:
            ValueError: one of them is a link out of the folder, which may not be followed.
        """
        with os.scandir(path) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
        for entry in visible:
            if entry.is_symlink() and not self.follow_links:
                self._refuse_outside(entry.path)
        folders = sorted((e.name for e in visible if e.is_dir()), key=os.fsencode)
        return folders, sorted((e.name for e in visible if e.is_file()), key=os.fsencode)

    def _refuse_outside(self, link: str) -> None:
        root, target = os.path.realpath(self.root), os.path.realpath(link)
        if os.path.commonpath([root, target]) != root:
            raise ValueError(
                f"{one_line(link)} is a link to {one_line(target)}, out of {one_line(self.root)}; "
                "put the files themselves there, or give follow_links=True (--follow-links) if "
                "you trust whoever made the folder."
            )


def _scan_classes(path: Path, look: _Look) -> tuple[tuple[str, ...], ImageFiles]:
    folders, loose = look.list(path)
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
        check_name(f"{path}: the folder", folder)
        name = class_name(folder)
        if name in spelled:
            raise ValueError(
                f"{path}: the folders {spelled[name]!r} and {folder!r} both spell the class "
                f"{name!r}; merge or rename one."
            )
        spelled[name] = folder
        nested, inside = look.list(path / folder)
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
                    f"{one_line(first)} ({other}) and {one_line(path)} ({part}) are the same file; "
                    "an image may belong to one part only."
                )


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return one_line(", ".join(names[:limit])) + more
