"""Oxford-IIIT Pet: lists of images named after their breed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift.data.readers import Splits, in_order, lines


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``annotations/trainval.txt``, ``test.txt`` there and ``images/<breed>_<n>.jpg``."""
    splits: Splits = {}
    for word, split in {"trainval": "train", "test": "test"}.items():
        listing = root / "annotations" / f"{word}.txt"
        names = (line.split()[0] for line in lines(listing) if not line.startswith("#"))
        images = ((f"images/{name}.jpg", name.rpartition("_")[0]) for name in names)
        splits[split] = in_order(root, images)
    return splits
