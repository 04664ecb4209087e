"""SUN397: a folder of JPEGs per scene, some of them nested, without splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift.data.readers import Splits, in_class_folders, lines


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``ClassName.txt`` and the images ``<letter>/<scene>/sun_*.jpg`` below the scenes."""
    folders = ((name.strip("/"), name) for name in lines(root / "ClassName.txt"))
    return {"train": in_class_folders(root, folders, ".jpg", prefix="sun_")}
