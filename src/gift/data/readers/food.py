"""Food-101: lists of images per dish as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from gift.data.readers.reading import Reading, existing, image_files, labels_of


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``meta/train.json``, ``meta/test.json`` and ``images/<class>/<number>.jpg``."""
    listed = {part: _listed(root / "meta" / f"{part}.json") for part in ("train", "test")}
    names = tuple(sorted(listed["train"]))
    label = labels_of(names, root / "meta" / "train.json")
    parts = {}
    for part, images in listed.items():
        listing = root / "meta" / f"{part}.json"
        found = (
            (f"{name}.jpg", label(dish, listing))
            for dish, group in images.items()
            for name in group
        )
        parts[part] = image_files(root / "images", found, listing)
    return Reading(str(root), names, parts)


def _listed(path: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(existing(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise ValueError(f"{path} must hold a list of images for every dish")
    return content
