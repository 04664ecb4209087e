"""TinyImageNet: a folder per class for training, one list for validation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gift.data.readers.reading import Reading, files_in, image_files, labels_of, lines


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``wnids.txt``, ``train/<class>/images/*.JPEG`` and ``val/val_annotations.txt``.

    The public validation images serve as test images.
    """
    names = lines(root / "wnids.txt")
    label = labels_of(names, root / "wnids.txt")
    listing = root / "val" / "val_annotations.txt"

    def validation() -> Iterator[tuple[str, int]]:
        for line in lines(listing):
            file, name, *_ = [*line.split("\t"), ""]
            yield f"val/images/{file}", label(name, listing)

    train = (
        (f"train/{name}/images/{file}", number)
        for number, name in enumerate(names)
        for file in files_in(root / "train" / name / "images", ".JPEG")
    )
    parts = {
        "train": image_files(root, train, root / "wnids.txt"),
        "test": image_files(root, validation(), listing),
    }
    return Reading(str(root), names, parts)
