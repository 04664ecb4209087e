"""EuroSAT (RGB): a folder of JPEGs per class, without splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift.data.readers import Splits, in_class_folders, subfolders


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``<Class>/<Class>_<number>.jpg``."""
    folders = ((name, name) for name in subfolders(root))
    return {"train": in_class_folders(root, folders, ".jpg", prefix="{}_")}
