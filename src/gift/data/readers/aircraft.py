"""FGVC-Aircraft: lists of image numbers with the name of the variant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift.data.readers import Splits, in_order, lines


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``images_variant_<split>.txt`` and ``images/<number>.jpg``."""
    splits: Splits = {}
    for word, split in {"train": "train", "val": "validation", "test": "test"}.items():
        rows = (line.partition(" ") for line in lines(root / f"images_variant_{word}.txt"))
        images = ((f"images/{number}.jpg", variant.strip()) for number, _, variant in rows)
        splits[split] = in_order(root, images)
    return splits
