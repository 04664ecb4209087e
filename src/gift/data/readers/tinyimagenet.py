"""TinyImageNet: a folder per class for training, one list for validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift.data.readers import Splits, in_class_folders, in_order, lines


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``wnids.txt``, ``train/<class>/images/*.JPEG`` and ``val/val_annotations.txt``.

    The public validation images serve as test images.
    """
    folders = ((f"train/{name}/images", name) for name in lines(root / "wnids.txt"))
    rows = (line.split("\t") for line in lines(root / "val" / "val_annotations.txt"))
    images = ((f"val/images/{file}", "".join(rest[:1])) for file, *rest in rows)
    return {"train": in_class_folders(root, folders, ".JPEG"), "test": in_order(root, images)}
