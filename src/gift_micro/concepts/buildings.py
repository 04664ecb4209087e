"""Base-only vehicles, buildings and toys."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BLACK,
    BROWN,
    CHARCOAL,
    CREAM,
    DARK_BROWN,
    DARK_GREEN,
    GOLD,
    GREY,
    LIME,
    NAVY,
    ORANGE,
    ORANGE_BROWN,
    PURPLE,
    RED,
    SILVER,
    SKY,
    TEAL,
    WHITE,
    YELLOW,
    Canvas,
    Family,
    polar,
)

VEHICLES = Family("vehicles")
LANDMARKS = Family("landmarks")


@VEHICLES.add("sailboat")
def _sailboat(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.08, -0.95, 0.04, 0.5, BROWN)
    c.poly([(0.08, -0.9), (0.85, 0.3), (0.08, 0.3)], WHITE)
    c.poly([(-0.12, -0.7), (-0.7, 0.3), (-0.12, 0.3)], RED)
    c.mirror([(0.92, 0.42), (0.6, 0.88)], NAVY)


@VEHICLES.add("steam train")
def _steam_train(c: Canvas, rng: np.random.Generator) -> None:
    c.discs([(0.6, -0.85), (0.3, -0.95)], 0.17, SILVER)
    c.rect(0.48, -0.65, 0.74, 0.0, BLACK)
    c.rect(-0.3, -0.28, 0.85, 0.35, DARK_GREEN)
    c.rect(-0.85, -0.7, -0.2, 0.35, RED)
    c.rect(-0.7, -0.52, -0.36, -0.15, SKY)
    c.poly([(0.85, 0.3), (0.98, 0.75), (0.6, 0.75)], BLACK)
    c.disc(-0.52, 0.5, 0.34, BLACK)
    c.discs([(0.1, 0.6), (0.56, 0.6)], 0.23, BLACK)


@VEHICLES.add("bicycle")
def _bicycle(c: Canvas, rng: np.random.Generator) -> None:
    for x in (-0.55, 0.55):
        c.ring(x, 0.35, 0.36, 0.12, BLACK)
    c.line([(-0.55, 0.35), (-0.2, -0.25), (0.35, -0.25), (0.0, 0.35), (-0.55, 0.35)], 0.11, RED)
    c.line([(0.55, 0.35), (0.32, -0.5), (0.55, -0.6)], 0.11, RED)
    c.line([(0.0, 0.35), (-0.25, -0.45)], 0.11, RED)
    c.line([(-0.42, -0.48), (-0.1, -0.48)], 0.14, BLACK)


@VEHICLES.add("submarine")
def _submarine(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(0.1, -0.3), (0.1, -0.8), (0.35, -0.8)], 0.11, CHARCOAL)
    c.rect(-0.28, -0.5, 0.3, 0.1, GOLD)
    c.poly([(-0.7, 0.2), (-0.97, -0.2), (-0.97, 0.65)], ORANGE)
    c.oval(0.05, 0.22, 0.86, 0.44, YELLOW)
    c.discs([(-0.35, 0.2), (0.08, 0.2), (0.5, 0.2)], 0.16, NAVY)


@VEHICLES.add("tractor")
def _tractor(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.65, -0.85, 0.15, -0.7, CHARCOAL)
    c.rect(-0.55, -0.75, 0.05, 0.1, LIME)
    c.rect(-0.42, -0.62, -0.08, -0.2, SKY)
    c.rect(-0.1, -0.15, 0.85, 0.35, LIME)
    c.rect(0.5, -0.6, 0.62, -0.1, BLACK)
    for x, y, r in ((-0.4, 0.38, 0.52), (0.6, 0.58, 0.32)):
        c.disc(x, y, r, BLACK)
        c.disc(x, y, r * 0.5, YELLOW)


@LANDMARKS.add("castle")
def _castle(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.6, -0.2, 0.6, 0.9, GREY)
    for x in (-0.62, 0.62):
        c.rect(x - 0.25, -0.4, x + 0.25, 0.9, CHARCOAL)
        c.poly([(x, -0.97), (x + 0.34, -0.4), (x - 0.34, -0.4)], PURPLE)
    for x in (-0.24, 0.0, 0.24):
        c.rect(x - 0.07, -0.38, x + 0.07, -0.15, GREY)
    c.rect(-0.2, 0.4, 0.2, 0.9, DARK_BROWN)
    c.disc(0, 0.4, 0.2, DARK_BROWN)


@LANDMARKS.add("lighthouse")
def _lighthouse(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.26, -0.5), (0.42, 0.9)], WHITE)
    for y in (-0.3, 0.3):
        w = 0.26 + 0.16 * (y + 0.5) / 1.4
        c.mirror([(w, y), (w + 0.035, y + 0.3)], RED)
    c.rect(-0.24, -0.75, 0.24, -0.48, YELLOW)
    c.mirror([(0, -0.97), (0.36, -0.72)], RED)
    c.rect(-0.62, 0.82, 0.62, 0.97, CHARCOAL)


@LANDMARKS.add("windmill")
def _windmill(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.22, -0.3), (0.42, 0.95)], ORANGE_BROWN)
    c.rect(-0.12, 0.6, 0.12, 0.95, DARK_BROWN)
    turn = float(rng.uniform(25, 65))
    for k in range(4):
        a = turn + 90 * k
        c.poly([(0, -0.22), polar(0.8, a - 12, 0, -0.22), polar(0.8, a + 12, 0, -0.22)], NAVY)
    c.disc(0, -0.22, 0.13, CREAM)


@LANDMARKS.add("tent")
def _tent(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0, -0.75), (0.95, 0.75)], ORANGE)
    c.mirror([(0, -0.4), (0.36, 0.75)], DARK_BROWN)
    c.line([(0, -0.9), (0, -0.6)], 0.1, BROWN)


@LANDMARKS.add("drum")
def _drum(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.72, -0.3, 0.72, 0.5, RED)
    c.oval(0, 0.5, 0.72, 0.28, RED)
    c.line([(-0.66 + 0.33 * k, -0.2 if k % 2 else 0.6) for k in range(5)], 0.1, GOLD)
    c.oval(0, -0.32, 0.74, 0.28, CREAM)
    c.line([(-0.85, -0.9), (-0.1, -0.35)], 0.1, BROWN)
    c.line([(0.85, -0.9), (0.15, -0.35)], 0.1, BROWN)


@LANDMARKS.add("piano")
def _piano(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.95, -0.65, 0.95, 0.7, DARK_BROWN)
    c.rect(-0.85, -0.3, 0.85, 0.6, WHITE)
    for k in range(1, 5):
        x = -0.85 + 0.34 * k
        c.rect(x - 0.025, -0.3, x + 0.025, 0.6, CHARCOAL)
        c.rect(x - 0.1, -0.3, x + 0.1, 0.2, BLACK)


@LANDMARKS.add("soccer ball")
def _soccer_ball(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, 0, 0.9, BLACK)
    c.disc(0, 0, 0.82, WHITE)
    turn = float(rng.uniform(0, 72))
    c.poly([polar(0.32, turn + 72 * k) for k in range(5)], BLACK)
    c.discs([polar(0.68, turn + 72 * k) for k in range(5)], 0.17, BLACK)


@LANDMARKS.add("robot")
def _robot(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.05, -0.97, 0.05, -0.8, RED)
    c.rect(-0.5, -0.82, 0.5, -0.12, SILVER)
    c.discs([(-0.24, -0.5), (0.24, -0.5)], 0.15, RED)
    c.rect(-0.28, -0.3, 0.28, -0.2, BLACK)
    c.rect(-0.62, -0.05, 0.62, 0.62, TEAL)
    c.twice([(0.68, 0.0), (0.92, 0.0), (0.92, 0.55), (0.68, 0.55)], SILVER)
    c.twice([(0.12, 0.66), (0.42, 0.66), (0.42, 0.95), (0.12, 0.95)], SILVER)


@LANDMARKS.add("snowman")
def _snowman(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, 0.48, 0.52, CHARCOAL)
    c.disc(0, -0.22, 0.4, CHARCOAL)
    c.disc(0, 0.48, 0.46, WHITE)
    c.disc(0, -0.22, 0.34, WHITE)
    c.rect(-0.28, -0.95, 0.28, -0.5, BLACK)
    c.rect(-0.46, -0.58, 0.46, -0.46, BLACK)
    c.poly([(0, -0.28), (0.4, -0.16), (0, -0.1)], ORANGE)
    c.rect(-0.36, 0.02, 0.36, 0.16, RED)
