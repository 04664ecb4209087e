"""Base-only fruit, vegetables and other produce."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BLACK,
    BROWN,
    CREAM,
    DARK_BROWN,
    DARK_GREEN,
    DARK_RED,
    GOLD,
    GREEN,
    LILAC,
    LIME,
    ORANGE,
    PURPLE,
    RED,
    WHITE,
    YELLOW,
    Canvas,
    Family,
    arc_points,
    polar,
    star_points,
)

PRODUCE = Family("produce")


@PRODUCE.add("banana")
def _banana(c: Canvas, rng: np.random.Generator) -> None:
    outer = arc_points(0, -0.45, 0.9, 1.15, 5, 165)
    inner = arc_points(0, -0.5, 0.72, 0.72, 160, 10)
    c.poly([*outer, *inner], YELLOW)
    c.discs([outer[0], outer[-1]], 0.11, DARK_BROWN)


@PRODUCE.add("watermelon")
def _watermelon(c: Canvas, rng: np.random.Generator) -> None:
    c.chord(0, -0.4, 0.95, 1.1, 0, 180, DARK_GREEN)
    c.chord(0, -0.4, 0.8, 0.94, 0, 180, WHITE)
    c.chord(0, -0.4, 0.7, 0.82, 0, 180, RED)
    c.discs([(-0.35, -0.15), (0.35, -0.15), (0, -0.15), (-0.18, 0.14), (0.18, 0.14)], 0.07, BLACK)


@PRODUCE.add("carrot")
def _carrot(c: Canvas, rng: np.random.Generator) -> None:
    for a in (-125, -90, -55):
        c.oval(*polar(0.25, a, 0, -0.5), 0.36, 0.12, GREEN, a)
    c.mirror([(0.25, -0.55), (0.42, -0.4), (0.06, 0.92)], ORANGE)


@PRODUCE.add("cherries")
def _cherries(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(-0.42, 0.4), (0.1, -0.8)], 0.09, GREEN)
    c.line([(0.48, 0.4), (0.1, -0.8)], 0.09, GREEN)
    c.oval(0.48, -0.7, 0.4, 0.18, GREEN, 10)
    c.discs([(-0.45, 0.5), (0.48, 0.5)], 0.4, DARK_RED)


@PRODUCE.add("grapes")
def _grapes(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.06, -0.95, 0.06, -0.5, BROWN)
    c.oval(0.3, -0.75, 0.3, 0.16, GREEN, -15)
    for row, count in enumerate((4, 3, 2, 1)):
        y = -0.42 + 0.38 * row
        c.discs([(0.4 * (k - (count - 1) / 2), y) for k in range(count)], 0.235, PURPLE)
        c.discs([(0.4 * (k - (count - 1) / 2) - 0.07, y - 0.07) for k in range(count)], 0.08, LILAC)


@PRODUCE.add("strawberry")
def _strawberry(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.4, -0.55), (0.72, -0.3), (0.6, 0.25), (0.15, 0.92)], RED)
    c.poly(star_points(5, 0.6, 0.26, 0, -0.55), GREEN)
    c.discs([(-0.32, 0.0), (0.32, 0.0), (0, 0.2), (0, 0.55)], 0.08, YELLOW)


@PRODUCE.add("pineapple")
def _pineapple(c: Canvas, rng: np.random.Generator) -> None:
    for a in (-150, -120, -90, -60, -30):
        c.oval(*polar(0.3, a, 0, -0.4), 0.36, 0.11, GREEN, a)
    c.oval(0, 0.3, 0.5, 0.64, GOLD)
    for k in (-0.5, 0.0, 0.5):
        c.line([(-0.36, 0.3 + k + 0.18), (0.36, 0.3 + k - 0.18)], 0.08, BROWN)
        c.line([(-0.36, 0.3 + k - 0.18), (0.36, 0.3 + k + 0.18)], 0.08, BROWN)


@PRODUCE.add("corn")
def _corn(c: Canvas, rng: np.random.Generator) -> None:
    c.oval(0, -0.1, 0.36, 0.84, YELLOW)
    c.discs([(x, y) for x in (-0.14, 0.14) for y in (-0.6, -0.3, 0.0)], 0.09, ORANGE)
    c.twice([(0.05, 0.95), (0.1, 0.1), (0.62, -0.5), (0.5, 0.5)], GREEN)


@PRODUCE.add("broccoli")
def _broccoli(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.22, 0.0), (0.3, 0.92)], LIME)
    c.line([(0, 0.5), (-0.5, 0.0)], 0.2, LIME)
    c.line([(0, 0.5), (0.5, 0.0)], 0.2, LIME)
    c.discs([(-0.58, -0.1), (0.58, -0.1), (-0.32, -0.5), (0.32, -0.5), (0, -0.2)], 0.36, DARK_GREEN)


@PRODUCE.add("cheese")
def _cheese(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(-0.92, 0.0), (0.6, -0.7), (0.92, -0.1), (0.92, 0.0)], CREAM)
    c.rect(-0.92, 0.0, 0.92, 0.68, YELLOW)
    c.discs([(-0.5, 0.3), (0.12, 0.42), (0.6, 0.2)], 0.17, ORANGE)
