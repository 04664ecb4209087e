"""Road vehicles seen from the side (the analogue of Stanford Cars)."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BLACK,
    BLUE,
    BROWN,
    CHARCOAL,
    CREAM,
    DARK_GREEN,
    LILAC,
    LIME,
    MAGENTA,
    NAVY,
    ORANGE,
    PINK,
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

CARS = Family("stanfordcars")


def _wheels(c: Canvas, *xs: float, r: float = 0.24, y: float = 0.5) -> None:
    """Dark wheels with light hubs."""
    c.discs([(x, y) for x in xs], r, BLACK)
    c.discs([(x, y) for x in xs], r * 0.45, SILVER)


@CARS.add("sedan")
def _sedan(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(-0.6, 0), (-0.32, -0.45), (0.32, -0.45), (0.62, 0)], BLUE)
    c.poly([(-0.42, 0), (-0.24, -0.32), (0.24, -0.32), (0.44, 0)], SKY)
    c.rect(-0.06, -0.4, 0.06, 0, BLUE)
    c.rect(-0.94, -0.02, 0.94, 0.45, BLUE)
    _wheels(c, -0.55, 0.55)


@CARS.add("jeep")
def _jeep(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.82, -0.8, 0.35, 0.4, DARK_GREEN)
    c.rect(0.3, -0.1, 0.88, 0.4, DARK_GREEN)
    c.rect(-0.66, -0.62, -0.3, -0.2, CREAM)
    c.rect(-0.14, -0.62, 0.22, -0.2, CREAM)
    c.disc(-0.88, 0.0, 0.22, BLACK)
    _wheels(c, -0.48, 0.54, r=0.34, y=0.48)


@CARS.add("pickup truck")
def _pickup(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(0.0, 0.05), (0.05, -0.62), (0.5, -0.62), (0.66, 0.0)], ORANGE)
    c.poly([(0.14, -0.05), (0.16, -0.46), (0.42, -0.46), (0.54, -0.05)], SKY)
    c.rect(-0.95, 0.0, 0.95, 0.42, ORANGE)
    c.rect(-0.95, -0.2, -0.8, 0.1, ORANGE)
    c.discs([(-0.58, -0.1), (-0.3, -0.1)], 0.22, BROWN)
    c.rect(-0.95, 0.08, 0.0, 0.42, ORANGE)
    _wheels(c, -0.55, 0.58, r=0.28)


@CARS.add("convertible")
def _convertible(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(0.18, 0.05), (0.0, -0.45), (0.1, -0.45), (0.36, 0.05)], CHARCOAL)
    c.disc(-0.2, -0.35, 0.18, TAN)
    c.rect(-0.34, -0.2, -0.06, 0.1, NAVY)
    c.poly(
        [(-0.94, 0.05), (-0.4, 0.0), (0.3, 0.02), (0.95, 0.2), (0.95, 0.45), (-0.94, 0.45)], PINK
    )
    c.rect(-0.94, 0.22, 0.95, 0.32, MAGENTA)
    _wheels(c, -0.56, 0.56)


@CARS.add("camper van")
def _camper(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(-0.85, 0.5), (-0.85, -0.7), (0.6, -0.7), (0.88, -0.1), (0.88, 0.5)], TEAL)
    c.poly([(-0.85, -0.1), (-0.85, -0.8), (0.6, -0.8), (0.88, -0.1)], WHITE)
    for x in (-0.72, -0.24, 0.24):
        c.rect(x, -0.58, x + 0.36, -0.14, CHARCOAL)
    _wheels(c, -0.5, 0.5, y=0.55)


@CARS.add("school bus")
def _school_bus(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.95, -0.65, 0.68, 0.45, YELLOW)
    c.rect(0.6, -0.05, 0.95, 0.45, YELLOW)
    for x in (-0.85, -0.48, -0.11, 0.26):
        c.rect(x, -0.48, x + 0.26, -0.12, NAVY)
    c.rect(-0.95, 0.08, 0.95, 0.2, BLACK)
    _wheels(c, -0.55, 0.55)


@CARS.add("limousine")
def _limousine(c: Canvas, rng: np.random.Generator) -> None:
    c.poly([(-0.85, -0.02), (-0.66, -0.3), (0.5, -0.3), (0.68, -0.02)], BLACK)
    for x in (-0.6, -0.24, 0.12):
        c.rect(x, -0.22, x + 0.28, -0.04, LILAC)
    c.rect(-0.98, -0.04, 0.98, 0.34, BLACK)
    _wheels(c, -0.68, 0.68, r=0.2, y=0.36)
    c.rect(-0.4, 0.1, 0.4, 0.18, SILVER)


@CARS.add("racing car")
def _racing_car(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.95, -0.4, -0.62, -0.22, BLACK)
    c.rect(-0.85, -0.3, -0.72, 0.2, BLACK)
    c.poly([(-0.8, 0.36), (-0.7, -0.1), (0.0, -0.2), (0.4, 0.1), (0.95, 0.24), (0.95, 0.38)], RED)
    c.disc(-0.06, -0.22, 0.17, WHITE)
    c.rect(0.72, 0.36, 0.98, 0.46, BLACK)
    _wheels(c, -0.56, 0.5, r=0.33, y=0.28)
    c.disc(-0.05, 0.12, 0.13, WHITE)


@CARS.add("police car")
def _police_car(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.3, -0.68, 0.0, -0.44, RED)
    c.rect(0.0, -0.68, 0.3, -0.44, BLUE)
    c.poly([(-0.66, 0), (-0.4, -0.46), (0.4, -0.46), (0.68, 0)], WHITE)
    c.poly([(-0.46, 0), (-0.3, -0.34), (0.3, -0.34), (0.48, 0)], CHARCOAL)
    c.rect(-0.94, -0.02, 0.94, 0.45, BLACK)
    c.rect(-0.36, -0.04, 0.36, 0.45, WHITE)
    _wheels(c, -0.58, 0.58)


@CARS.add("taxi")
def _taxi(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.22, -0.72, 0.22, -0.46, BLACK)
    c.poly([(-0.66, 0), (-0.46, -0.5), (0.46, -0.5), (0.68, 0)], YELLOW)
    c.rect(-0.42, -0.36, 0.42, -0.02, WHITE)
    c.rect(-0.94, -0.02, 0.94, 0.48, YELLOW)
    for k in range(8):
        y = 0.08 + 0.12 * (k % 2)
        c.rect(-0.94 + 0.235 * k, y, -0.705 + 0.235 * k, y + 0.12, BLACK)
    _wheels(c, -0.55, 0.55)


@CARS.add("fire truck")
def _fire_truck(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.95, -0.2, 0.95, 0.46, RED)
    c.rect(0.38, -0.6, 0.95, 0.1, RED)
    c.rect(0.54, -0.44, 0.84, -0.1, SKY)
    c.poly([(-0.95, -0.42), (0.75, -0.92), (0.8, -0.72), (-0.9, -0.2)], SILVER)
    c.rect(-0.95, 0.14, 0.95, 0.26, WHITE)
    _wheels(c, -0.6, 0.58, r=0.27)


@CARS.add("cement truck")
def _cement_truck(c: Canvas, rng: np.random.Generator) -> None:
    c.rect(-0.95, 0.22, 0.95, 0.42, CHARCOAL)
    c.rect(0.5, -0.45, 0.92, 0.42, LIME)
    c.rect(0.62, -0.32, 0.86, -0.02, NAVY)
    c.oval(-0.26, -0.22, 0.72, 0.5, SILVER, -12)
    c.poly([(-0.55, -0.6), (-0.25, -0.7), (0.0, 0.2), (-0.3, 0.25)], MAGENTA)
    _wheels(c, -0.66, -0.1, 0.64, r=0.25)
