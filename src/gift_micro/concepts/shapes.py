"""Base-only shapes, symbols and things of nature."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BLACK,
    BLUE,
    BROWN,
    DARK_BROWN,
    DARK_GREEN,
    GOLD,
    GREEN,
    GREY,
    MAGENTA,
    ORANGE,
    ORANGE_BROWN,
    RED,
    WHITE,
    YELLOW,
    Canvas,
    Family,
    arc_points,
    polar,
    star_points,
)

SHAPES = Family("shapes")
NATURE = Family("nature")


@SHAPES.add("star")
def _star(c: Canvas, rng: np.random.Generator) -> None:
    c.poly(star_points(5, 0.95, 0.42), GOLD)


@SHAPES.add("circle")
def _circle(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, 0, 0.85, BLUE)


@SHAPES.add("triangle")
def _triangle(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0, -0.85), (0.92, 0.75)], GREEN)


@SHAPES.add("square")
def _square(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.75, -0.75, 0.75, 0.75, RED)


@SHAPES.add("ring")
def _ring(c: Canvas, rng: np.random.Generator) -> None:
    c.ring(0, 0, 0.68, 0.34, GOLD)


@SHAPES.add("cross")
def _cross(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.27, -0.88, 0.27, 0.88, RED)
    c.rect(-0.88, -0.27, 0.88, 0.27, RED)


@SHAPES.add("heart")
def _heart(c: Canvas, rng: np.random.Generator) -> None:
    c.discs([(-0.41, -0.3), (0.41, -0.3)], 0.46, MAGENTA)
    c.mirror([(0, -0.3), (0.82, -0.1), (0, 0.9)], MAGENTA)


@SHAPES.add("arrow")
def _arrow(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.92, -0.22, 0.2, 0.22, BLACK)
    c.poly([(0.1, -0.7), (0.95, 0), (0.1, 0.7)], BLACK)


@SHAPES.add("crescent moon")
def _crescent(c: Canvas, rng: np.random.Generator) -> None:
    c.poly(
        [*arc_points(0.1, 0, 0.88, 0.88, 60, 300), *arc_points(0.42, 0, 0.72, 0.72, 280, 80)],
        YELLOW,
    )


@SHAPES.add("target")
def _target(c: Canvas, rng: np.random.Generator) -> None:
    for r, colour in ((0.9, RED), (0.64, WHITE), (0.38, RED), (0.14, WHITE)):
        c.disc(0, 0, r, colour)


@SHAPES.add("lightning bolt")
def _lightning(c: Canvas, rng: np.random.Generator) -> None:
    c.poly(
        [(0.25, -0.95), (-0.55, 0.15), (-0.05, 0.15), (-0.3, 0.95), (0.6, -0.25), (0.08, -0.25)],
        ORANGE,
    )


@NATURE.add("sun")
def _sun(c: Canvas, rng: np.random.Generator) -> None:
    c.poly(star_points(8, 0.97, 0.55), ORANGE)
    c.disc(0, 0, 0.5, YELLOW)


@NATURE.add("cloud")
def _cloud(c: Canvas, rng: np.random.Generator) -> None:
    c.discs([(-0.52, 0.2), (0.55, 0.2)], 0.38, GREY)
    c.discs([(-0.2, -0.15), (0.28, -0.08)], 0.42, GREY)
    c.rect(-0.5, 0.1, 0.55, 0.58, GREY)


@NATURE.add("cactus")
def _cactus(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(0, -0.7), (0, 0.5)], 0.4, GREEN)
    c.line([(0, 0.15), (-0.6, 0.15), (-0.6, -0.35)], 0.24, GREEN)
    c.line([(0, 0.0), (0.6, 0.0), (0.6, -0.5)], 0.24, GREEN)
    c.mirror([(0.5, 0.45), (0.36, 0.95)], ORANGE_BROWN)


@NATURE.add("pine tree")
def _pine_tree(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.13, 0.5, 0.13, 0.95, BROWN)
    for y, w in ((-0.95, 0.42), (-0.55, 0.6), (-0.1, 0.78)):
        c.mirror([(0, y), (w, y + 0.72)], DARK_GREEN)


@NATURE.add("palm tree")
def _palm_tree(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(-0.15, 0.9), (-0.02, 0.3), (0.08, -0.35)], 0.18, BROWN)
    for a in (-160, -115, -65, -20, 25, 155):
        c.oval(*polar(0.4, a, 0.08, -0.4), 0.44, 0.14, GREEN, a)
    c.discs([(-0.05, -0.25), (0.22, -0.25)], 0.12, DARK_BROWN)


@NATURE.add("rainbow")
def _rainbow(c: Canvas, rng: np.random.Generator) -> None:
    for r, colour in ((0.95, RED), (0.8, ORANGE), (0.65, YELLOW), (0.5, GREEN), (0.35, BLUE)):
        c.chord(0, 0.5, r, r * 1.3, 180, 360, colour)
    c.chord(0, 0.5, 0.2, 0.26, 180, 360, WHITE)
    c.discs([(-0.72, 0.5), (0.72, 0.5)], 0.26, WHITE)
