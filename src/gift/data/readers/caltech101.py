"""Caltech101: a folder of ``image_0001.jpg`` and so on per category, without splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift.data.readers import Splits, in_class_folders, subfolders


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read the category folders; the background category and stray files are skipped."""
    folders = [(name, name) for name in subfolders(root) if name != "BACKGROUND_Google"]
    return {"train": in_class_folders(root, folders, ".jpg", prefix="image_")}
