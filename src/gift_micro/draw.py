"""A small vector canvas: unit coordinates, jittered colours, one affine view.

The frame spans ``[-1, 1]`` on both axes, x to the right and y down.  A concept is drawn in these
coordinates; the canvas maps every point through its affine view, so rotation, scale and
translation cost nothing and never blur the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]
FloatArray = NDArray[np.float32]

BLACK: Colour = (25, 25, 30)
CHARCOAL: Colour = (60, 62, 70)
GREY: Colour = (130, 134, 142)
SILVER: Colour = (190, 196, 204)
WHITE: Colour = (250, 250, 250)
CREAM: Colour = (245, 230, 195)
TAN: Colour = (215, 170, 110)
BROWN: Colour = (130, 80, 40)
DARK_BROWN: Colour = (75, 45, 25)
RED: Colour = (215, 30, 35)
DARK_RED: Colour = (140, 20, 30)
ORANGE_RED: Colour = (235, 75, 30)
ORANGE_BROWN: Colour = (185, 105, 40)
APRICOT: Colour = (235, 180, 135)
NAVY_GREY: Colour = (75, 90, 115)
PALE_PINK: Colour = (250, 205, 215)
ORANGE: Colour = (245, 130, 25)
GOLD: Colour = (225, 170, 40)
YELLOW: Colour = (250, 215, 40)
LIME: Colour = (140, 205, 50)
GREEN: Colour = (45, 150, 60)
DARK_GREEN: Colour = (20, 90, 45)
TEAL: Colour = (25, 150, 150)
SKY: Colour = (130, 200, 240)
BLUE: Colour = (40, 90, 210)
NAVY: Colour = (25, 40, 110)
PURPLE: Colour = (120, 50, 170)
LILAC: Colour = (180, 140, 220)
MAGENTA: Colour = (205, 40, 140)
PINK: Colour = (245, 150, 180)

_COLOUR_JITTER = 12.0


@dataclass(frozen=True)
class View:
    """Where the unit frame lands on the picture: rotation (degrees), scale, shift and shear."""

    angle: float = 0.0
    scale: float = 1.0
    shift: Point = (0.0, 0.0)
    shear: float = 0.0

    def matrix(self) -> FloatArray:
        """The 2x2 linear part."""
        turn = math.radians(self.angle)
        cos, sin = math.cos(turn), math.sin(turn)
        rotate = np.array([[cos, -sin], [sin, cos]], np.float32)
        slant = np.array([[1.0, self.shear], [0.0, 1.0]], np.float32)
        return (self.scale * rotate @ slant).astype(np.float32)


class Canvas:
    """A transparent square layer on which concepts are drawn in unit coordinates.

    Every colour is jittered once per canvas, so two pictures of one concept differ a little
    while all the parts of one picture that share a colour keep sharing it.
    """

    def __init__(self, pixels: int, rng: np.random.Generator, view: View | None = None) -> None:
        self.pixels = pixels
        self.image = Image.new("RGBA", (pixels, pixels), (0, 0, 0, 0))
        self._pen = ImageDraw.Draw(self.image)
        self._rng = rng
        self._inks: dict[Colour, tuple[int, int, int, int]] = {}
        view = view or View()
        half = pixels / 2
        self._shift = np.array(view.shift, np.float32)
        self._linear = view.matrix()
        (a, b), (c, d) = (self._linear * half).tolist()
        offset = half * (1.0 + self._shift)
        self._affine = (a, b, float(offset[0]), c, d, float(offset[1]))
        self._unit = half * view.scale

    def ink(self, colour: Colour) -> tuple[int, int, int, int]:
        """The opaque, jittered version of a colour on this canvas."""
        ink = self._inks.get(colour)
        if ink is None:
            light, *shift = self._rng.normal(0.0, 1.0, 4).tolist()
            r, g, b = (
                min(255, max(0, round(v + _COLOUR_JITTER * (0.8 * light + 0.5 * s))))
                for v, s in zip(colour, shift, strict=True)
            )
            ink = self._inks[colour] = (r, g, b, 255)
        return ink

    def _map(self, points: Iterable[Point]) -> list[Point]:
        a, b, e, c, d, f = self._affine
        return [(a * x + b * y + e, c * x + d * y + f) for x, y in points]

    def fill(self, colour: Colour) -> None:
        """Fill the whole frame."""
        self._pen.rectangle((0, 0, self.pixels, self.pixels), fill=self.ink(colour))

    def poly(self, points: Iterable[Point], colour: Colour) -> None:
        """A filled polygon."""
        self._pen.polygon(self._map(points), fill=self.ink(colour))

    def mirror(self, half: Sequence[Point], colour: Colour) -> None:
        """A polygon symmetric about the vertical axis, given by its right half, top to bottom."""
        self.poly([*half, *((-x, y) for x, y in reversed(half))], colour)

    def twice(self, points: Sequence[Point], colour: Colour) -> None:
        """A polygon and its mirror image."""
        self.poly(points, colour)
        self.poly([(-x, y) for x, y in points], colour)

    def rect(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """An axis-parallel rectangle."""
        self.poly(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour)

    def oval(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, turn: float = 0.0
    ) -> None:
        """An ellipse, turned by ``turn`` degrees."""
        self.poly(arc_points(x, y, rx, ry, 0, 360, turn), colour)

    def disc(self, x: float, y: float, r: float, colour: Colour) -> None:
        """A filled circle."""
        self.oval(x, y, r, r, colour)

    def discs(self, centres: Iterable[Point], r: float, colour: Colour) -> None:
        """Equal circles."""
        for x, y in centres:
            self.disc(x, y, r, colour)

    def sector(
        self, x: float, y: float, rx: float, ry: float, a0: float, a1: float, colour: Colour
    ) -> None:
        """A pie slice from angle ``a0`` to ``a1`` (degrees, clockwise from the right)."""
        self.poly([(x, y), *arc_points(x, y, rx, ry, a0, a1)], colour)

    def chord(
        self, x: float, y: float, rx: float, ry: float, a0: float, a1: float, colour: Colour
    ) -> None:
        """The part of an ellipse cut off by the chord from ``a0`` to ``a1``."""
        self.poly(arc_points(x, y, rx, ry, a0, a1), colour)

    def line(self, points: Iterable[Point], width: float, colour: Colour) -> None:
        """A polyline with rounded joints and ends."""
        ink = self.ink(colour)
        path = self._map(points)
        thick = max(1.0, width * self._unit)
        self._pen.line(path, fill=ink, width=round(thick))
        r = thick / 2 - 0.5
        for x, y in path:
            self._pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)

    def arc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        a0: float,
        a1: float,
        width: float,
        colour: Colour,
    ) -> None:
        """An open elliptic arc."""
        self.line(arc_points(x, y, rx, ry, a0, a1), width, colour)

    def ring(self, x: float, y: float, r: float, width: float, colour: Colour) -> None:
        """A circle's outline, centred on radius ``r``."""
        self.arc(x, y, r, r, 0, 360, width, colour)

    def field(self) -> tuple[FloatArray, FloatArray]:
        """The unit coordinates (x, y) of every pixel, for textures computed by formula."""
        axis = (np.arange(self.pixels, dtype=np.float32) + 0.5) * (2 / self.pixels) - 1
        inverse = np.linalg.inv(self._linear).astype(np.float32)
        x, y = axis[None, :] - self._shift[0], axis[:, None] - self._shift[1]
        return inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y

    def mask(self, where: NDArray[np.bool_], colour: Colour) -> None:
        """Fill the pixels selected by a mask."""
        self.image.paste(self.ink(colour), mask=Image.fromarray(where.astype(np.uint8) * 255))

    def mottle(self, cells: int, amount: float) -> None:
        """Vary the brightness of everything drawn so far by smooth noise of ``cells`` cells."""
        shade = 1.0 + amount * smooth_noise(self._rng, cells, self.pixels)
        pixels = np.asarray(self.image).astype(np.float32)
        pixels[..., :3] *= shade[..., None]
        self.image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGBA")
        self._pen = ImageDraw.Draw(self.image)


