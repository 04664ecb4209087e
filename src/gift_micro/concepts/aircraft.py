"""Aircraft seen from above, nose up."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BLACK,
    BLUE,
    BROWN,
    CHARCOAL,
    DARK_GREEN,
    GOLD,
    GREY,
    LIME,
    NAVY,
    ORANGE,
    RED,
    SILVER,
    SKY,
    TEAL,
    WHITE,
    YELLOW,
    Canvas,
    Family,
    pick,
)

AIRCRAFT = Family("aircraft")


@AIRCRAFT.add("airliner")
def _airliner(c: Canvas, rng: np.random.Generator) -> None:
    trim = pick(rng, BLUE, NAVY)
    c.twice([(0.1, -0.2), (0.92, 0.28), (0.92, 0.46), (0.1, 0.2)], trim)
    c.twice([(0.1, 0.58), (0.42, 0.8), (0.42, 0.94), (0.1, 0.82)], trim)
    c.twice([(0.38, -0.12), (0.52, -0.12), (0.52, 0.22), (0.38, 0.22)], CHARCOAL)
    c.oval(0, 0, 0.2, 0.94, SILVER)
    c.oval(0, 0, 0.14, 0.88, WHITE)
    c.oval(0, -0.72, 0.1, 0.08, BLACK)


@AIRCRAFT.add("biplane")
def _biplane(c: Canvas, rng: np.random.Generator) -> None:
    wing = RED
    c.rect(-0.14, -0.55, 0.14, 0.85, BROWN)
    c.rect(-0.92, -0.5, 0.92, -0.2, wing)
    c.rect(-0.92, -0.05, 0.92, 0.25, wing)
    for x in (-0.65, 0.65):
        c.rect(x - 0.06, -0.3, x + 0.06, 0.1, BROWN)
    c.rect(-0.4, 0.68, 0.4, 0.9, wing)
    c.rect(-0.36, -0.72, 0.36, -0.62, BLACK)


@AIRCRAFT.add("fighter jet")
def _fighter_jet(c: Canvas, rng: np.random.Generator) -> None:
    body = GREY
    c.mirror([(0, -0.95), (0.14, -0.5), (0.2, -0.2), (0.85, 0.5), (0.85, 0.66), (0.25, 0.55)], body)
    c.twice([(0.12, 0.5), (0.5, 0.85), (0.5, 0.95), (0.1, 0.85)], CHARCOAL)
    c.oval(0, -0.42, 0.1, 0.22, SKY)
    c.discs([(0.11, 0.85), (-0.11, 0.85)], 0.11, ORANGE)


@AIRCRAFT.add("glider")
def _glider(c: Canvas, rng: np.random.Generator) -> None:
    skin = YELLOW
    c.mirror([(0, -0.32), (0.96, -0.16), (0.96, -0.03), (0, 0.04)], skin)
    c.mirror([(0, -0.65), (0.13, -0.4), (0.1, 0.1), (0.05, 0.75)], skin)
    c.rect(-0.3, 0.66, 0.3, 0.82, skin)
    c.twice([(0.7, -0.2), (0.96, -0.16), (0.96, -0.03), (0.7, -0.01)], RED)
    c.oval(0, -0.42, 0.08, 0.14, NAVY)


@AIRCRAFT.add("seaplane")
def _seaplane(c: Canvas, rng: np.random.Generator) -> None:
    float_ = ORANGE
    for x in (-0.48, 0.48):
        c.oval(x, -0.05, 0.17, 0.75, float_)
    c.rect(-0.92, -0.3, 0.92, 0.08, TEAL)
    c.oval(0, 0.05, 0.16, 0.8, WHITE)
    c.rect(-0.36, 0.66, 0.36, 0.84, TEAL)
    c.rect(-0.26, -0.86, 0.26, -0.76, BLACK)


@AIRCRAFT.add("helicopter")
def _helicopter(c: Canvas, rng: np.random.Generator) -> None:
    spin = float(rng.uniform(30, 60))
    c.rect(-0.09, 0, 0.09, 0.92, DARK_GREEN)
    c.rect(-0.3, 0.78, 0.3, 0.92, DARK_GREEN)
    c.oval(0, -0.12, 0.34, 0.5, LIME)
    c.sector(0, -0.25, 0.26, 0.3, 180, 360, SKY)
    for a in (spin, spin + 90):
        c.oval(0, -0.1, 0.92, 0.075, BLACK, a)
    c.disc(0, -0.1, 0.12, BLACK)


@AIRCRAFT.add("stealth bomber")
def _stealth_bomber(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror(
        [(0, -0.55), (0.95, 0.28), (0.8, 0.48), (0.55, 0.24), (0.33, 0.5), (0.14, 0.3), (0, 0.5)],
        BLACK,
    )
    c.mirror([(0, -0.36), (0.16, -0.1), (0, 0.16)], CHARCOAL)


@AIRCRAFT.add("zeppelin")
def _zeppelin(c: Canvas, rng: np.random.Generator) -> None:
    c.twice([(0, 0.35), (0.55, 0.68), (0.55, 0.95), (0, 0.88)], RED)
    c.oval(0, -0.05, 0.42, 0.9, SILVER)
    c.oval(0, -0.05, 0.24, 0.9, WHITE)
    c.oval(0, -0.05, 0.09, 0.9, SILVER)
    c.rect(-0.09, 0.55, 0.09, 0.95, RED)


@AIRCRAFT.add("drone")
def _drone(c: Canvas, rng: np.random.Generator) -> None:
    for a, b in (((-0.55, -0.55), (0.55, 0.55)), ((-0.55, 0.55), (0.55, -0.55))):
        c.line([a, b], 0.16, CHARCOAL)
    for x in (-0.56, 0.56):
        for y in (-0.56, 0.56):
            c.disc(x, y, 0.36, GOLD)
            c.disc(x, y, 0.24, WHITE)
            c.disc(x, y, 0.1, BLACK)
    c.rect(-0.24, -0.3, 0.24, 0.3, CHARCOAL)
    c.disc(0, -0.08, 0.12, RED)


@AIRCRAFT.add("space shuttle")
def _space_shuttle(c: Canvas, rng: np.random.Generator) -> None:
    c.mirror([(0.1, -0.4), (0.3, 0.0), (0.75, 0.5), (0.75, 0.72), (0, 0.72)], BLACK)
    c.mirror([(0.14, -0.3), (0.25, 0.05), (0.58, 0.5), (0.58, 0.6), (0, 0.6)], WHITE)
    c.mirror([(0, -0.95), (0.16, -0.8), (0.24, -0.5), (0.24, 0.65), (0, 0.65)], WHITE)
    c.mirror([(0, -0.95), (0.16, -0.8), (0.2, -0.65), (0, -0.6)], BLACK)
    c.rect(-0.12, -0.35, 0.12, 0.35, GREY)
    c.twice([(0.04, 0.72), (0.22, 0.72), (0.13, 0.98)], ORANGE)
