"""The picture world: its concepts, the styles they appear in, and how to render them.

A concept paints its foreground on a transparent canvas at three times the final size.  A
:class:`Style` decides everything else: the view (rotation, scale, shift), the colours (hue,
saturation, brightness), the background, and what the camera does to the whole picture.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from gift_micro.concepts.aircraft import AIRCRAFT
from gift_micro.concepts.animals import ANIMALS
from gift_micro.concepts.buildings import LANDMARKS, VEHICLES
from gift_micro.concepts.cars import CARS
from gift_micro.concepts.flowers import FLOWERS
from gift_micro.concepts.food import FOOD
from gift_micro.concepts.glyphs import LETTERS, MNIST
from gift_micro.concepts.household import HOUSEHOLD
from gift_micro.concepts.objects import CALTECH, CIFAR
from gift_micro.concepts.pets import PETS
from gift_micro.concepts.produce import PRODUCE
from gift_micro.concepts.satellite import EUROSAT
from gift_micro.concepts.scenes import SUN
from gift_micro.concepts.shapes import NATURE, SHAPES
from gift_micro.concepts.textures import DTD
from gift_micro.draw import Canvas, Concept, FloatArray, View, smooth_noise

__all__ = [
    "BASE_NAMES",
    "CLEAN",
    "CONCEPTS",
    "TASK_FAMILIES",
    "TASK_STYLES",
    "Concept",
    "Style",
    "concepts_of",
    "handwritten_digit",
    "medium",
    "render",
]

_TASKS = (AIRCRAFT, CALTECH, CIFAR, DTD, EUROSAT, FLOWERS, FOOD, MNIST, PETS, CARS, SUN)
_BASE = (ANIMALS, HOUSEHOLD, PRODUCE, SHAPES, NATURE, VEHICLES, LANDMARKS)

#: Every concept, in a stable order: the tasks', the base-only ones, the letters.
CONCEPTS: tuple[Concept, ...] = tuple(
    concept for family in (*_TASKS, *_BASE, LETTERS) for concept in family.concepts
)

#: The families that serve as tasks, in MTIL order I.
TASK_FAMILIES: tuple[str, ...] = tuple(family.name for family in _TASKS)

_BY_FAMILY: Mapping[str, tuple[Concept, ...]] = {
    family.name: tuple(family.concepts) for family in (*_TASKS, *_BASE, LETTERS)
}

#: The analogue of the ImageNet names: all base-only names and a third of every task but digits.
BASE_NAMES: tuple[str, ...] = tuple(
    concept.name
    for family in (*_BASE, *_TASKS)
    if family is not MNIST
    for concept in family.concepts[:: 1 if family in _BASE else 3]
)


def concepts_of(family: str) -> tuple[Concept, ...]:
    """The concepts of one family, in order; an unknown family raises ``KeyError``."""
    return _BY_FAMILY[family]


@dataclass(frozen=True)
class Style:
    """How a concept is seen.  Pairs are the bounds of a uniform draw for every picture."""

    #: Names of background kinds (keys of ``BACKGROUNDS``), one drawn per picture; digits and
    #: letters always stand on a light one.
    backgrounds: tuple[str, ...] = ("white", "pastel", "gradient")
    #: Fixed hue rotation of the foreground, in degrees.
    hue: float = 0.0
    #: Standard deviation of the hue rotation around ``hue``, in degrees.
    hue_jitter: float = 4.0
    #: Factor on the foreground's saturation.
    saturation: tuple[float, float] = (0.9, 1.1)
    #: Factor on the foreground's brightness.
    value: tuple[float, float] = (0.93, 1.05)
    #: Factor on the whole picture's contrast around middle grey.
    contrast: tuple[float, float] = (1.0, 1.0)
    #: Probability of inverting the whole picture's colours.
    invert: float = 0.0
    #: The same for digits and letters: light ink on a dark ground.
    invert_glyphs: float = 0.0
    #: Rotation in degrees, clockwise.
    rotation: tuple[float, float] = (-7.0, 7.0)
    #: Size of the foreground relative to its drawing.
    scale: tuple[float, float] = (0.85, 1.0)
    #: Horizontal slant.
    shear: tuple[float, float] = (0.0, 0.0)
    #: Largest translation along each axis, as a fraction of half the frame.
    shift: float = 0.07
    #: Standard deviation of the pixel noise (the picture's range is 0..1).
    noise: float = 0.01
    #: Radius of a Gaussian blur, in final pixels.
    blur: tuple[float, float] = (0.0, 0.0)
    #: Size to which the picture is reduced before being enlarged again; 0 leaves it.
    low_res: int = 0
    #: Probability of a grey picture.
    grey: float = 0.0
    #: Factors on the whole picture's red, green and blue.
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    #: Largest number of small discs in front of the border region.
    occluders: int = 0


#: The style of the generator's training pictures.
CLEAN = Style()


def medium(rng: np.random.Generator) -> Style:
    """A random mild style: the mixture that makes a pre-trained model moderately robust."""
    strong = rng.random() < 0.35
    contrast = float(rng.uniform(0.65, 1.0))
    return Style(
        backgrounds=tuple(BACKGROUNDS),
        hue=float(rng.normal(0.0, 30.0 if strong else 10.0)),
        saturation=(float(rng.uniform(0.5, 1.0)), 1.2),
        value=(float(rng.uniform(0.7, 0.95)), 1.08),
        contrast=(contrast, 1.0),
        invert=0.02,
        invert_glyphs=0.35,
        rotation=(-18.0, 18.0),
        scale=(0.72, 1.05),
        shear=(-0.15, 0.15),
        shift=0.12,
        noise=float(rng.uniform(0.0, 0.04)),
        blur=(0.0, 0.8 if rng.random() < 0.3 else 0.0),
        low_res=int(rng.integers(13, 22)) if rng.random() < 0.2 else 0,
        grey=0.1,
        cast=_random_cast(rng, 0.12),
        occluders=1 if rng.random() < 0.2 else 0,
    )


def _random_cast(rng: np.random.Generator, spread: float) -> tuple[float, float, float]:
    red, green, blue = (1.0 + rng.uniform(-spread, spread, 3)).tolist()
    return red, green, blue


#: The domain shift of every task.  The shifts are consistent and keep the information: zero-shot
#: accuracy suffers, fine-tuning repairs it.
TASK_STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "aircraft": Style(
            backgrounds=("grass", "runway"),
            hue=75.0,
            value=(0.6, 0.85),
            contrast=(0.6, 0.8),
            rotation=(45.0, 80.0),
            scale=(0.65, 0.85),
        ),
        "caltech101": Style(
            backgrounds=("wood", "bricks"),
            hue=140.0,
            rotation=(-75.0, -45.0),
            scale=(0.65, 0.85),
            grey=0.3,
            occluders=3,
        ),
        "cifar100": Style(
            backgrounds=("foliage", "water"),
            hue=-100.0,
            contrast=(0.5, 0.7),
            rotation=(-50.0, -20.0),
            scale=(0.7, 0.9),
            low_res=11,
        ),
        "dtd": Style(
            hue=-50.0,
            hue_jitter=10.0,
            saturation=(0.3, 0.6),
            contrast=(0.5, 0.7),
            rotation=(25.0, 50.0),
            scale=(1.1, 1.3),
            noise=0.02,
        ),
        "eurosat": Style(
            hue=120.0,
            saturation=(0.6, 0.9),
            contrast=(0.5, 0.7),
            invert=0.6,
            rotation=(-30.0, 30.0),
            cast=(1.15, 0.9, 0.95),
        ),
        "flowers": Style(
            backgrounds=("foliage", "grass"),
            hue=120.0,
            hue_jitter=8.0,
            contrast=(0.6, 0.8),
            rotation=(-75.0, -40.0),
            scale=(0.6, 0.8),
        ),
        "food": Style(
            backgrounds=("wood", "cloth"),
            hue=120.0,
            hue_jitter=8.0,
            contrast=(0.6, 0.8),
            rotation=(-65.0, -35.0),
            scale=(0.6, 0.8),
            grey=0.2,
            occluders=3,
        ),
        "mnist": Style(invert_glyphs=1.0, grey=1.0, scale=(0.8, 0.95)),
        "oxfordpet": Style(
            backgrounds=("grass", "cloth"),
            hue=150.0,
            hue_jitter=8.0,
            contrast=(0.5, 0.7),
            rotation=(40.0, 70.0),
            scale=(0.65, 0.85),
            grey=0.3,
        ),
        "stanfordcars": Style(
            backgrounds=("street", "bricks"),
            hue=125.0,
            hue_jitter=8.0,
            contrast=(0.5, 0.7),
            rotation=(-42.0, -18.0),
            scale=(0.65, 0.85),
            shear=(0.2, 0.45),
        ),
        "sun397": Style(
            hue=180.0,
            hue_jitter=8.0,
            contrast=(0.5, 0.7),
            invert=0.25,
            rotation=(30.0, 60.0),
            grey=0.2,
            occluders=3,
        ),
    }
)


# --- backgrounds -----------------------------------------------------------------------------

Background = Callable[[np.random.Generator, int], FloatArray]


def _hsv(h: float, s: float, v: float) -> FloatArray:
    return np.array(colorsys.hsv_to_rgb(h % 1.0, s, v), np.float32)


def _blend(low: FloatArray, high: FloatArray, weight: FloatArray) -> FloatArray:
    """Mix two colours by a map of weights in 0..1."""
    return np.asarray(low + (high - low) * weight[..., None], np.float32)


def _tone(rng: np.random.Generator, r: float, g: float, b: float) -> FloatArray:
    """A colour with a little random brightness."""
    return np.array((r, g, b), np.float32) * np.float32(rng.uniform(0.85, 1.15))


def _white(rng: np.random.Generator, size: int) -> FloatArray:
    return np.full((size, size, 3), rng.uniform(0.9, 1.0), np.float32)


def _pastel(rng: np.random.Generator, size: int) -> FloatArray:
    tint = _hsv(rng.uniform(), rng.uniform(0.05, 0.22), rng.uniform(0.88, 1.0))
    return np.broadcast_to(tint, (size, size, 3))


def _gradient(rng: np.random.Generator, size: int) -> FloatArray:
    hue = rng.uniform()
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None].repeat(size, axis=1)
    return _blend(_hsv(hue, 0.28, 0.92), _hsv(hue + rng.uniform(-0.1, 0.1), 0.05, 1.0), ramp)


def _dark(rng: np.random.Generator, size: int) -> FloatArray:
    tint = _hsv(rng.uniform(), rng.uniform(0.0, 0.5), rng.uniform(0.05, 0.25))
    return np.broadcast_to(tint, (size, size, 3))


def _vivid(rng: np.random.Generator, size: int) -> FloatArray:
    tint = _hsv(rng.uniform(), rng.uniform(0.4, 0.8), rng.uniform(0.5, 0.95))
    return np.broadcast_to(tint, (size, size, 3))


def _mix(rng: np.random.Generator, size: int, cells: int) -> FloatArray:
    return np.asarray(np.clip(0.5 + 0.5 * smooth_noise(rng, cells, size), 0, 1), np.float32)


def _grass(rng: np.random.Generator, size: int) -> FloatArray:
    weight = _mix(rng, size, max(4, size // 2))
    return _blend(_tone(rng, 0.2, 0.42, 0.12), _tone(rng, 0.38, 0.62, 0.22), weight)


def _foliage(rng: np.random.Generator, size: int) -> FloatArray:
    weight = _mix(rng, size, 7)
    return _blend(_tone(rng, 0.06, 0.2, 0.1), _tone(rng, 0.3, 0.45, 0.2), weight)


def _water(rng: np.random.Generator, size: int) -> FloatArray:
    weight = np.repeat(_mix(rng, size, 9)[:, size // 2 :], 2, axis=1)[:, :size]
    return _blend(_tone(rng, 0.12, 0.35, 0.55), _tone(rng, 0.35, 0.65, 0.8), weight)


def _runway(rng: np.random.Generator, size: int) -> FloatArray:
    picture = _blend(
        _tone(rng, 0.4, 0.4, 0.42), _tone(rng, 0.5, 0.5, 0.5), _mix(rng, size, max(4, size // 2))
    )
    x = int(rng.integers(size))
    picture[:, x : x + max(1, size // 12)] = 0.85
    return picture


def _wood(rng: np.random.Generator, size: int) -> FloatArray:
    weight = _mix(rng, size, 8)[size // 2][None, :].repeat(size, axis=0)
    return _blend(_tone(rng, 0.42, 0.26, 0.14), _tone(rng, 0.68, 0.48, 0.28), weight)


def _bricks(rng: np.random.Generator, size: int) -> FloatArray:
    y, x = np.mgrid[0:size, 0:size] * (32 / size) + rng.uniform(0, 8)
    row = np.floor(y / 6)
    mortar = (y % 6 < 1) | ((x + 6 * (row % 2)) % 12 < 1)
    weight = mortar.astype(np.float32)
    return _blend(_tone(rng, 0.62, 0.32, 0.25), _tone(rng, 0.75, 0.7, 0.65), weight)


def _cloth(rng: np.random.Generator, size: int) -> FloatArray:
    y, x = np.mgrid[0:size, 0:size] * (32 / size) + rng.uniform(0, 8)
    weight = 0.5 * ((x % 8 < 4).astype(np.float32) + (y % 8 < 4))
    hue = rng.uniform()
    return _blend(_hsv(hue, 0.35, 0.75), _hsv(hue, 0.1, 0.95), weight)


def _street(rng: np.random.Generator, size: int) -> FloatArray:
    horizon = round(size * rng.uniform(0.45, 0.65))
    picture = np.empty((size, size, 3), np.float32)
    picture[:horizon] = _tone(rng, 0.68, 0.76, 0.85)
    picture[horizon:] = _tone(rng, 0.4, 0.4, 0.43)
    return picture


def _clouds(rng: np.random.Generator, size: int) -> FloatArray:
    hue = rng.uniform()
    return _blend(_hsv(hue, 0.45, 0.85), _hsv(hue, 0.02, 1.0), _mix(rng, size, 4))


def _blotches(rng: np.random.Generator, size: int) -> FloatArray:
    channels = [_mix(rng, size, 5) for _ in range(3)]
    return np.asarray(0.25 + 0.6 * np.stack(channels, axis=-1), np.float32)


#: The background kinds by name.
BACKGROUNDS: Mapping[str, Background] = MappingProxyType(
    {
        "white": _white,
        "pastel": _pastel,
        "gradient": _gradient,
        "dark": _dark,
        "vivid": _vivid,
        "grass": _grass,
        "foliage": _foliage,
        "water": _water,
        "runway": _runway,
        "wood": _wood,
        "bricks": _bricks,
        "cloth": _cloth,
        "street": _street,
        "clouds": _clouds,
        "blotches": _blotches,
    }
)


# --- rendering -------------------------------------------------------------------------------

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
    """Paint small discs near the border of the frame, in place."""
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