DrawConcept = Callable[[Canvas, np.random.Generator], None]


@dataclass(frozen=True)
class Concept:
    """A named thing and how to draw it."""

    name: str
    family: str
    draw: DrawConcept
    full_frame: bool = False


class Family:
    """Collects the concepts of one family in the order in which they are defined."""

    def __init__(self, name: str, *, full_frame: bool = False) -> None:
        self.name = name
        self.full_frame = full_frame
        self.concepts: list[Concept] = []

    def add(self, name: str) -> Callable[[DrawConcept], DrawConcept]:
        """Decorator: register a drawing function under a concept name."""

        def register(draw: DrawConcept) -> DrawConcept:
            self.concepts.append(Concept(name, self.name, draw, self.full_frame))
            return draw

        return register


def arc_points(
    x: float, y: float, rx: float, ry: float, a0: float, a1: float, turn: float = 0.0
) -> list[Point]:
    """Points along an elliptic arc; angles in degrees, clockwise from the right."""
    steps = max(6, math.ceil(abs(a1 - a0) * (0.04 if max(rx, ry) < 0.3 else 0.075)))
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = []
    for i in range(steps + 1):
        t = math.radians(a0 + (a1 - a0) * i / steps)
        u, v = rx * math.cos(t), ry * math.sin(t)
        points.append((x + u * cos - v * sin, y + u * sin + v * cos))
    return points


def polar(r: float, degrees: float, x: float = 0.0, y: float = 0.0) -> Point:
    """The point at distance ``r`` from (x, y) in a direction (degrees, clockwise from right)."""
    t = math.radians(degrees)
    return x + r * math.cos(t), y + r * math.sin(t)


def star_points(
    spikes: int, outer: float, inner: float, x: float = 0.0, y: float = 0.0
) -> list[Point]:
    """The outline of a star with one spike pointing up."""
    step = 180 / spikes
    return [polar(inner if i % 2 else outer, i * step - 90, x, y) for i in range(2 * spikes)]


def pick(rng: np.random.Generator, *options: Colour) -> Colour:
    """One of several colours."""
    return options[int(rng.integers(len(options)))]


def smooth_noise(rng: np.random.Generator, cells: int, pixels: int) -> FloatArray:
    """Square smooth noise of about unit range around zero."""
    coarse = rng.uniform(-1.0, 1.0, (cells, cells)).astype(np.float32)
    image = Image.fromarray(coarse).resize((pixels, pixels), Image.Resampling.BICUBIC)
    return np.asarray(image)
