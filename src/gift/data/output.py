"""Where nothing may be written: among somebody's images."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from gift.data.images import suffixes
from gift.data.readers.folder import split_name


def refuse_data(out: Path, what: str, *inputs: Path) -> None:
    """Refuse to write among somebody's images, where files and folders of ours would be classes.

    Args:
        out: the folder that shall be written.
        what: what it is to the user, for the message.
        inputs: folders that are read: ``out`` may neither be one of them nor lie in one.

    Raises:
        ValueError: ``out`` is or lies in one of the inputs, or is a folder of class folders.
    """
    whole = out.resolve()
    for path in inputs:
        other = path.resolve()
        if other in (whole, *whole.parents):
            raise ValueError(
                f"{what} {out} would lie among the images in {path}, where its files would be "
                "taken for classes. Give a folder of its own."
            )
    splits = (parent for parent in whole.parents if any(map(_holds_classes, _training(parent))))
    if among := whole if _holds_classes(whole) else next(splits, None):
        raise ValueError(
            f"{what} {out} would lie among the images in {among}, where its files would be taken "
            "for classes. Give a folder of its own."
        )


def _holds_classes(folder: Path) -> bool:
    """Whether a folder looks like a data set: its visible sub-folders hold images, or classes.

    Only a few entries of each are looked at.
    """
    try:
        inner = _some_folders(folder)
        return bool(inner) and all(
            _holds_images(path) or (split_name(path.name) is not None and _holds_classes(path))
            for path in inner
        )
    except OSError:
        return False


def _training(folder: Path) -> list[Path]:
    """The training splits in a folder, whatever they are called."""
    try:
        with os.scandir(folder) as entries:
            return [Path(e.path) for e in entries if split_name(e.name) == "train" and e.is_dir()]
    except OSError:
        return []


def _some_folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        visible = (e for e in entries if not e.name.startswith(".") and e.is_dir())
        return [Path(entry.path) for entry in islice(visible, 5)]


def _holds_images(folder: Path) -> bool:
    """Whether a folder holds images that are no set of generated ones."""
    if (folder / "set.json").exists():
        return False
    with os.scandir(folder) as entries:
        return any(Path(entry.name).suffix.lower() in suffixes() for entry in islice(entries, 50))
