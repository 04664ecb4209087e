"""Describable Textures: lists of images below a folder per texture, first partition."""

from __future__ import annotations

from pathlib import Path

from gift.data.readers.reading import Reading, image_files, labels_of, lines, subfolders

_PARTS = {"train1": "train", "val1": "validation", "test1": "test"}


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``labels/train1.txt``, ``val1.txt``, ``test1.txt`` and ``images/<class>/*.jpg``."""
    names = tuple(subfolders(root / "images"))
    label = labels_of(names, root / "images")
    parts = {}
    for word, part in _PARTS.items():
        listing = root / "labels" / f"{word}.txt"
        found = ((name, label(name.partition("/")[0], listing)) for name in lines(listing))
        parts[part] = image_files(root / "images", found, listing)
    return Reading(str(root), names, parts)
