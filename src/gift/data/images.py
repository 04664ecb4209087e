"""Image files on disk as a fixed, fingerprinted list of RGB images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as 8 bit RGB, the way the usual CLIP loaders see it.

    Grey values are repeated, an alpha channel is dropped and the orientation tag is ignored. 16 bit
    images are scaled to 8 bit (PIL alone would clip them to white).
    """
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        if image.mode != "I" or values.max(initial=0) > 255:
            values /= 257
        image = Image.fromarray(np.clip(values.round(), 0, 255).astype(np.uint8))
    elif "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


@dataclass(frozen=True)
class ImageFiles:
    """Labelled image files, decoded when asked for.

    Attributes:
        files: One path per image.
        labels: One position in the task's class names per image.
    """

    files: tuple[Path, ...]
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        assert len(self.files) == len(self.labels), "one label per file"

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Image.Image:
        """Decode one image to RGB.

        Raises:
            OSError: the file is missing or cannot be decoded; the message names it.
        """
        path = self.files[index]
        try:
            with Image.open(path) as image:
                return to_rgb(image)
        except Exception as error:  # PIL's decoders raise nearly every type on damaged files
            raise OSError(
                f"{path} cannot be read as an image ({error}); replace or remove it."
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every file's path (below their common folder), size and time of change."""
        common = os.path.commonpath([path.parent for path in self.files]) if self.files else ""
        digest = hashlib.sha256()
        for path in self.files:
            stat = path.stat()
            name = path.relative_to(common).as_posix()
            digest.update(
                f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(errors="surrogateescape")
            )
        return digest.hexdigest()

    def select(self, indices: Sequence[int]) -> ImageFiles:
        """The images at these positions, in this order."""
        return ImageFiles(
            tuple(self.files[i] for i in indices), tuple(self.labels[i] for i in indices)
        )
