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


@dataclass(frozen=True)
class Gallery:
    """Pictures per task, and the run that generated them."""

    run: Run
    tasks: tuple[tuple[str, tuple[Picture, ...]], ...]


def gallery(comparison: Comparison) -> Gallery | None:
    """The pictures of the first run that still has its synthetic images, None if none has."""
    for group in comparison.groups:
        for run in (*group.used, *group.runs):
            tasks = ((task, _pictures(images)) for task, images in run.samples.items())
            shown = tuple((task, pictures) for task, pictures in tasks if pictures)
            if shown:
                return Gallery(run, shown)
    return None


def _pictures(images: Sequence[SyntheticImage]) -> tuple[Picture, ...]:
    """Unreadable files are skipped: a report is no place to fail over one picture."""
    from gift.data.images import opened  # gift.data needs torch, a page without images does not

    pictures = []
    for image in images:
        try:
            with opened(image.path) as picture:
                pictures.append(_embed(picture.convert("RGB"), image.caption))
        except Exception:  # PIL's decoders raise nearly every type on damaged files
            continue
    return tuple(pictures)


def _embed(image: Image.Image, caption: str) -> Picture:
    small = max(image.size) <= PIXELATED_BELOW
    image.thumbnail((LARGEST, LARGEST))
    out = io.BytesIO()
    if small:
        image.save(out, "PNG")
    else:
        image.save(out, "JPEG", quality=85)
    kind = "png" if small else "jpeg"
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return Picture(f"data:image/{kind};base64,{data}", caption, small)
