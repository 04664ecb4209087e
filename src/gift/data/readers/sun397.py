"""SUN397: a folder of JPEGs per scene, some of them nested, without parts."""

from __future__ import annotations

from pathlib import Path

from gift.data.readers.reading import Reading, files_in, image_files, lines


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``ClassName.txt`` and the images ``<letter>/<scene>/sun_*.jpg`` below the scenes."""
    listing = root / "ClassName.txt"
    names = lines(listing)
    found = (
        (f"{name.strip('/')}/{file}", label)
        for label, name in enumerate(names)
        for file in files_in(root / name.strip("/"), ".jpg", prefix="sun_")
    )
    return Reading(str(root), names, {"train": image_files(root, found, listing)})
