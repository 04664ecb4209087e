"""Everyday objects (the analogue of Caltech-101) and small things (CIFAR-100)."""

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
    GOLD,
    GREEN,
    LIME,
    MAGENTA,
    NAVY,
    ORANGE,
    ORANGE_BROWN,
    PINK,
    PURPLE,
    RED,
    SILVER,
    SKY,
    TAN,
    TEAL,
    WHITE,
    YELLOW,
    Canvas,
    Family,
    pick,
    polar,
)

CALTECH = Family("caltech101")
CIFAR = Family("cifar100")


@CALTECH.add("anchor")
def _anchor(c: Canvas, rng: np.random.Generator) -> None:
    iron = NAVY
    c.ring(0, -0.7, 0.18, 0.14, iron)
    c.line([(0, -0.5), (0, 0.8)], 0.2, iron)
    c.line([(-0.42, -0.3), (0.42, -0.3)], 0.18, iron)
    c.arc(0, 0.1, 0.68, 0.7, 10, 170, 0.2, iron)
    c.twice([(0.45, 0.2), (0.95, 0.22), (0.78, -0.12)], iron)


@CALTECH.add("umbrella")
def _umbrella(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(0, -0.2), (0, 0.75)], 0.12, BROWN)
    c.arc(0.17, 0.72, 0.17, 0.18, 0, 180, 0.12, BROWN)
    c.sector(0, 0.05, 0.92, 0.9, 180, 360, MAGENTA)
    c.sector(0, 0.05, 0.32, 0.9, 180, 360, PINK)
    c.discs([(-0.62, 0.05), (0, 0.05), (0.62, 0.05)], 0.16, MAGENTA)


@CALTECH.add("chair")
def _chair(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.7, -0.92, -0.42, 0.92, BROWN)
    c.rect(0.44, 0.1, 0.7, 0.92, BROWN)
    c.rect(-0.7, 0.0, 0.78, 0.3, ORANGE_BROWN)
    c.rect(-0.7, -0.92, -0.3, -0.25, ORANGE_BROWN)


@CALTECH.add("lamp")
def _lamp(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.09, 0, 0.09, 0.8, CHARCOAL)
    c.oval(0, 0.8, 0.48, 0.16, CHARCOAL)
    c.mirror([(0.36, -0.92), (0.8, 0.1)], YELLOW)
    c.mirror([(0.12, -0.92), (0.3, 0.1)], CREAM)


@CALTECH.add("ladder")
def _ladder(c: Canvas, rng: np.random.Generator) -> None:
    for y in np.linspace(-0.72, 0.72, 5).tolist():
        c.rect(-0.42, y - 0.08, 0.42, y + 0.08, ORANGE)
    c.twice([(0.34, -0.95), (0.54, -0.95), (0.54, 0.95), (0.34, 0.95)], BROWN)


@CALTECH.add("key")
def _key(c: Canvas, rng: np.random.Generator) -> None:
    c.ring(-0.55, 0, 0.28, 0.2, GOLD)
    c.rect(-0.3, -0.11, 0.92, 0.11, GOLD)
    c.rect(0.38, 0, 0.55, 0.42, GOLD)
    c.rect(0.72, 0, 0.92, 0.5, GOLD)


@CALTECH.add("cup")
def _cup(c: Canvas, rng: np.random.Generator) -> None:
    glaze = pick(rng, TEAL, SKY)
    c.ring(0.58, 0.08, 0.3, 0.16, glaze)
    c.mirror([(0.62, -0.6), (0.55, 0.65), (0.42, 0.78)], glaze)
    c.oval(0, -0.58, 0.62, 0.2, WHITE)
    c.oval(0, -0.56, 0.5, 0.14, DARK_BROWN)


@CALTECH.add("scissors")
def _scissors(c: Canvas, rng: np.random.Generator) -> None:
    for s in (-1, 1):
        c.poly([(s * 0.1, 0.2), (-s * 0.42, -0.92), (-s * 0.55, -0.75), (-s * 0.1, 0.28)], SILVER)
        c.line([(0, 0.12), (s * 0.3, 0.42)], 0.15, RED)
        c.ring(s * 0.38, 0.6, 0.25, 0.16, RED)
    c.disc(0, 0.12, 0.09, CHARCOAL)


@CALTECH.add("hammer")
def _hammer(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.13, -0.4, 0.13, 0.94, TAN)
    c.poly([(-0.75, -0.8), (0.4, -0.85), (0.85, -0.5), (0.4, -0.4), (-0.75, -0.4)], CHARCOAL)
    c.rect(-0.85, -0.9, -0.5, -0.3, CHARCOAL)


@CALTECH.add("bell")
def _bell(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, 0.7, 0.2, BROWN)
    c.disc(0, -0.75, 0.16, BROWN)
    c.mirror([(0.1, -0.8), (0.38, -0.6), (0.5, -0.1), (0.58, 0.3), (0.85, 0.6), (0.85, 0.7)], GOLD)
    c.rect(-0.85, 0.48, 0.85, 0.68, BROWN)


@CALTECH.add("guitar")
def _guitar(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.09, -0.9, 0.09, 0.1, DARK_BROWN)
    c.rect(-0.18, -0.96, 0.18, -0.72, DARK_BROWN)
    c.disc(0, 0.02, 0.36, ORANGE)
    c.disc(0, 0.5, 0.46, ORANGE)
    c.disc(0, 0.2, 0.17, BLACK)
    c.rect(-0.22, 0.58, 0.22, 0.7, DARK_BROWN)


