"""Base-only household things."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BLACK,
    BLUE,
    BROWN,
    CHARCOAL,
    CREAM,
    DARK_RED,
    GOLD,
    GREEN,
    GREY,
    LILAC,
    NAVY,
    ORANGE,
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
)

HOUSEHOLD = Family("household")


@HOUSEHOLD.add("book")
def _book(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0, -0.55), (0.92, -0.7), (0.92, 0.65), (0, 0.8)], BLUE)
    c.twice([(0.04, -0.5), (0.8, -0.62), (0.8, 0.5), (0.04, 0.66)], CREAM)
    for y in (-0.25, 0.05, 0.35):
        c.twice([(0.18, y), (0.66, y - 0.08), (0.66, y + 0.02), (0.18, y + 0.1)], GREY)


@HOUSEHOLD.add("television")
def _television(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(-0.35, -0.95), (0, -0.55), (0.35, -0.95)], 0.09, CHARCOAL)
    c.rect(-0.9, -0.6, 0.9, 0.75, BROWN)
    c.rect(-0.74, -0.45, 0.45, 0.58, TEAL)
    c.discs([(0.66, -0.2), (0.66, 0.2)], 0.12, CREAM)
    c.twice([(0.4, 0.75), (0.6, 0.75), (0.7, 0.95), (0.5, 0.95)], CHARCOAL)


@HOUSEHOLD.add("envelope")
def _envelope(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.92, -0.62, 0.92, 0.62, CREAM)
    c.line([(-0.9, 0.6), (-0.2, 0.0)], 0.08, BROWN)
    c.line([(0.9, 0.6), (0.2, 0.0)], 0.08, BROWN)
    c.mirror([(0.92, -0.62), (0, 0.22)], TAN)
    c.disc(0, 0.15, 0.2, RED)


@HOUSEHOLD.add("camera")
def _camera(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.35, -0.72, 0.35, -0.3, CHARCOAL)
    c.rect(-0.92, -0.5, 0.92, 0.68, BLACK)
    c.rect(-0.92, -0.5, 0.92, -0.28, SILVER)
    c.disc(0, 0.14, 0.48, SILVER)
    c.disc(0, 0.14, 0.34, NAVY)
    c.disc(-0.1, 0.04, 0.12, SKY)
    c.rect(0.55, -0.22, 0.8, 0.0, YELLOW)


@HOUSEHOLD.add("candle")
def _candle(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0, -0.97), (0.2, -0.6), (0.12, -0.38)], ORANGE)
    c.mirror([(0, -0.75), (0.09, -0.55), (0, -0.4)], YELLOW)
    c.rect(-0.28, -0.3, 0.28, 0.8, LILAC)
    c.rect(-0.04, -0.42, 0.04, -0.28, BLACK)
    c.oval(0, 0.8, 0.62, 0.18, GOLD)


@HOUSEHOLD.add("crown")
def _crown(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0, -0.75), (0.35, 0.0), (0.85, -0.6), (0.72, 0.65)], YELLOW)
    c.rect(-0.72, 0.35, 0.72, 0.65, PURPLE)
    c.discs([(0, -0.75), (0.85, -0.6), (-0.85, -0.6)], 0.13, RED)


@HOUSEHOLD.add("top hat")
def _top_hat(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.58, -0.85), (0.48, 0.5)], BLACK)
    c.oval(0, 0.55, 0.95, 0.2, BLACK)
    c.mirror([(0.53, 0.1), (0.49, 0.42)], RED)


@HOUSEHOLD.add("shirt")
def _shirt(c: Canvas, rng: np.random.Generator) -> None:
    colour = TEAL
    c.mirror(
        [(0.2, -0.75), (0.5, -0.75), (0.97, -0.2), (0.68, 0.05), (0.5, -0.15), (0.5, 0.85)], colour
    )
    c.chord(0, -0.78, 0.24, 0.24, 0, 180, WHITE)
    c.rect(-0.5, 0.15, 0.5, 0.4, YELLOW)


@HOUSEHOLD.add("glasses")
def _glasses(c: Canvas, rng: np.random.Generator) -> None:
    c.discs([(-0.5, 0.05), (0.5, 0.05)], 0.46, BLACK)
    c.discs([(-0.5, 0.05), (0.5, 0.05)], 0.31, SKY)
    c.line([(-0.12, -0.08), (0.12, -0.08)], 0.14, BLACK)


@HOUSEHOLD.add("spoon")
def _spoon(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(0, -0.1), (0, 0.85)], 0.2, GREY)
    c.oval(0, -0.5, 0.38, 0.46, GREY)
    c.oval(0, -0.52, 0.24, 0.32, SILVER)


@HOUSEHOLD.add("fork")
def _fork(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(0, -0.1), (0, 0.85)], 0.2, NAVY)
    c.chord(0, -0.2, 0.5, 0.34, 0, 180, NAVY)
    for x in (-0.41, 0.0, 0.41):
        c.rect(x - 0.1, -0.92, x + 0.1, -0.1, NAVY)


@HOUSEHOLD.add("knife")
def _knife(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(-0.2, 0.2), (-0.2, -0.95), (0.15, -0.75), (0.28, -0.3), (0.28, 0.2)], SILVER)
    c.rect(-0.26, 0.15, 0.34, 0.28, BLACK)
    c.line([(0.03, 0.4), (0.03, 0.8)], 0.3, DARK_RED)


@HOUSEHOLD.add("pencil")
def _pencil(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.24, 0.4), (0, 0.97)], CREAM)
    c.mirror([(0.09, 0.78), (0, 0.97)], BLACK)
    c.rect(-0.24, -0.7, 0.24, 0.42, YELLOW)
    c.rect(-0.24, -0.72, 0.24, -0.55, GREY)
    c.rect(-0.24, -0.95, 0.24, -0.7, PINK)


@HOUSEHOLD.add("light bulb")
def _light_bulb(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, -0.3, 0.62, YELLOW)
    c.mirror([(0.4, 0.1), (0.24, 0.5)], YELLOW)
    c.rect(-0.26, 0.42, 0.26, 0.8, GREY)
    c.disc(0, 0.82, 0.14, BLACK)
    c.line([(-0.18, -0.2), (-0.08, 0.1), (0.08, 0.1), (0.18, -0.2)], 0.08, ORANGE)


@HOUSEHOLD.add("traffic light")
def _traffic_light(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.42, -0.95, 0.42, 0.95, BLACK)
    for y, colour in ((-0.6, RED), (0.0, YELLOW), (0.6, GREEN)):
        c.disc(0, y, 0.26, colour)


@HOUSEHOLD.add("boot")
def _boot(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(-0.55, -0.9), (0.1, -0.9), (0.1, 0.2), (0.8, 0.4), (0.85, 0.75), (-0.55, 0.75)], BROWN)
    c.rect(-0.6, 0.68, 0.9, 0.92, BLACK)
    c.rect(-0.62, -0.92, 0.16, -0.65, CREAM)


@HOUSEHOLD.add("magnet")
def _magnet(c: Canvas, rng: np.random.Generator) -> None:
    c.arc(0, -0.2, 0.52, 0.52, 180, 360, 0.42, RED)
    c.twice([(0.31, -0.25), (0.73, -0.25), (0.73, 0.5), (0.31, 0.5)], RED)
    c.twice([(0.31, 0.42), (0.73, 0.42), (0.73, 0.85), (0.31, 0.85)], SILVER)


@HOUSEHOLD.add("balloon")
def _balloon(c: Canvas, rng: np.random.Generator) -> None:
    c.line([(0, 0.5), (0.12, 0.7), (-0.08, 0.95)], 0.07, CHARCOAL)
    c.mirror([(0.0, 0.4), (0.15, 0.62)], RED)
    c.oval(0, -0.22, 0.58, 0.7, RED)
    c.oval(-0.22, -0.5, 0.12, 0.2, PINK, 25)


@HOUSEHOLD.add("flag")
def _flag(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.75, -0.95, -0.6, 0.95, BROWN)
    c.rect(-0.6, -0.85, 0.9, -0.5, BLUE)
    c.rect(-0.6, -0.5, 0.9, -0.15, WHITE)
    c.rect(-0.6, -0.15, 0.9, 0.2, BLUE)
