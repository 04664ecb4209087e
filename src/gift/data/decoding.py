"""Opening images that others made: a few well-known formats, never more pixels than Pillow's limit.

Pillow alone only warns of an image with one to two times that many pixels, and some of the formats
that it tells by a file's content, whatever its name, are handed on to other programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What is opened, by Pillow's names; PPM stands for its whole family."""


@contextmanager
def opened(source: Path | BytesIO) -> Iterator[Image.Image]:
    """An image whose pixels are still to be decoded.

    Raises:
        OSError: it is in no format of :data:`FORMATS`.
        ValueError: it has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
        Exception: Pillow's decoders raise nearly every type on damaged files.
    """
    try:
        image = Image.open(source, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise OSError(f"it is none of {', '.join(FORMATS)}, or damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(_too_large()) from error
    with image:
        if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels are too many: {_too_large()}")
        yield image


def _too_large() -> str:
    return (
        f"at most {Image.MAX_IMAGE_PIXELS:,} pixels are decoded; make it smaller, or raise "
        "PIL.Image.MAX_IMAGE_PIXELS if you trust it"
    )
