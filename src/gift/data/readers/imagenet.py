"""ImageNet's layout: a folder per class below ``train`` and ``val``."""

from __future__ import annotations

from pathlib import Path

from gift.data.readers.reading import Reading, files_in, image_files, subfolders

_PARTS = {"train": "train", "val": "test"}
"""The public validation images serve as test images."""


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``train/<class>/*.JPEG`` and ``val/<class>/*.JPEG`` of the wanted classes only."""
    parts = {}
    for word, part in _PARTS.items():
        there = set(subfolders(root / word))
        if missing := [name for name in wanted if name not in there]:
            raise FileNotFoundError(
                f"{len(missing)} of {len(wanted)} class folders are missing in {root / word}, the "
                f"first is {missing[0]}"
            )
        found = (
            (f"{word}/{name}/{file}", label)
            for label, name in enumerate(wanted)
            for file in files_in(root / word / name, ".JPEG")
        )
        parts[part] = image_files(root, found, root)
    return Reading(str(root), wanted, parts)
