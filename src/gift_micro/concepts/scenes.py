"""Places (the analogue of SUN397); every scene paints the whole frame and beyond."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BLACK,
    BLUE,
    BROWN,
    CHARCOAL,
    CREAM,
    DARK_BROWN,
    DARK_GREEN,
    GREEN,
    GREY,
    LILAC,
    LIME,
    NAVY,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    SKY,
    TEAL,
    WHITE,
    YELLOW,
    Canvas,
    Colour,
    Family,
    pick,
)

SUN = Family("sun397", full_frame=True)

_EDGE = 1.7
_SAND: Colour = (235, 205, 140)


def _ground(c: Canvas, y: float, colour: Colour) -> None:
    """Everything below the height ``y``."""
    c.rect(-_EDGE, y, _EDGE, _EDGE, colour)


def _pine(c: Canvas, x: float, foot: float, tall: float, colour: Colour) -> None:
    """A fir tree of two tiers."""
    for top, low, wide in ((0.0, 0.6, 0.22), (0.35, 1.0, 0.32)):
        y0, y1 = foot - tall * (1 - top), foot - tall * (1 - low)
        c.poly([(x, y0), (x + wide * tall, y1), (x - wide * tall, y1)], colour)


@SUN.add("beach")
def _beach(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(SKY)
    _ground(c, -0.25, BLUE)
    c.poly([(-_EDGE, 0.6), (_EDGE, 0.1), (_EDGE, _EDGE), (-_EDGE, _EDGE)], _SAND)
    x = float(rng.uniform(-0.2, 0.4))
    c.line([(x, 0.85), (x, 0.2)], 0.09, BROWN)
    c.sector(x, 0.3, 0.45, 0.4, 180, 360, RED)
    c.sector(x, 0.3, 0.15, 0.4, 180, 360, WHITE)


@SUN.add("mountain")
def _mountain(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(SKY)
    x = float(rng.uniform(-0.2, 0.2))
    c.poly([(x - 1.6, 0.75), (x - 0.5, -0.3), (x + 0.6, 0.75)], CHARCOAL)
    c.poly([(x - 0.7, 0.75), (x + 0.25, -0.8), (x + 1.3, 0.75)], GREY)
    c.poly([(x + 0.0, -0.38), (x + 0.25, -0.8), (x + 0.53, -0.38), (x + 0.25, -0.2)], WHITE)
    _ground(c, 0.65, GREEN)


@SUN.add("city")
def _city(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(LILAC)
    for k in range(6):
        x = -1.35 + 0.46 * k
        top = float(rng.uniform(-0.8, 0.0))
        c.rect(x, top, x + 0.4, _EDGE, pick(rng, CHARCOAL, NAVY))
        for row in range(4):
            y = top + 0.14 + 0.3 * row
            c.rect(x + 0.1, y, x + 0.3, y + 0.13, YELLOW)
    _ground(c, 0.85, BLACK)


@SUN.add("desert")
def _desert(c: Canvas, rng: np.random.Generator) -> None:
    c.fill((250, 215, 160))
    c.disc(float(rng.uniform(-0.6, -0.2)), -0.5, 0.28, WHITE)
    c.oval(0.7, 0.75, 1.3, 0.75, ORANGE)
    c.oval(-0.8, 1.0, 1.2, 0.8, BROWN)
    _ground(c, 0.9, ORANGE)
    x = float(rng.uniform(0.3, 0.6))
    c.rect(x - 0.09, -0.4, x + 0.09, 0.6, DARK_GREEN)
    c.line([(x - 0.3, -0.15), (x - 0.3, 0.12), (x + 0.3, 0.12), (x + 0.3, -0.05)], 0.14, DARK_GREEN)


@SUN.add("night sky")
def _night_sky(c: Canvas, rng: np.random.Generator) -> None:
    c.fill((15, 20, 60))
    for x, y in rng.uniform(-0.95, 0.95, (14, 2)).tolist():
        c.disc(x, y, 0.06, WHITE)
    x, y = rng.uniform(-0.35, 0.35), rng.uniform(-0.35, 0.1)
    c.disc(float(x), float(y), 0.42, CREAM)
    c.disc(float(x) + 0.2, float(y) - 0.08, 0.36, (15, 20, 60))


@SUN.add("bridge")
def _bridge(c: Canvas, rng: np.random.Generator) -> None:
    c.fill((225, 235, 245))
    _ground(c, 0.6, TEAL)
    c.rect(-_EDGE, 0.2, _EDGE, 0.38, RED)
    for x in (-0.6, 0.6):
        c.rect(x - 0.1, -0.8, x + 0.1, 0.75, RED)
    c.chord(0, -0.75, 0.55, 0.8, 0, 180, (225, 235, 245))
    c.arc(0, -0.75, 0.55, 0.8, 0, 180, 0.1, RED)
    c.arc(-1.2, -0.75, 0.55, 0.8, 0, 180, 0.1, RED)
    c.arc(1.2, -0.75, 0.55, 0.8, 0, 180, 0.1, RED)


@SUN.add("snow forest")
def _snow_forest(c: Canvas, rng: np.random.Generator) -> None:
    c.fill((190, 215, 235))
    _ground(c, 0.3, WHITE)
    for x, foot in ((-0.75, 0.45), (0.75, 0.5), (0.0, 0.75)):
        x += float(rng.uniform(-0.1, 0.1))
        _pine(c, x, foot, 1.2, DARK_GREEN)
        _pine(c, x, foot - 0.78, 0.42, WHITE)


@SUN.add("bedroom")
def _bedroom(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(PINK)
    _ground(c, 0.6, BROWN)
    c.rect(-0.85, -0.1, -0.7, 0.85, DARK_BROWN)
    c.rect(-0.8, 0.25, 0.9, 0.7, PURPLE)
    c.rect(-0.72, 0.1, -0.25, 0.34, WHITE)
    c.rect(0.8, 0.15, 0.94, 0.85, DARK_BROWN)
    c.rect(0.0, -0.8, 0.65, -0.2, WHITE)
    c.rect(0.08, -0.72, 0.57, -0.28, SKY)


@SUN.add("road")
def _road(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(SKY)
    _ground(c, -0.2, LIME)
    x = float(rng.uniform(-0.2, 0.2))
    c.poly([(x - 0.1, -0.2), (x + 0.1, -0.2), (1.4, _EDGE), (-1.4, _EDGE)], CHARCOAL)
    for y0, y1, w in ((0.0, 0.2, 0.05), (0.4, 0.75, 0.09)):
        c.rect(x * (1 - y1) - w, y0, x * (1 - y1) + w, y1, WHITE)


@SUN.add("volcano")
def _volcano(c: Canvas, rng: np.random.Generator) -> None:
    c.fill((90, 40, 60))
    c.discs([(-0.25, -0.75), (0.2, -0.85), (0.5, -0.7)], 0.28, GREY)
    c.poly([(-0.25, -0.4), (0.25, -0.4), (1.3, 1.4), (-1.3, 1.4)], BLACK)
    c.poly([(-0.25, -0.42), (0.25, -0.42), (0.12, 0.0), (0.42, 0.7), (0.0, 0.35), (-0.3, 0.9)], RED)
    c.poly([(-0.12, -0.42), (0.12, -0.42), (0.0, 0.2)], YELLOW)
    c.oval(0, -0.42, 0.3, 0.1, ORANGE)


@SUN.add("waterfall")
def _waterfall(c: Canvas, rng: np.random.Generator) -> None:
    c.fill((75, 80, 70))
    c.rect(-_EDGE, -_EDGE, _EDGE, -0.55, GREEN)
    x = float(rng.uniform(-0.15, 0.15))
    c.rect(x - 0.4, -0.75, x + 0.4, 0.7, WHITE)
    c.rect(x - 0.22, -0.75, x - 0.08, 0.7, SKY)
    c.rect(x + 0.12, -0.75, x + 0.24, 0.7, SKY)
    c.oval(0, 0.95, 1.3, 0.5, TEAL)
    c.discs([(x - 0.3, 0.58), (x, 0.62), (x + 0.3, 0.58)], 0.18, WHITE)


@SUN.add("rainforest")
def _rainforest(c: Canvas, rng: np.random.Generator) -> None:
    c.fill((60, 120, 40))
    for k in range(4):
        x = -1.0 + 0.62 * k + float(rng.uniform(-0.1, 0.1))
        c.rect(x - 0.12, -_EDGE, x + 0.12, _EDGE, DARK_BROWN)
    for x, y in rng.uniform(-1, 1, (7, 2)).tolist():
        c.oval(x, y, 0.36, 0.15, pick(rng, LIME, (30, 170, 70)), float(rng.uniform(-50, 50)))
    _ground(c, 0.8, DARK_GREEN)
