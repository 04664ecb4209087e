"""Fixed lists of RGB images with a fingerprint: files, and rows of a source that numbers them."""

from __future__ import annotations

import hashlib
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError
from PIL.Image import Transpose

from gift.files import checksum
from gift.text import count_of, one_line, shortened

log = logging.getLogger(__name__)

FORMATS = (
    *("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF", "ICO"),
    *("QOI", "PCX", "SGI", "PSD", "DDS", "FITS", "TGA"),
)
"""Image formats that are opened, by Pillow's names; PPM stands for its whole family.

Pillow tells a format by a file's content, whatever its name, and hands some on to other programs:
those are not here. HEIF needs the package pillow-heif.
"""

_WITHOUT_MARK = {"TGA"}
"""Formats whose files do not begin with a mark, so that nearly anything may look like one."""

_HEIF_SUFFIXES = {".heic", ".heics", ".heif", ".heifs", ".hif"}

_BITS = (8, 10, 12, 14, 16)
"""Bits per value of grey images, as cameras and instruments have them."""

_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What turns an image upright, by its orientation tag."""

_ORIENTED = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
"""Where Pillow finds the orientation of an image."""


@cache
def formats() -> tuple[str, ...]:
    """Those of :data:`FORMATS` that can be opened here."""
    with suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@cache
def suffixes() -> frozenset[str]:
    """Ends of the names of files in these formats, in lower case."""
    known = {*formats(), "MPO"}  # of two photos in one file, the JPEG reader shows the first
    return frozenset(s for s, name in Image.registered_extensions().items() if name in known)


def image_problem(path: Path) -> str | None:
    """Why a file is not taken for an image; None where it is, which says nothing of its pixels.

    The suffix decides; a file without one is looked at.
    """
    suffix = path.suffix.lower()
    if suffix in suffixes():
        return None
    if suffix in _HEIF_SUFFIXES:
        return "needs pip install 'gift-cl[heif]'"
    if suffix:
        return "not the suffix of an image"
    try:
        marked = [name for name in formats() if name not in _WITHOUT_MARK]
        with Image.open(path, formats=marked):
            return None
    except Exception:  # PIL's decoders raise nearly every type on damaged files
        return "not an image"


def decoded(
    source: Path | BytesIO, what: str, hint: str, *, at_least: int | None = None
) -> Image.Image:
    """The image in a file as RGB.

    Args:
        source: the file, or its content.
        what: what it is, for messages.
        hint: what to do where it cannot be read, for messages.
        at_least: decode a JPEG file at 1/2, 1/4 or 1/8 of its size as long as both sides keep so
            many pixels; by default at its own size. Faster, and not the same as resizing it.

    Raises:
        OSError: it is no image, too large or cannot be decoded; the message says what and the hint.
    """
    try:
        with opened(source) as image:
            if at_least is not None:
                image.draft(None, (at_least, at_least))
            return to_rgb(image)
    except Exception as error:  # PIL's decoders raise nearly every type on damaged files
        reason = one_line(error) or type(error).__name__
        raise OSError(f"{what} cannot be read as an image ({reason}); {hint}.") from error


@contextmanager
def opened(source: Path | BytesIO) -> Iterator[Image.Image]:
    """An image whose pixels are still to be decoded.

    Raises:
        OSError: it is no regular file, or in no format of :data:`FORMATS`.
        ValueError: it has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``. (Pillow alone only warns
            of one to two times that many.)
        Exception: Pillow's decoders raise nearly every type on damaged files.
    """
    limit = Image.MAX_IMAGE_PIXELS or 0
    hint = (
        f"at most {limit:,} pixels are decoded; make it smaller, or raise "
        "PIL.Image.MAX_IMAGE_PIXELS if you trust it"
    )
    if isinstance(source, Path) and source.exists() and not source.is_file():
        raise OSError("it is no regular file")  # to open a pipe would wait for its other end
    try:
        image = Image.open(source, formats=formats())
    except UnidentifiedImageError as error:
        if isinstance(source, Path) and source.suffix.lower() in _HEIF_SUFFIXES - suffixes():
            raise OSError("HEIF images need pip install 'gift-cl[heif]'") from error
        raise OSError(f"it is none of {', '.join(FORMATS)}, or damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(hint) from error
    with image:
        if limit and image.width * image.height > limit:
            raise ValueError(f"{image.width} x {image.height} pixels are too many: {hint}")
        yield image


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as 8 bit RGB, as people see it.

    It is turned upright as its orientation tag says, and has no such tag afterwards. Grey values
    are repeated, and an alpha channel is dropped. An RGB image that is upright is returned itself.
    Grey images of more than 8 bits become 8 bit ones:

    - whole numbers are read as 8, 10, 12, 14 or 16 bit values, the fewest bits that hold the
      image's largest value (so the picture of a 12 bit camera in a 16 bit file is not black);
    - numbers in [0, 1] are fractions of white;
    - in all other images, the smallest value becomes black and the largest white, which is logged.

    Raises:
        ValueError: no value is a finite number.
        Exception: Pillow's decoders raise nearly every type on damaged files.
    """
    image.load()  # TIFF's reader then turns by itself, and removes the tag
    if (turn := _UPRIGHT.get(_orientation(image))) is not None:
        image = image.transpose(turn)
        for key in _ORIENTED:
            image.info.pop(key, None)
    if image.mode == "F" or image.mode.startswith("I"):
        image = Image.fromarray(eight_bits(np.asarray(image)))
    elif image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB") or image
    elif "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """The value of an image's orientation tag, 1 to 8; 1, upright, where it cannot be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged tags, of which Pillow's reader raises nearly every type
        return 1


def eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values [H, W] of any range as 8 bit ones; for the rule see :func:`to_rgb`.

    >>> eight_bits(np.array([[0, 1023, 4095]], dtype=np.uint16)).tolist()
    [[0, 64, 255]]
    >>> eight_bits(np.array([[0.0, 0.2, 1.0]])).tolist()
    [[0, 51, 255]]
    """
    is_float = values.dtype.kind == "f"
    finite = values[np.isfinite(values)] if is_float else values
    if not finite.size:
        raise ValueError("none of its values is a finite number")
    low, high = float(finite.min()), float(finite.max())
    whites = [2**bits - 1 for bits in _BITS if high < 2**bits]
    if is_float and low >= 0 and high <= 1:
        black, white = 0.0, 1.0
    elif low >= 0 and whites and (not is_float or bool((finite % 1 == 0).all())):
        black, white = 0.0, float(whites[0])
    else:
        _say_stretched()
        black, white = low, high if high > low else low + 1
    numbers = np.nan_to_num(values.astype(np.float32), nan=low, posinf=high, neginf=low)
    numbers -= black
    numbers *= 255 / (white - black)
    return np.rint(numbers, out=numbers).clip(0, 255).astype(np.uint8)


@cache
def _say_stretched() -> None:
    log.warning(
        "grey images whose values are neither in [0, 1] nor whole numbers from 0 to 65535 are "
        "stretched: each one's smallest value becomes black, its largest white."
    )


def stamp(path: Path) -> str:
    """Device, inode, size and times of a file, which no program can set back together.

    Another file has another inode, and whoever writes to a file changes its time of change.
    """
    found = path.stat()
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


class Images(Protocol):
    """A fixed list of RGB images that are decoded when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image.Image: ...

    @property
    def fingerprint(self) -> str:
        """What the images are, by their content; neither names nor times decide it."""
        ...

    @property
    def stamp(self) -> str:
        """Changes whenever a file may have been written to; found out without reading it."""
        ...


class ImageSet(ABC):
    """Labelled images that are decoded when asked for, and can be selected and relabelled."""

    labels: tuple[int, ...]
    """One position in the task's class names per image."""

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        where = shortened(self.origin(0)) if self.labels else "nowhere"
        return (
            f"<{type(self).__name__}: {count_of(len(self), 'image')} of "
            f"{count_of(len(set(self.labels)), 'class', 'classes')}, the first from {where}>"
        )

    @abstractmethod
    def __getitem__(self, index: int) -> Image.Image:
        """One image as RGB.

        Raises:
            OSError: it is missing, too large or cannot be decoded; the message names it.
        """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """What the images are, by their content, in this order."""

    @property
    @abstractmethod
    def stamp(self) -> str:
        """Changes whenever a file may have been written to; found out without reading it."""

    @property
    def is_known_by_content(self) -> bool:
        """Whether the fingerprint stays the same wherever and whenever the files were put."""
        return True

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


@dataclass(frozen=True, repr=False)
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
        """SHA-256 over every file's content.

        Raises:
            FileNotFoundError: one of them is gone.
        """
        _ = self.stamp
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            sums = pool.map(checksum, self.files)
            return hashlib.sha256("\n".join(sums).encode()).hexdigest()

    @cached_property
    def stamp(self) -> str:
        """SHA-256 over every file's :func:`stamp`.

        Raises:
            FileNotFoundError: one of them is gone.
        """
        for path in self.files:
            if not path.is_file():
                raise FileNotFoundError(f"{path} is gone; put it back, or start again without it.")
        return hashlib.sha256("\n".join(map(stamp, self.files)).encode()).hexdigest()

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
        stamp: changes whenever they may have changed.
        content: what they are; None where that would take too long to find out.
    """

    place: str
    order: Sequence[int]
    image: Callable[[int], Image.Image]
    stamp: str
    content: str | None = None


def pixel_source(path: Path, pixels: NDArray[np.uint8]) -> ImageSource:
    """The decoded content of a file of images: uint8 [N, H, W] or [N, H, W, 3]."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    image = partial(_from_pixels, pixels)
    content = digest.hexdigest()
    return ImageSource(str(path), range(len(pixels)), image, content, content)


def _from_pixels(pixels: NDArray[np.uint8], number: int) -> Image.Image:
    return Image.fromarray(pixels[number]).convert("RGB")


@dataclass(frozen=True, repr=False)
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
        return self._digest(self.source.content or self.source.stamp)

    @property
    def is_known_by_content(self) -> bool:
        return self.source.content is not None

    @cached_property
    def stamp(self) -> str:
        return self._digest(self.source.stamp)

    def _digest(self, source: str) -> str:
        return hashlib.sha256(f"{source}\0{','.join(self.keys)}".encode()).hexdigest()

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(map(str, self.positions))

    def _taken(self, indices: Sequence[int], labels: Sequence[int]) -> Self:
        positions = tuple(self.positions[i] for i in indices)
        return replace(self, positions=positions, labels=tuple(labels))

    def origin(self, index: int) -> str:
        return self.source.place
