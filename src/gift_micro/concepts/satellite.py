"""Land seen from a satellite (the analogue of EuroSAT)."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    BROWN,
    CHARCOAL,
    CREAM,
    DARK_GREEN,
    GOLD,
    GREY,
    LIME,
    NAVY,
    RED,
    SILVER,
    TAN,
    WHITE,
    YELLOW,
    Canvas,
    Colour,
    Family,
    pick,
    polar,
)

EUROSAT = Family("eurosat", full_frame=True)

_MEADOW: Colour = (120, 165, 75)
_SOIL: Colour = (165, 125, 80)
_RIVER: Colour = (45, 110, 190)
_CANOPY: Colour = (30, 75, 35)


@EUROSAT.add("annual crop land")
def _crop_land(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(TAN)
    x0, y0 = rng.uniform(-1.9, -1.5, 2).tolist()
    plots = (TAN, GOLD, LIME, BROWN, YELLOW)
    for i in range(5):
        for j in range(5):
            x, y = x0 + 0.75 * i, y0 + 0.75 * j
            c.rect(x, y, x + 0.75, y + 0.75, plots[int(rng.integers(5))])
    c.mottle(8, 0.06)


@EUROSAT.add("forest")
def _forest(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(_CANOPY)
    for x, y in rng.uniform(-1.1, 1.1, (26, 2)).tolist():
        c.disc(x, y, 0.17, pick(rng, DARK_GREEN, (15, 50, 25), (45, 105, 45)))
    c.mottle(12, 0.15)


@EUROSAT.add("highway")
def _highway(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(_MEADOW)
    c.mottle(7, 0.15)
    turn = float(rng.uniform(20, 70)) * (1 if rng.random() < 0.5 else -1)
    a, b = polar(2.2, turn), polar(2.2, turn + 180)
    c.line([a, b], 0.5, CHARCOAL)
    c.line([a, b], 0.12, WHITE)


@EUROSAT.add("industrial buildings")
def _industrial(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(GREY)
    c.mottle(8, 0.1)
    for x in (-0.55, 0.5):
        for y in (-0.55, 0.5):
            w, h = rng.uniform(0.3, 0.46, 2).tolist()
            c.rect(x - w + 0.1, y - h + 0.1, x + w + 0.1, y + h + 0.1, CHARCOAL)
            c.rect(x - w, y - h, x + w, y + h, pick(rng, WHITE, SILVER, (120, 160, 200)))


@EUROSAT.add("residential buildings")
def _residential(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(_MEADOW)
    c.mottle(8, 0.1)
    dx, dy = rng.uniform(-0.15, 0.15, 2).tolist()
    c.rect(-2, dy - 0.1, 2, dy + 0.1, SILVER)
    c.rect(dx - 0.1, -2, dx + 0.1, 2, SILVER)
    for x in (-0.95, -0.5, 0.0, 0.5, 0.95):
        for y in (-0.8, -0.35, 0.35, 0.8):
            if x:
                jx, jy = rng.uniform(-0.05, 0.05, 2).tolist()
                u, v = x + jx + dx, y + jy + dy
                c.rect(u - 0.15, v - 0.14, u + 0.15, v + 0.14, RED)


@EUROSAT.add("river")
def _river(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(_MEADOW)
    c.mottle(7, 0.15)
    x, y = c.field()
    if rng.random() < 0.5:
        x, y = y, x
    bend = 0.35 * np.sin(x * rng.uniform(2.2, 3.0) + rng.uniform(0, 6))
    c.mask(np.abs(y - bend + rng.uniform(-0.15, 0.15)) < 0.3, CREAM)
    c.mask(np.abs(y - bend + rng.uniform(-0.02, 0.02)) < 0.24, _RIVER)


@EUROSAT.add("lake")
def _lake(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(NAVY)
    x, y = c.field()
    side = float(rng.uniform(0, 360))
    u, v = polar(1.0, side)
    c.mask(x * u + y * v + 0.12 * np.sin(4 * (x * v - y * u)) > 0.72, CREAM)
    c.mask(x * u + y * v + 0.12 * np.sin(4 * (x * v - y * u)) > 0.85, _MEADOW)
    c.mottle(6, 0.12)


@EUROSAT.add("orchard")
def _orchard(c: Canvas, rng: np.random.Generator) -> None:
    c.fill(_SOIL)
    c.mottle(8, 0.1)
    step = float(rng.uniform(0.46, 0.54))
    dx, dy = rng.uniform(0, step, 2).tolist()
    for i in range(-3, 4):
        c.discs([(i * step + dx, j * step + dy) for j in range(-3, 4)], 0.17, DARK_GREEN)


@EUROSAT.add("pasture")
def _pasture(c: Canvas, rng: np.random.Generator) -> None:
    c.fill((165, 200, 95))
    c.mottle(4, 0.16)
    for x, y in rng.uniform(-0.9, 0.9, (4, 2)).tolist():
        c.disc(x, y, 0.08, WHITE)
