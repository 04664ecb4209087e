"""Where data sets and caches lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gift.text import user_path

MADE = ".made-by-gift"
"""A file in the folder of a data set that was generated: it may be deleted and made again."""


@dataclass(frozen=True)
class Paths:
    """The cache directory and the directory of the data sets.

    Attributes:
        cache: what can be made again; may be deleted while nothing runs.
        data: where the paths of data sets begin.
    """

    cache: Path
    data: Path

    @classmethod
    def of(cls, cache: Path | None = None, data: Path | None = None) -> Paths:
        """The given directories, or the defaults.

        Args:
            cache: by default ``$GIFT_HOME``, else ``gift`` in the user's cache directory
                (``$XDG_CACHE_HOME`` or ``~/.cache``).
            data: by default ``data`` in the cache directory.
        """
        cache, data = cache and user_path(cache), data and user_path(data)
        if cache is None:
            user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
            cache = user_path(os.environ.get("GIFT_HOME") or f"{user}/gift")
        return cls(cache, data or cache / "data")

    @property
    def pixels(self) -> Path:
        """Test and synthetic images, decoded and resized."""
        return self.cache / "pixels"

    @property
    def checked(self) -> Path:
        """Marks of images that could be decoded."""
        return self.cache / "checked"

    @property
    def models(self) -> Path:
        """Models of catalogues that are built and not shipped, as ``<catalogue>/<model>``."""
        return self.cache / "models"

    @property
    def images(self) -> Path:
        """Sets of synthetic images."""
        return self.cache / "images"


def refuse_data(out: Path, what: str, *inputs: Path) -> None:
    """Refuse to write among somebody's images, where files and folders of ours would be classes.

    Args:
        out: the folder that shall be written.
        what: what it is to the user, for the message.
        inputs: folders that are read: ``out`` may neither be one of them nor lie in one.

    Raises:
        ValueError: ``out`` is or lies in one of the inputs, or is a folder of class folders.
    """
    whole = out.resolve()
    for path in inputs:
        other = path.resolve()
        if other in (whole, *whole.parents):
            raise ValueError(
                f"{what} {out} would lie among the images in {path}, where its files would be "
                "taken for classes. Give a folder of its own."
            )
    splits = (parent for parent in whole.parents if _holds_classes(parent / "train"))
    if among := whole if _holds_classes(whole) else next(splits, None):
        raise ValueError(
            f"{what} {out} would lie among the images in {among}, where its files would be taken "
            "for classes. Give a folder of its own."
        )


def _holds_classes(folder: Path) -> bool:
    """Whether a folder looks like a data set: its visible sub-folders hold images, or classes.

    Only a few entries of each are looked at.
    """
    try:
        inner = _some_folders(folder)
        return bool(inner) and all(
            _holds_images(path) or (path.name in _SPLITS and _holds_classes(path)) for path in inner
        )
    except OSError:
        return False


def _some_folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        visible = (e for e in entries if not e.name.startswith(".") and e.is_dir())
        return [Path(entry.path) for entry in islice(visible, 5)]


def _holds_images(folder: Path) -> bool:
    """Whether a folder holds images that are no set of generated ones."""
    if (folder / "set.json").exists():
        return False
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(_IMAGES) for entry in islice(entries, 50))


_SPLITS = {"train", "test", "validation", "val"}
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
