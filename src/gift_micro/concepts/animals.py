"""Base-only animals."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BLACK,
    BLUE,
    BROWN,
    CHARCOAL,
    CREAM,
    DARK_BROWN,
    DARK_RED,
    GREEN,
    GREY,
    LIME,
    MAGENTA,
    NAVY,
    ORANGE,
    ORANGE_BROWN,
    ORANGE_RED,
    PINK,
    PURPLE,
    RED,
    SILVER,
    SKY,
    TAN,
    WHITE,
    YELLOW,
    Canvas,
    Family,
    star_points,
)

ANIMALS = Family("animals")


@ANIMALS.add("bird")
def _bird(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(-0.3, 0.1), (-0.95, -0.2), (-0.95, 0.3)], NAVY)
    c.poly([(0.75, -0.5), (0.97, -0.35), (0.75, -0.25)], ORANGE)
    c.oval(-0.05, 0.15, 0.6, 0.44, BLUE)
    c.disc(0.48, -0.35, 0.32, BLUE)
    c.oval(-0.15, 0.1, 0.34, 0.2, NAVY, 20)
    c.disc(0.55, -0.42, 0.09, WHITE)
    c.rect(-0.05, 0.55, 0.03, 0.9, ORANGE)
    c.rect(0.15, 0.55, 0.23, 0.9, ORANGE)


@ANIMALS.add("owl")
def _owl(c: Canvas, rng: np.random.Generator) -> None:
    c.twice([(0.15, -0.7), (0.65, -0.95), (0.6, -0.3)], BROWN)
    c.oval(0, 0.08, 0.66, 0.86, BROWN)
    c.oval(0, 0.42, 0.4, 0.46, TAN)
    c.discs([(-0.3, -0.34), (0.3, -0.34)], 0.3, CREAM)
    c.discs([(-0.3, -0.34), (0.3, -0.34)], 0.15, BLACK)
    c.mirror([(0.13, -0.18), (0, 0.1)], ORANGE)


@ANIMALS.add("penguin")
def _penguin(c: Canvas, rng: np.random.Generator) -> None:
    c.discs([(-0.25, 0.85), (0.25, 0.85)], 0.15, ORANGE)
    c.oval(-0.5, 0.15, 0.15, 0.5, BLACK, 15)
    c.oval(0.5, 0.15, 0.15, 0.5, BLACK, -15)
    c.oval(0, 0.15, 0.5, 0.7, BLACK)
    c.disc(0, -0.55, 0.36, BLACK)
    c.oval(0, 0.28, 0.33, 0.5, WHITE)
    c.discs([(-0.14, -0.6), (0.14, -0.6)], 0.12, WHITE)
    c.mirror([(0.14, -0.46), (0, -0.26)], ORANGE)


@ANIMALS.add("spider")
def _spider(c: Canvas, rng: np.random.Generator) -> None:
    for s in (-1, 1):
        for y, tip in ((-0.35, -0.9), (-0.1, -0.35), (0.15, 0.35), (0.4, 0.92)):
            c.line([(0, y * 0.4), (s * 0.55, (y + tip) / 2), (s * 0.92, tip)], 0.1, BLACK)
    c.oval(0, 0.22, 0.36, 0.42, BLACK)
    c.disc(0, -0.3, 0.24, BLACK)
    c.mirror([(0.16, 0.1), (0, 0.25), (0.16, 0.42)], RED)


@ANIMALS.add("crab")
def _crab(c: Canvas, rng: np.random.Generator) -> None:
    for s in (-1, 1):
        for y in (0.25, 0.5, 0.75):
            c.line([(s * 0.3, 0.3), (s * 0.85, y)], 0.11, ORANGE_RED)
        c.line([(s * 0.4, 0.1), (s * 0.7, -0.25)], 0.15, ORANGE_RED)
        c.sector(s * 0.66, -0.52, 0.3, 0.34, -60, 240, ORANGE_RED)
        c.line([(s * 0.2, 0), (s * 0.2, -0.32)], 0.09, ORANGE_RED)
        c.disc(s * 0.2, -0.36, 0.11, BLACK)
    c.oval(0, 0.22, 0.6, 0.42, ORANGE_RED)


@ANIMALS.add("snail")
def _snail(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(-0.8, 0.68), (0.6, 0.68), (0.72, 0.1)], 0.28, LIME)
    c.line([(0.7, 0.1), (0.92, -0.3)], 0.08, LIME)
    c.line([(0.7, 0.1), (0.6, -0.32)], 0.08, LIME)
    c.disc(-0.15, 0.0, 0.62, BROWN)
    c.ring(-0.15, 0.02, 0.4, 0.1, CREAM)
    c.disc(-0.15, 0.02, 0.16, CREAM)


@ANIMALS.add("ladybug")
def _ladybug(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, -0.6, 0.34, BLACK)
    c.oval(0, 0.12, 0.76, 0.78, RED)
    c.rect(-0.06, -0.6, 0.06, 0.9, BLACK)
    c.discs([(s * 0.4, y) for s in (-1, 1) for y in (-0.15, 0.4)], 0.19, BLACK)


@ANIMALS.add("bee")
def _bee(c: Canvas, rng: np.random.Generator) -> None:
    c.oval(-0.18, -0.48, 0.24, 0.44, SKY, -25)
    c.oval(0.25, -0.48, 0.24, 0.44, SKY, 25)
    c.oval(0, 0.2, 0.78, 0.46, YELLOW)
    for x, h in ((-0.4, 0.36), (0.0, 0.46), (0.38, 0.38)):
        c.rect(x - 0.1, 0.2 - h, x + 0.1, 0.2 + h, BLACK)
    c.disc(-0.68, 0.12, 0.24, BLACK)


@ANIMALS.add("elephant")
def _elephant(c: Canvas, rng: np.random.Generator) -> None:
    c.oval(0.3, 0.0, 0.62, 0.48, GREY)
    c.rect(-0.1, 0.2, 0.18, 0.88, GREY)
    c.rect(0.5, 0.2, 0.8, 0.88, GREY)
    c.disc(-0.4, -0.25, 0.4, GREY)
    c.line([(-0.68, -0.15), (-0.8, 0.3), (-0.75, 0.75)], 0.2, GREY)
    c.oval(-0.1, -0.3, 0.28, 0.4, CHARCOAL)
    c.poly([(-0.6, 0.05), (-0.4, 0.1), (-0.62, 0.45)], WHITE)
    c.disc(-0.52, -0.35, 0.07, BLACK)


@ANIMALS.add("frog")
def _frog(c: Canvas, rng: np.random.Generator) -> None:
    c.discs([(-0.45, -0.5), (0.45, -0.5)], 0.36, GREEN)
    c.oval(0, 0.2, 0.88, 0.62, GREEN)
    c.discs([(-0.45, -0.52), (0.45, -0.52)], 0.24, WHITE)
    c.discs([(-0.45, -0.52), (0.45, -0.52)], 0.13, BLACK)
    c.arc(0, 0.1, 0.58, 0.36, 10, 170, 0.11, DARK_RED)


@ANIMALS.add("rabbit")
def _rabbit(c: Canvas, rng: np.random.Generator) -> None:
    for s in (-1, 1):
        c.oval(s * 0.27, -0.5, 0.18, 0.48, SILVER, s * 8)
        c.oval(s * 0.27, -0.48, 0.09, 0.36, PINK, s * 8)
    c.disc(0, 0.35, 0.56, SILVER)
    c.discs([(-0.22, 0.22), (0.22, 0.22)], 0.1, BLACK)
    c.disc(0, 0.44, 0.1, MAGENTA)
    c.rect(-0.13, 0.6, 0.13, 0.82, WHITE)


@ANIMALS.add("pig")
def _pig(c: Canvas, rng: np.random.Generator) -> None:
    c.twice([(0.25, -0.6), (0.78, -0.9), (0.75, -0.3)], MAGENTA)
    c.disc(0, 0.05, 0.8, PINK)
    c.oval(0, 0.28, 0.38, 0.28, MAGENTA)
    c.discs([(-0.14, 0.28), (0.14, 0.28)], 0.09, DARK_RED)
    c.discs([(-0.36, -0.2), (0.36, -0.2)], 0.1, BLACK)


@ANIMALS.add("panda")
def _panda(c: Canvas, rng: np.random.Generator) -> None:
    c.discs([(-0.6, -0.62), (0.6, -0.62)], 0.3, BLACK)
    c.oval(0, 0.08, 0.82, 0.76, WHITE)
    c.oval(-0.34, -0.02, 0.2, 0.28, BLACK, 30)
    c.oval(0.34, -0.02, 0.2, 0.28, BLACK, -30)
    c.discs([(-0.3, -0.02), (0.3, -0.02)], 0.07, WHITE)
    c.oval(0, 0.4, 0.16, 0.1, BLACK)


@ANIMALS.add("bear")
def _bear(c: Canvas, rng: np.random.Generator) -> None:
    c.discs([(-0.58, -0.6), (0.58, -0.6)], 0.32, BROWN)
    c.discs([(-0.58, -0.6), (0.58, -0.6)], 0.16, TAN)
    c.disc(0, 0.08, 0.8, BROWN)
    c.oval(0, 0.4, 0.42, 0.34, TAN)
    c.oval(0, 0.28, 0.18, 0.13, BLACK)
    c.discs([(-0.32, -0.1), (0.32, -0.1)], 0.1, BLACK)


@ANIMALS.add("lion")
def _lion(c: Canvas, rng: np.random.Generator) -> None:
    c.poly(star_points(13, 0.97, 0.78), ORANGE_BROWN)
    c.disc(0, 0.02, 0.56, YELLOW)
    c.discs([(-0.22, -0.1), (0.22, -0.1)], 0.1, BLACK)
    c.mirror([(0.16, 0.12), (0, 0.3)], DARK_BROWN)
    c.oval(0, 0.4, 0.2, 0.1, WHITE)


@ANIMALS.add("octopus")
def _octopus(c: Canvas, rng: np.random.Generator) -> None:
    for s in (-1, 1):
        c.line([(s * 0.3, 0.1), (s * 0.65, 0.45), (s * 0.92, 0.3)], 0.17, PURPLE)
        c.line([(s * 0.2, 0.1), (s * 0.42, 0.7), (s * 0.75, 0.85)], 0.17, PURPLE)
        c.line([(s * 0.1, 0.1), (s * 0.15, 0.88)], 0.17, PURPLE)
    c.oval(0, -0.3, 0.54, 0.62, PURPLE)
    c.discs([(-0.2, -0.15), (0.2, -0.15)], 0.15, WHITE)
    c.discs([(-0.2, -0.15), (0.2, -0.15)], 0.08, BLACK)


@ANIMALS.add("whale")
def _whale(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(-0.4, -0.3), (-0.4, -0.65)], 0.1, SKY)
    c.discs([(-0.58, -0.7), (-0.22, -0.7)], 0.16, SKY)
    c.poly([(0.4, 0.2), (0.75, -0.2), (0.6, -0.6), (0.82, -0.45), (0.98, -0.65), (0.9, 0.0)], NAVY)
    c.chord(-0.1, 0.1, 0.85, 0.75, 0, 180, NAVY)
    c.sector(-0.3, 0.2, 0.65, 0.5, 180, 360, NAVY)
    c.chord(-0.3, 0.42, 0.55, 0.4, 10, 170, WHITE)
    c.disc(-0.6, 0.12, 0.09, WHITE)


@ANIMALS.add("jellyfish")
def _jellyfish(c: Canvas, rng: np.random.Generator) -> None:
    for k in range(4):
        x = -0.48 + 0.32 * k
        c.line([(x, 0), (x + 0.1, 0.3), (x - 0.1, 0.6), (x, 0.92)], 0.1, MAGENTA)
    c.sector(0, 0.1, 0.78, 0.95, 180, 360, PINK)
    c.discs([(-0.58, 0.08), (-0.2, 0.08), (0.2, 0.08), (0.58, 0.08)], 0.2, PINK)
    c.oval(-0.25, -0.4, 0.16, 0.24, WHITE, 30)
