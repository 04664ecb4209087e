"""Where data sets and caches lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
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
