"""Fixed lists of RGB images with a fingerprint: files, and rows of a source that numbers them."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gift.text import one_line

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""Image formats that are opened, by Pillow's names; PPM stands for its whole family.

Pillow tells a format by a file's content, whatever its name, and hands some on to other programs.
"""


def decoded(source: Path | BytesIO, what: str, hint: str) -> Image.Image:
    """The image in a file as RGB.

    Raises:
        OSError: it is no image, too large or cannot be decoded; the message says what and the hint.
    """
    try:
        with opened(source) as image:
            return to_rgb(image)
    except Exception as error:  # PIL's decoders raise nearly every type on damaged files
        raise OSError(f"{what} cannot be read as an image ({error}); {hint}.") from error


@contextmanager
def opened(source: Path | BytesIO) -> Iterator[Image.Image]:
    """An image whose pixels are still to be decoded.

    Raises:
        OSError: it is in no format of :data:`FORMATS`.
        ValueError: it has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``. (Pillow alone only warns
            of one to two times that many.)
        Exception: Pillow's decoders raise nearly every type on damaged files.
    """
    limit = Image.MAX_IMAGE_PIXELS or 0
    hint = (
        f"at most {limit:,} pixels are decoded; make it smaller, or raise "
        "PIL.Image.MAX_IMAGE_PIXELS if you trust it"
    )
    try:
        image = Image.open(source, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise OSError(f"it is none of {', '.join(FORMATS)}, or damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(hint) from error
    with image:
        if limit and image.width * image.height > limit:
            raise ValueError(f"{image.width} x {image.height} pixels are too many: {hint}")
        yield image


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


class Images(Protocol):
    """A fixed list of RGB images that are decoded when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image.Image: ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever an image may have changed (paths, sizes and times of the files)."""
        ...


class ImageSet(ABC):
    """Labelled images that are decoded when asked for, and can be selected and relabelled."""

    labels: tuple[int, ...]
    """One position in the task's class names per image."""

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, index: int) -> Image.Image:
        """One image as RGB.

        Raises:
            OSError: it is missing, too large or cannot be decoded; the message names it.
        """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever an image may have changed."""

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """What tells each image from the others, wherever and whenever the files were put."""

    @abstractmethod
    def _taken(self, indices: Sequence[int], labels: Sequence[int]) -> Self:
        """The images at these positions, in this order, with these labels."""

    @abstractmethod
    def origin(self, index: int) -> str:
        """Where an image comes from, for messages."""

    def select(self, indices: Sequence[int]) -> Self:
        """The images at these positions, in this order."""
        return self._taken(indices, [self.labels[i] for i in indices])

    def relabelled(self, labels: Sequence[int]) -> Self:
        """The same images with other labels."""
        return self._taken(range(len(self)), labels)

    @property
    def checksum(self) -> str:
        """16 hex digits: the same images (by :attr:`keys`) with the same labels, in one order.

        Neither the folder of the files nor their times and content change it.
        """
        digest = hashlib.sha256()
        for key, label in zip(self.keys, self.labels, strict=True):
            digest.update(f"{key}\0{label}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class ImageFiles(ImageSet):
    """Labelled image files: one path and one label per image."""

    files: tuple[Path, ...]
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        assert len(self.files) == len(self.labels), "one label per file"

    def __getitem__(self, index: int) -> Image.Image:
        path = self.files[index]
        return decoded(path, one_line(path), "replace or remove it")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every file's key, size and time of change.

        Raises:
            FileNotFoundError: one of them is gone.
        """
        digest = hashlib.sha256()
        for key, path in zip(self.keys, self.files, strict=True):
            if not path.exists():
                raise FileNotFoundError(f"{path} is gone; put it back, or start again without it.")
            stat = path.stat()
            line = f"{key}\0{stat.st_size}\0{stat.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()

    @property
    def keys(self) -> tuple[str, ...]:
        """The paths below the files' common folder."""
        common = os.path.commonpath([path.parent for path in self.files]) if self.files else ""
        return tuple(path.relative_to(common).as_posix() for path in self.files)

    def _taken(self, indices: Sequence[int], labels: Sequence[int]) -> Self:
        return replace(self, files=tuple(self.files[i] for i in indices), labels=tuple(labels))

    def origin(self, index: int) -> str:
        return str(self.files[index].parent)


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Numbered images of one place: a file, or a table.

    Attributes:
        place: where they are, for messages.
        order: their numbers, in the order in which they are used.
        image: number -> image as RGB.
        fingerprint: changes whenever an image may have changed.
    """

    place: str
    order: Sequence[int]
    image: Callable[[int], Image.Image]
    fingerprint: str


def pixel_source(path: Path, pixels: NDArray[np.uint8]) -> ImageSource:
    """The decoded content of a file of images: uint8 [N, H, W] or [N, H, W, 3]."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    image = partial(_from_pixels, pixels)
    return ImageSource(str(path), range(len(pixels)), image, digest.hexdigest())


def _from_pixels(pixels: NDArray[np.uint8], number: int) -> Image.Image:
    return Image.fromarray(pixels[number]).convert("RGB")


@dataclass(frozen=True)
class NumberedImages(ImageSet):
    """Labelled images of a source that numbers them: one number and one label per image."""

    positions: tuple[int, ...]
    labels: tuple[int, ...]
    source: ImageSource

    def __post_init__(self) -> None:
        assert len(self.positions) == len(self.labels), "one label per image"

    def __getitem__(self, index: int) -> Image.Image:
        return self.source.image(self.positions[index])

    @cached_property
    def fingerprint(self) -> str:
        text = f"{self.source.fingerprint}\0{','.join(self.keys)}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(map(str, self.positions))

    def _taken(self, indices: Sequence[int], labels: Sequence[int]) -> Self:
        positions = tuple(self.positions[i] for i in indices)
        return replace(self, positions=positions, labels=tuple(labels))

    def origin(self, index: int) -> str:
        return self.source.place
