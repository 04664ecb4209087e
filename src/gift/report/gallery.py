"""Synthetic images as data URIs, small enough to put hundreds on one page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from gift.report.comparison import Comparison
from gift.runs.read import Run, SyntheticImage

LARGEST = 160  # pixels; bigger images are made smaller
PIXELATED_BELOW = 96  # smaller images are enlarged with hard edges


@dataclass(frozen=True)
class Picture:
    """An embedded image."""

    uri: str
    caption: str
    pixelated: bool


def gallery(comparison: Comparison) -> tuple[Run, dict[str, list[Picture]]] | None:
    """The first run that still has its synthetic images and they by task, None if none has."""
    for group in comparison.groups:
        for run in (*group.used, *group.runs):
            shown = {task: _pictures(images) for task, images in run.samples.items()}
            if shown := {task: pictures for task, pictures in shown.items() if pictures}:
                return run, shown
    return None


def _pictures(images: Sequence[SyntheticImage]) -> list[Picture]:
    """Unreadable files are skipped: a report is no place to fail over one picture."""
    from gift.data.images import (
        opened as open_image,
    )  # gift.data needs torch, a page without images does not

    pictures = []
    for image in images:
        try:
            with open_image(image.path) as picture:
                shown = picture.convert("RGB")
                pictures.append(Picture(data_uri(shown), image.caption, is_pixelated(shown)))
        except Exception:  # PIL's decoders raise nearly every type on damaged files
            continue
    return pictures


def data_uri(image: Image.Image) -> str:
    """An RGB image as a data URI; large ones become smaller and are compressed with losses."""
    small = image.copy()
    small.thumbnail((LARGEST, LARGEST))
    kind = "png" if is_pixelated(image) else "jpeg"
    out = io.BytesIO()
    small.save(out, kind, quality=85)  # which PNG does not know
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return f"data:image/{kind};base64,{data}"


def opened(uri: str) -> Image.Image:
    """The image of a data URI."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def is_pixelated(image: Image.Image) -> bool:
    """Whether an image is so small that it is enlarged with hard edges."""
    return max(image.size) <= PIXELATED_BELOW
