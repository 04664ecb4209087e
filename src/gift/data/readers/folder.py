"""A folder with one folder per class, alone or below ``train``, ``test`` and ``validation``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from gift.data.readers import Splits
from gift.text import check_name, one_line

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
SPLITS = {"train": "train", "test": "test", "validation": "validation", "val": "validation"}
"""Folder name -> split of the data set."""

ClassFolders = tuple[list[Path], list[str]]
"""Images and the name of each one's folder."""


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read an image folder. Links are followed: data sets are often on another disk."""
    return dict(scan(root, follow_links=True))


def class_name(folder: str) -> str:
    """The class name that a folder's name spells.

    >>> class_name("sea_lion")
    'sea lion'
    """
    return " ".join(folder.replace("_", " ").split())


def scan(path: Path, *, follow_links: bool = False) -> dict[str, ClassFolders]:
    """List the images of a folder, sorted by class folder and name; hidden files are ignored.

    A folder is split when it has ``train`` and no other folders than splits, or when ``train`` has
    sub-folders itself. (A folder ``train`` that holds images beside other classes is a class.)

    Args:
        path: the folder, or a link to it.
        follow_links: whether links inside it may lead out of it.

    Raises:
        FileNotFoundError: no folder at ``path``.
        ValueError: another layout, an empty class, two folders that spell one class name, splits
            with different classes or common files, a link out of the folder, or a class folder
            whose name is not one line of text.
    """
    if not path.is_dir():
        raise FileNotFoundError(
            f"{one_line(path)} is not a folder; give a folder with one folder per class."
        )
    within = None if follow_links else path
    names, _ = _visible(path, within)
    if "train" not in names or not (
        set(names) <= set(SPLITS) or _visible(path / "train", within)[0]
    ):
        return {"train": _scan_classes(path, within)}
    if {"val", "validation"} <= set(names):
        raise ValueError(f"{path} has both val/ and validation/; keep one of them.")
    splits = {SPLITS[name]: _scan_classes(path / name, within) for name in SPLITS if name in names}
    folders = set(splits["train"][1])
    for split, (_, others) in splits.items():
        if different := sorted(folders ^ set(others)):
            where = [f"{n} only in {'train' if n in folders else split}" for n in different]
            raise ValueError(
                f"{path}: train and {split} must have the same class folders, but {_some(where)}."
            )
    _refuse_shared(splits)
    return splits


def _visible(path: Path, within: Path | None) -> tuple[list[str], list[str]]:
    """Names of the visible sub-folders and files, each in byte order.

    Raises:
        ValueError: one of them is a link out of the folder ``within``; None: links are followed.
    """
    with os.scandir(path) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in visible:
        if within is None or not entry.is_symlink():
            continue
        root, target = os.path.realpath(within), os.path.realpath(entry.path)
        if os.path.commonpath([root, target]) != root:
            raise ValueError(
                f"{one_line(entry.path)} is a link to {one_line(target)}, out of "
                f"{one_line(within)}; put the files themselves there, or give follow_links=True "
                "(--follow-links) if you trust whoever made the folder."
            )
    folders = sorted((e.name for e in visible if e.is_dir()), key=os.fsencode)
    return folders, sorted((e.name for e in visible if e.is_file()), key=os.fsencode)


def _scan_classes(path: Path, within: Path | None) -> ClassFolders:
    folders, loose = _visible(path, within)
    if any(map(_is_image, loose)):
        raise ValueError(
            f"{path} holds images without class folders; put them into one folder per class."
        )
    if not folders:
        raise ValueError(f"{path} has no class folders; make one folder per class in it.")
    spelled: dict[str, str] = {}
    files: list[Path] = []
    labels: list[str] = []
    for folder in folders:
        check_name(f"{path}: the folder", folder)
        name = class_name(folder)
        if name in spelled:
            raise ValueError(
                f"{path}: the folders {spelled[name]!r} and {folder!r} both spell the class "
                f"{name!r}; merge or rename one."
            )
        spelled[name] = folder
        nested, inside = _visible(path / folder, within)
        if nested:
            raise ValueError(
                f"{path / folder} holds folders ({_some(nested)}), but images must lie directly in "
                "their class folder; move them up, or give the folder that holds the class folders."
            )
        images = [path / folder / file for file in inside if _is_image(file)]
        if not images:
            raise ValueError(f"{path / folder} holds no images; add some or remove the folder.")
        files += images
        labels += [folder] * len(images)
    return files, labels


def _refuse_shared(splits: dict[str, ClassFolders]) -> None:
    folder = cache(os.path.realpath)  # files are many, folders few
    owner: dict[str, tuple[str, Path]] = {}
    for split, (files, _) in splits.items():
        for path in files:
            is_link = path.is_symlink()
            real = os.path.realpath(path) if is_link else f"{folder(path.parent)}/{path.name}"
            other, first = owner.setdefault(real, (split, path))
            if other != split:
                raise ValueError(
                    f"{one_line(first)} ({other}) and {one_line(path)} ({split}) are the same "
                    "file; an image may belong to one split only."
                )


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return one_line(", ".join(names[:limit])) + more
