"""ImageNet's layout: a folder per class below ``train`` and ``val``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift.data.readers import Splits, in_class_folders, subfolders


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``train/<class>/*.JPEG`` and ``val/<class>/*.JPEG`` of the wanted classes only.

    The public validation images serve as test images.
    """
    splits: Splits = {}
    for folder, split in {"train": "train", "val": "test"}.items():
        there = set(subfolders(root / folder))
        if missing := [name for name in wanted if name not in there]:
            raise FileNotFoundError(
                f"{len(missing)} of {len(wanted)} class folders are missing in {root / folder}, "
                f"the first is {missing[0]}"
            )
        folders = ((f"{folder}/{name}", name) for name in wanted)
        splits[split] = in_class_folders(root, folders, ".JPEG")
    return splits
