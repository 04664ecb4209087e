"""Rendering: a concept in a style becomes a small RGB picture.

A concept draws its foreground on a transparent canvas at three times the final size. The style
decides everything else: the view (rotation, scale, shift), the colours (hue, saturation,
brightness), the background, and what the camera does to the whole picture.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from gift_micro.backgrounds import BACKGROUNDS
from gift_micro.concepts.glyphs import LETTERS, MNIST
from gift_micro.draw import Canvas, Concept, FloatArray, View
from gift_micro.styles import Style

_SUPERSAMPLING = 3
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)
_ONES = np.ones(3, np.float32)


def _colour_matrix(degrees: float, saturation: float, value: float) -> FloatArray:
    """The linear map on RGB that rotates hue about the grey axis and scales colourfulness."""
    t = math.radians(degrees)
    axis = np.full((3, 3), 1 / 3, np.float32)
    skew = np.array(((0, -1, 1), (1, 0, -1), (-1, 1, 0)), np.float32) / math.sqrt(3)
    rotate = math.cos(t) * np.eye(3, dtype=np.float32) + math.sin(t) * skew
    rotate = rotate + (1 - math.cos(t)) * axis
    grey = np.outer(_ONES, _LUMA)
    colourful = grey + saturation * (np.eye(3, dtype=np.float32) - grey)
    return np.asarray(value * colourful @ rotate, np.float32)


def _view(style: Style, rng: np.random.Generator) -> View:
    dx, dy = rng.uniform(-style.shift, style.shift, 2).tolist()
    return View(
        angle=float(rng.uniform(*style.rotation)),
        scale=float(rng.uniform(*style.scale)),
        shift=(dx, dy),
        shear=float(rng.uniform(*style.shear)),
    )


def _occlude(picture: FloatArray, count: int, rng: np.random.Generator) -> None:
    """Draw small discs near the border of the frame, in place."""
    size = picture.shape[0]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    for _ in range(count):
        turn, radius = rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 0.28)
        x, y = 0.95 * math.cos(turn), 0.95 * math.sin(turn)
        inside = (axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2 < radius**2
        picture[inside] = rng.uniform(0.1, 0.9, 3)


def _shoot(picture: FloatArray, style: Style, rng: np.random.Generator) -> Image.Image:
    """What happens to the whole picture: contrast, cast, grey, resolution, blur, noise."""
    size = picture.shape[0]
    if rng.random() < style.grey:
        picture = (picture @ _LUMA)[..., None].repeat(3, axis=2)
    picture = 0.5 + (picture - 0.5) * rng.uniform(*style.contrast)
    picture = picture * np.array(style.cast, np.float32)
    if style.noise:
        picture = picture + style.noise * rng.standard_normal(picture.shape, np.float32)
    image = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
    if style.low_res:
        small = image.resize((style.low_res, style.low_res), Image.Resampling.BOX)
        image = small.resize((size, size), Image.Resampling.BILINEAR)
    radius = float(rng.uniform(*style.blur))
    if radius > 0.1:
        image = image.filter(ImageFilter.GaussianBlur(radius))
    return image


def render(concept: Concept, style: Style, rng: np.random.Generator, size: int = 32) -> Image.Image:
    """Draw one RGB picture of a concept, ``size`` pixels wide; all randomness is ``rng``'s."""
    canvas = Canvas(_SUPERSAMPLING * size, rng, _view(style, rng))
    concept.draw(canvas, rng)
    layer = np.asarray(canvas.image.reduce(_SUPERSAMPLING), np.float32) / np.float32(255)
    colour = _colour_matrix(
        rng.normal(style.hue, style.hue_jitter),
        rng.uniform(*style.saturation),
        rng.uniform(*style.value),
    )
    picture: FloatArray = np.clip(layer[..., :3] @ colour.T, 0, 1)
    glyph = concept.family in (MNIST.name, LETTERS.name)
    invert = rng.random() < (style.invert_glyphs if glyph else style.invert)
    if not concept.full_frame:
        kinds = _LIGHT if glyph else style.backgrounds
        ground = BACKGROUNDS[kinds[int(rng.integers(len(kinds)))]](rng, size)
        picture = ground + (picture - ground) * layer[..., 3:]
    if style.occluders:
        _occlude(picture, int(rng.integers(style.occluders + 1)), rng)
    if invert:
        picture = 1 - picture
    return _shoot(picture, style, rng)


#: The grounds of digits and letters, whose ink is dark (``invert_glyphs`` turns both over).
_LIGHT = ("white", "pastel", "gradient")


def handwritten_digit(
    image8x8: NDArray[np.floating], rng: np.random.Generator, size: int = 32
) -> Image.Image:
    """Enlarge a scikit-learn digit (8x8, values 0..16) to a smooth white-on-black picture."""
    image = Image.fromarray(np.pad(image8x8.astype(np.float32) / 16, 1))
    turn = math.radians(rng.uniform(-6, 6))
    step = image.width / size * rng.uniform(0.95, 1.08)
    a, b = step * math.cos(turn), step * math.sin(turn)
    centre = image.width / 2 + rng.uniform(-0.4, 0.4, 2)
    half = size / 2
    affine = (a, b, centre[0] - half * (a + b), -b, a, centre[1] - half * (a - b))
    large = image.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    ink = np.clip((np.asarray(large) - 0.2) * 1.7, 0, 1)
    return Image.fromarray((ink * 255 + 0.5).astype(np.uint8)).convert("RGB")
