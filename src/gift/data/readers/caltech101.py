"""Caltech101: a folder of ``image_0001.jpg`` and so on per category, without parts."""

from __future__ import annotations

from pathlib import Path

from gift.data.readers.reading import Reading, files_in, image_files, subfolders

_BACKGROUND = "BACKGROUND_Google"


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read the category folders; the background category and stray files are left out."""
    names = tuple(name for name in subfolders(root) if name != _BACKGROUND)
    found = (
        (f"{name}/{file}", label)
        for label, name in enumerate(names)
        for file in files_in(root / name, ".jpg", prefix="image_")
    )
    return Reading(str(root), names, {"train": image_files(root, found, root)})
