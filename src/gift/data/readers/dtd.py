"""Describable Textures: lists of images below a folder per texture, first partition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift.data.readers import Splits, in_order, lines


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``labels/train1.txt``, ``val1.txt``, ``test1.txt`` and ``images/<class>/*.jpg``."""
    splits: Splits = {}
    for word, split in {"train1": "train", "val1": "validation", "test1": "test"}.items():
        listing = root / "labels" / f"{word}.txt"
        images = ((name, name.partition("/")[0]) for name in lines(listing))
        splits[split] = in_order(root / "images", images)
    return splits