@CALTECH.add("clock")
def _clock(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, 0, 0.9, PURPLE)
    c.disc(0, 0, 0.7, WHITE)
    hour, minute = rng.uniform(0, 360, 2).tolist()
    c.discs([polar(0.56, a) for a in (0, 90, 180, 270)], 0.07, BLACK)
    c.line([(0, 0), polar(0.32, hour)], 0.14, BLACK)
    c.line([(0, 0), polar(0.52, minute)], 0.1, BLACK)


@CIFAR.add("apple")
def _apple(c: Canvas, rng: np.random.Generator) -> None:
    c.discs([(-0.3, 0.1), (0.3, 0.1)], 0.52, RED)
    c.oval(0, 0.32, 0.6, 0.52, RED)
    c.line([(0, -0.3), (0.08, -0.75)], 0.12, DARK_BROWN)
    c.oval(0.36, -0.66, 0.3, 0.14, GREEN, -25)
    c.oval(-0.42, -0.05, 0.1, 0.2, PINK, 20)


@CIFAR.add("fish")
def _fish(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(0.35, 0), (0.92, -0.5), (0.8, 0), (0.92, 0.5)], ORANGE)
    c.poly([(-0.2, -0.3), (0.15, -0.72), (0.35, -0.25)], ORANGE)
    c.oval(-0.2, 0, 0.7, 0.46, ORANGE)
    c.rect(-0.16, -0.44, 0.06, 0.44, WHITE)
    c.disc(-0.58, -0.1, 0.14, WHITE)
    c.disc(-0.6, -0.1, 0.08, BLACK)


@CIFAR.add("butterfly")
def _butterfly(c: Canvas, rng: np.random.Generator) -> None:
    for s in (-1, 1):
        c.oval(s * 0.48, -0.32, 0.42, 0.5, BLUE, s * 40)
        c.oval(s * 0.4, 0.42, 0.3, 0.4, PURPLE, -s * 30)
        c.disc(s * 0.52, -0.36, 0.2, SKY)
        c.disc(s * 0.42, 0.44, 0.13, SKY)
        c.line([(0, -0.5), (s * 0.25, -0.9)], 0.07, BLACK)
    c.oval(0, 0, 0.1, 0.62, BLACK)


@CIFAR.add("tree")
def _tree(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.15, 0, 0.15, 0.95, BROWN)
    c.discs([(-0.4, -0.2), (0.4, -0.2), (0, -0.48)], 0.44, GREEN)
    c.discs([(-0.2, -0.4), (0.3, -0.1)], 0.16, LIME)


@CIFAR.add("mushroom")
def _mushroom(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.2, -0.1), (0.32, 0.85)], CREAM)
    c.sector(0, 0.08, 0.9, 0.9, 180, 360, RED)
    c.discs([(-0.5, -0.2), (0.05, -0.5), (0.52, -0.15)], 0.16, WHITE)


@CIFAR.add("rocket")
def _rocket(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.2, 0.55), (0, 0.97)], ORANGE)
    c.twice([(0.2, 0.1), (0.62, 0.5), (0.62, 0.78), (0.2, 0.6)], RED)
    c.mirror([(0, -0.95), (0.2, -0.65), (0.32, -0.2), (0.26, 0.62)], SILVER)
    c.mirror([(0, -0.95), (0.2, -0.65), (0.25, -0.5)], RED)
    c.disc(0, -0.1, 0.18, BLUE)


@CIFAR.add("house")
def _house(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(0.35, -0.85, 0.58, -0.2, CHARCOAL)
    c.rect(-0.68, -0.1, 0.68, 0.85, CREAM)
    c.mirror([(0, -0.9), (0.92, -0.05)], RED)
    c.rect(-0.16, 0.3, 0.2, 0.85, BROWN)
    c.rect(-0.54, 0.08, -0.26, 0.38, BLUE)
    c.rect(0.3, 0.08, 0.56, 0.38, BLUE)


@CIFAR.add("bottle")
def _bottle(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.14, -0.85), (0.14, -0.4), (0.38, -0.1), (0.38, 0.92)], DARK_GREEN)
    c.rect(-0.17, -0.95, 0.17, -0.72, GOLD)
    c.rect(-0.38, 0.15, 0.38, 0.6, CREAM)


@CIFAR.add("turtle")
def _turtle(c: Canvas, rng: np.random.Generator) -> None:
    for x, y in ((-0.55, -0.45), (0.55, -0.45), (-0.5, 0.55), (0.5, 0.55)):
        c.disc(x, y, 0.24, LIME)
    c.oval(0, -0.72, 0.2, 0.25, LIME)
    c.oval(0, 0.05, 0.64, 0.68, DARK_GREEN)
    for a in range(6):
        c.disc(*polar(0.4, 60 * a, 0, 0.05), 0.13, BROWN)
    c.disc(0, 0.05, 0.2, BROWN)


@CIFAR.add("snake")
def _snake(c: Canvas, rng: np.random.Generator) -> None:
    x = np.linspace(-0.8, 0.7, 22)
    phase = float(rng.uniform(-0.3, 0.3))
    y = 0.42 * np.sin(5.2 * x + phase) + 0.1
    body = list(zip(x.tolist(), y.tolist(), strict=True))
    c.line(body, 0.28, LIME)
    c.discs(body[2:-2:3], 0.08, DARK_GREEN)
    hx, hy = body[-1]
    c.line([(hx, hy), (hx + 0.26, hy + 0.04)], 0.07, RED)
    c.oval(hx, hy, 0.22, 0.18, LIME)
    c.disc(hx + 0.04, hy - 0.06, 0.06, BLACK)
