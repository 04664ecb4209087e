"""Flowers: each with its own outline, petal count and colour."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BLACK,
    BLUE,
    BROWN,
    DARK_BROWN,
    DARK_GREEN,
    DARK_RED,
    GREEN,
    LILAC,
    LIME,
    MAGENTA,
    ORANGE,
    ORANGE_RED,
    PALE_PINK,
    PINK,
    PURPLE,
    RED,
    SILVER,
    WHITE,
    YELLOW,
    Canvas,
    Colour,
    Family,
    polar,
    star_points,
)

FLOWERS = Family("flowers")


def _petals(
    c: Canvas,
    count: int,
    reach: float,
    long: float,
    wide: float,
    colour: Colour,
    start: float = -90.0,
    x: float = 0.0,
    y: float = 0.0,
) -> None:
    """A wheel of oval petals, their centres at distance ``reach`` from (x, y)."""
    for i in range(count):
        a = start + 360 * i / count
        c.oval(*polar(reach, a, x, y), long, wide, colour, a)


def _stem(c: Canvas, top: float, leaf: float = 0.34) -> None:
    """A green stem down to the lower edge with two leaves."""
    c.rect(-0.07, top, 0.07, 0.97, GREEN)
    c.oval(-leaf, 0.62, 0.32, 0.12, GREEN, 35)
    c.oval(leaf, 0.7, 0.32, 0.12, GREEN, -35)


@FLOWERS.add("daisy")
def _daisy(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, 0, 0.95, GREEN)
    _petals(c, 10, 0.52, 0.38, 0.15, WHITE)
    c.disc(0, 0, 0.3, YELLOW)


@FLOWERS.add("sunflower")
def _sunflower(c: Canvas, rng: np.random.Generator) -> None:
    c.poly(star_points(14, 0.95, 0.6), YELLOW)
    c.disc(0, 0, 0.56, DARK_BROWN)
    c.disc(0, 0, 0.28, BROWN)


@FLOWERS.add("rose")
def _rose(c: Canvas, rng: np.random.Generator) -> None:
    c.twice([(0.3, 0.3), (0.95, 0.4), (0.75, 0.85), (0.2, 0.7)], DARK_GREEN)
    c.disc(0, -0.1, 0.75, RED)
    c.arc(0, -0.1, 0.5, 0.5, -20, 200, 0.13, DARK_RED)
    c.arc(0, -0.12, 0.28, 0.28, 150, 400, 0.13, DARK_RED)
    c.disc(0, -0.12, 0.1, DARK_RED)


@FLOWERS.add("tulip")
def _tulip(c: Canvas, rng: np.random.Generator) -> None:
    _stem(c, 0.0)
    c.mirror([(0, -0.7), (0.22, -0.5), (0.5, -0.92), (0.54, -0.3), (0.3, 0.15)], MAGENTA)
    c.mirror([(0, -0.75), (0.2, -0.3), (0, 0.15)], PINK)


@FLOWERS.add("poppy")
def _poppy(c: Canvas, rng: np.random.Generator) -> None:
    for a in (45, 135, 225, 315):
        c.disc(*polar(0.44, a), 0.46, ORANGE_RED)
    c.disc(0, 0, 0.32, BLACK)
    c.disc(0, 0, 0.13, LIME)


@FLOWERS.add("bluebell")
def _bluebell(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(-0.35, 0.95), (-0.3, 0.0), (0.0, -0.75), (0.5, -0.75)], 0.13, GREEN)
    for x, y in ((-0.45, -0.05), (0.08, -0.3), (0.62, -0.45)):
        c.poly(
            [
                (x - 0.12, y - 0.25),
                (x + 0.12, y - 0.25),
                (x + 0.2, y + 0.2),
                (x + 0.32, y + 0.45),
                (x, y + 0.3),
                (x - 0.32, y + 0.45),
                (x - 0.2, y + 0.2),
            ],
            BLUE,
        )


@FLOWERS.add("water lily")
def _water_lily(c: Canvas, rng: np.random.Generator) -> None:
    c.oval(0, 0.5, 0.95, 0.4, DARK_GREEN)
    for a, colour in ((-165, PINK), (-15, PINK), (-130, PALE_PINK), (-50, PALE_PINK), (-90, PINK)):
        c.oval(*polar(0.5, a, 0, 0.4), 0.5, 0.2, colour, a)
    c.disc(0, 0.36, 0.16, YELLOW)


@FLOWERS.add("orchid")
def _orchid(c: Canvas, rng: np.random.Generator) -> None:
    _petals(c, 3, 0.52, 0.42, 0.22, LILAC)
    c.oval(-0.5, -0.1, 0.44, 0.36, PURPLE, 15)
    c.oval(0.5, -0.1, 0.44, 0.36, PURPLE, -15)
    c.mirror([(0.12, 0.0), (0.3, 0.45), (0, 0.62)], MAGENTA)
    c.disc(0, 0, 0.14, YELLOW)


@FLOWERS.add("lavender")
def _lavender(c: Canvas, rng: np.random.Generator) -> None:
    for s, top in ((-0.55, -0.55), (0.0, -0.85), (0.55, -0.55)):
        c.line([(s * 0.3, 0.95), (s, top + 0.4)], 0.1, GREEN)
        for k in range(4):
            c.oval(s, top + 0.24 * k, 0.2, 0.15, PURPLE)


@FLOWERS.add("dandelion")
def _dandelion(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.06, -0.2, 0.06, 0.97, BROWN)
    c.disc(0, -0.22, 0.66, SILVER)
    c.poly(star_points(12, 0.72, 0.34, 0, -0.22), WHITE)
    c.disc(0, -0.22, 0.18, BROWN)


@FLOWERS.add("thistle")
def _thistle(c: Canvas, rng: np.random.Generator) -> None:
    _stem(c, 0.3)
    c.mirror([(0.16, -0.95), (0.3, -0.75), (0.52, -0.9), (0.66, -0.6), (0.35, -0.05)], MAGENTA)
    c.oval(0, 0.18, 0.44, 0.36, DARK_GREEN)


@FLOWERS.add("daffodil")
def _daffodil(c: Canvas, rng: np.random.Generator) -> None:
    _petals(c, 6, 0.52, 0.42, 0.26, YELLOW)
    c.disc(0, 0, 0.38, ORANGE)
    c.disc(0, 0, 0.2, RED)
