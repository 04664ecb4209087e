"""Textures (the analogue of DTD): two bold colours, three to five periods per picture."""

from __future__ import annotations

import math

import numpy as np

from gift_micro.draw import (
    BLACK,
    BLUE,
    BROWN,
    CREAM,
    DARK_BROWN,
    DARK_GREEN,
    DARK_RED,
    GOLD,
    LIME,
    MAGENTA,
    NAVY,
    ORANGE,
    PINK,
    PURPLE,
    RED,
    SKY,
    TAN,
    TEAL,
    WHITE,
    YELLOW,
    Canvas,
    Colour,
    Family,
    polar,
    smooth_noise,
)

DTD = Family("dtd", full_frame=True)


def _duo(c: Canvas, rng: np.random.Generator, pairs: tuple[tuple[Colour, Colour], ...]) -> Colour:
    """Fill the frame with the first colour of a random pair and return the second."""
    ground, figure = pairs[int(rng.integers(len(pairs)))]
    c.fill(ground)
    return figure


@DTD.add("striped")
def _striped(c: Canvas, rng: np.random.Generator) -> None:
    figure = _duo(c, rng, ((SKY, NAVY), (WHITE, BLUE)))
    x, _ = c.field()
    c.mask(np.sin(x * rng.uniform(11, 14) + rng.uniform(0, 6)) > 0, figure)


@DTD.add("dotted")
def _dotted(c: Canvas, rng: np.random.Generator) -> None:
    figure = _duo(c, rng, ((PINK, PURPLE), (WHITE, MAGENTA)))
    step = float(rng.uniform(0.48, 0.58))
    dx, dy = rng.uniform(0, step, 2).tolist()
    for i in range(-3, 4):
        c.discs([(i * step + dx, j * step + dy) for j in range(-3, 4)], 0.34 * step, figure)


@DTD.add("chequered")
def _chequered(c: Canvas, rng: np.random.Generator) -> None:
    figure = _duo(c, rng, ((WHITE, BLACK), (CREAM, DARK_RED)))
    x, y = c.field()
    step = rng.uniform(1.8, 2.3)
    dx, dy = rng.uniform(0, 2, 2)
    c.mask((np.floor(x * step + dx) + np.floor(y * step + dy)) % 2 > 0, figure)


@DTD.add("zigzagged")
def _zigzagged(c: Canvas, rng: np.random.Generator) -> None:
    figure = _duo(c, rng, ((YELLOW, BLUE), (WHITE, BLUE)))
    x, y = c.field()
    tooth = np.abs((x * rng.uniform(1.4, 1.8) + rng.uniform(0, 1)) % 1 - 0.5)
    c.mask((y * 1.6 + 1.5 * tooth + rng.uniform(0, 1)) % 1 > 0.5, figure)


@DTD.add("cracked")
def _cracked(c: Canvas, rng: np.random.Generator) -> None:
    figure = _duo(c, rng, ((TAN, DARK_BROWN), (ORANGE, DARK_BROWN)))
    x, y = c.field()
    grid = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]) * 0.8
    seeds = grid + rng.uniform(-0.3, 0.3, grid.shape)
    near = np.partition(
        np.stack([np.hypot(x - u, y - v) for u, v in seeds.astype(np.float32)]), 1, axis=0
    )
    c.mask(near[1] - near[0] < 0.14, figure)


@DTD.add("wavy")
def _wavy(c: Canvas, rng: np.random.Generator) -> None:
    figure = _duo(c, rng, ((SKY, TEAL), (WHITE, TEAL)))
    x, y = c.field()
    swell = 0.2 * np.sin(x * rng.uniform(5, 6) + rng.uniform(0, 6))
    c.mask(np.sin((y + swell) * rng.uniform(9, 11) + rng.uniform(0, 6)) > 0, figure)


@DTD.add("honeycombed")
def _honeycombed(c: Canvas, rng: np.random.Generator) -> None:
    figure = _duo(c, rng, ((GOLD, DARK_BROWN), (YELLOW, BROWN)))
    step = float(rng.uniform(0.6, 0.68))
    dx, dy = rng.uniform(0, 0.5, 2).tolist()
    for j in range(-4, 5):
        for i in range(-3, 4):
            x, y = (i + (j % 2) / 2) * step + dx, j * step * 0.866 + dy
            c.poly([polar(step * 0.44, 60 * k + 30, x, y) for k in range(6)], figure)


@DTD.add("marbled")
def _marbled(c: Canvas, rng: np.random.Generator) -> None:
    figure = _duo(c, rng, ((WHITE, DARK_GREEN), (LIME, DARK_GREEN)))
    x, y = c.field()
    warp = 3.0 * smooth_noise(rng, 4, c.pixels)
    c.mask(np.sin(3.5 * x + 3.0 * y + warp * 1.6) > 0.1, figure)


@DTD.add("woven")
def _woven(c: Canvas, rng: np.random.Generator) -> None:
    across = _duo(c, rng, ((DARK_BROWN, TAN),))
    x, y = c.field()
    step = rng.uniform(1.8, 2.2)
    u, v = x * step + rng.uniform(0, 2), y * step + rng.uniform(0, 2)
    over = (np.floor(u) + np.floor(v)) % 2 > 0
    c.mask(over & (np.abs(v % 1 - 0.5) < 0.36), across)
    c.mask(~over & (np.abs(u % 1 - 0.5) < 0.36), RED)


@DTD.add("spiralled")
def _spiralled(c: Canvas, rng: np.random.Generator) -> None:
    figure = _duo(c, rng, ((YELLOW, MAGENTA), (WHITE, PURPLE)))
    x, y = c.field()
    turn = np.arctan2(y, x) / (2 * math.pi)
    c.mask((np.hypot(x, y) * rng.uniform(1.8, 2.2) - turn + rng.uniform(0, 1)) % 1 > 0.5, figure)


@DTD.add("grid")
def _grid(c: Canvas, rng: np.random.Generator) -> None:
    figure = _duo(c, rng, ((WHITE, RED), (CREAM, ORANGE)))
    x, y = c.field()
    step = rng.uniform(1.6, 2.0)
    dx, dy = rng.uniform(0, 1, 2)
    c.mask(((x * step + dx) % 1 < 0.26) | ((y * step + dy) % 1 < 0.26), figure)
