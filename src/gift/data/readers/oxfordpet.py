"""Oxford-IIIT Pet: lists of images named after their breed, with its number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gift.data.readers.reading import Reading, image_files, lines

_PARTS = {"trainval": "train", "test": "test"}


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``annotations/trainval.txt``, ``annotations/test.txt`` and ``images/<id>.jpg``."""
    listings = {part: root / "annotations" / f"{word}.txt" for word, part in _PARTS.items()}
    listed = {part: list(_breeds(listing)) for part, listing in listings.items()}
    names: dict[int, str] = {}
    for part, images in listed.items():
        for image, breed, number in images:
            if names.setdefault(number, breed) != breed:
                raise ValueError(
                    f"{listings[part]} numbers {image} {number}, which is {names[number]!r}"
                )
    if sorted(names) != list(range(1, len(names) + 1)):
        raise ValueError(f"{listings['train']} must number the breeds from 1 without gaps")
    parts = {
        part: image_files(
            root,
            ((f"images/{image}.jpg", number - 1) for image, _, number in images),
            listings[part],
        )
        for part, images in listed.items()
    }
    return Reading(str(root), tuple(names[number] for number in sorted(names)), parts)


def _breeds(listing: Path) -> Iterator[tuple[str, str, int]]:
    """Image, breed and the breed's number of every line."""
    for line in lines(listing):
        if line.startswith("#"):
            continue
        image, number, *_ = [*line.split(), ""]
        if not number.isdecimal():
            raise ValueError(f"{listing}: {line!r} is not an image with the number of its breed")
        yield image, image.rpartition("_")[0], int(number)
