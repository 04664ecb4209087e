"""FGVC-Aircraft: lists of image numbers with the name of the variant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gift.data.readers.reading import Reading, image_files, labels_of, lines

_PARTS = {"train": "train", "val": "validation", "test": "test"}


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``variants.txt``, ``images_variant_<part>.txt`` and ``images/<number>.jpg``."""
    names = lines(root / "variants.txt")
    label = labels_of(names, root / "variants.txt")

    def images(listing: Path) -> Iterator[tuple[str, int]]:
        for line in lines(listing):
            number, _, variant = line.partition(" ")
            yield f"images/{number}.jpg", label(variant.strip(), listing)

    parts = {}
    for word, part in _PARTS.items():
        listing = root / f"images_variant_{word}.txt"
        parts[part] = image_files(root, images(listing), listing)
    return Reading(str(root), names, parts)
