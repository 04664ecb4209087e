"""Dishes (the analogue of Food-101)."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BLACK,
    BLUE,
    BROWN,
    CHARCOAL,
    CREAM,
    DARK_BROWN,
    GOLD,
    GREEN,
    LIME,
    ORANGE,
    ORANGE_RED,
    PINK,
    RED,
    SILVER,
    TAN,
    WHITE,
    YELLOW,
    Canvas,
    Family,
    pick,
    polar,
)

FOOD = Family("food")


@FOOD.add("pizza")
def _pizza(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.8, -0.72), (0, 0.95)], YELLOW)
    c.line([(-0.75, -0.7), (0.75, -0.7)], 0.3, BROWN)
    c.discs([(-0.34, -0.28), (0.3, -0.3), (0.0, 0.22)], 0.2, RED)


@FOOD.add("donut")
def _donut(c: Canvas, rng: np.random.Generator) -> None:
    c.ring(0, 0, 0.58, 0.66, BROWN)
    c.ring(0, 0, 0.58, 0.46, PINK)
    for a in rng.uniform(0, 45) + 45 * np.arange(8):
        c.disc(*polar(0.58, float(a)), 0.08, pick(rng, WHITE, BLUE, YELLOW))


@FOOD.add("sushi")
def _sushi(c: Canvas, rng: np.random.Generator) -> None:
    for x, y in ((-0.44, 0.4), (0.46, 0.42), (0.0, -0.42)):
        c.disc(x, y, 0.45, BLACK)
        c.disc(x, y, 0.33, WHITE)
        c.disc(x, y, 0.16, ORANGE)


@FOOD.add("hamburger")
def _hamburger(c: Canvas, rng: np.random.Generator) -> None:
    c.sector(0, -0.05, 0.85, 0.75, 180, 360, ORANGE)
    c.line([(-0.8, 0.02), (0.8, 0.02)], 0.2, LIME)
    c.line([(-0.74, 0.24), (0.74, 0.24)], 0.26, DARK_BROWN)
    c.rect(-0.8, 0.38, 0.8, 0.72, ORANGE)
    c.discs([(-0.35, -0.45), (0.1, -0.58), (0.42, -0.38)], 0.07, CREAM)


@FOOD.add("fried egg")
def _fried_egg(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, 0, 0.88, CHARCOAL)
    c.oval(-0.08, 0.05, 0.7, 0.56, WHITE, float(rng.uniform(-40, 40)))
    c.disc(0.28, -0.2, 0.34, WHITE)
    c.disc(0, 0, 0.3, YELLOW)


@FOOD.add("pancakes")
def _pancakes(c: Canvas, rng: np.random.Generator) -> None:
    c.oval(0, 0.7, 0.95, 0.22, SILVER)
    for y in (0.52, 0.24, -0.04):
        c.oval(0, y, 0.78, 0.25, BROWN)
        c.oval(0, y - 0.1, 0.78, 0.23, TAN)
    c.oval(0, -0.18, 0.5, 0.15, DARK_BROWN)
    c.rect(-0.2, -0.44, 0.2, -0.14, YELLOW)


@FOOD.add("ice cream")
def _ice_cream(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.46, 0.0), (0, 0.97)], TAN)
    c.disc(0, -0.62, 0.32, CREAM)
    c.discs([(-0.3, -0.18), (0.3, -0.18)], 0.36, PINK)
    c.disc(0, -0.9, 0.12, RED)


@FOOD.add("tomato soup")
def _tomato_soup(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, 0, 0.9, WHITE)
    c.disc(0, 0, 0.66, ORANGE_RED)
    for a in rng.uniform(0, 120) + 120 * np.arange(3):
        c.oval(*polar(0.32, float(a)), 0.2, 0.1, GREEN, float(a) + 60)


@FOOD.add("hot dog")
def _hot_dog(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(-0.6, 0.05), (0.6, 0.05)], 0.72, TAN)
    c.line([(-0.76, 0.0), (0.76, 0.0)], 0.36, RED)
    c.line([(-0.7 + 0.2 * k, 0.1 * (-1) ** k) for k in range(8)], 0.1, YELLOW)


@FOOD.add("chocolate cake")
def _chocolate_cake(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(-0.85, -0.15), (0.3, -0.6), (0.9, -0.2), (0.9, 0.0), (-0.85, 0.0)], BROWN)
    c.rect(-0.85, -0.15, 0.9, 0.75, DARK_BROWN)
    c.rect(-0.85, 0.2, 0.9, 0.38, CREAM)
    c.disc(0.15, -0.6, 0.2, RED)


@FOOD.add("french fries")
def _french_fries(c: Canvas, rng: np.random.Generator) -> None:
    for k in range(5):
        x = -0.44 + 0.22 * k
        top = float(rng.uniform(-0.92, -0.6))
        c.rect(x - 0.09, top, x + 0.09, 0.3, YELLOW if k % 2 else GOLD)
    c.mirror([(0.66, -0.15), (0.48, 0.92)], RED)
    c.chord(0, -0.17, 0.46, 0.25, 0, 180, YELLOW)


@FOOD.add("taco")
def _taco(c: Canvas, rng: np.random.Generator) -> None:
    c.discs([polar(0.68, a, 0.08, 0.4) for a in (-150, -120, -90, -60, -30)], 0.24, LIME)
    c.discs([polar(0.72, a, 0.06, 0.4) for a in (-135, -75, -45)], 0.16, RED)
    c.sector(-0.02, 0.6, 0.86, 0.9, 180, 360, GOLD)
