"""EuroSAT (RGB): a folder of JPEGs per class, without parts."""

from __future__ import annotations

from pathlib import Path

from gift.data.readers.reading import Reading, files_in, image_files, subfolders


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``<Class>/<Class>_<number>.jpg``."""
    names = tuple(subfolders(root))
    found = (
        (f"{name}/{file}", label)
        for label, name in enumerate(names)
        for file in files_in(root / name, ".jpg", prefix=f"{name}_")
    )
    return Reading(str(root), names, {"train": image_files(root, found, root)})
