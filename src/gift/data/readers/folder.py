"""A folder with one folder per class, alone or below ``train``, ``test`` and ``validation``."""

from __future__ import annotations

from pathlib import Path

from gift.data.folder import scan
from gift.data.readers.reading import Reading


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read an image folder; the names of its folders may stand in any order.

    Links are followed: data sets are often on another disk than the data root.
    """
    scanned = scan(root, follow_links=True)
    return Reading(str(root), scanned.folders, scanned.parts, ordered=False)
