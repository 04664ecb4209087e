"""Faces of cats and dogs (the analogue of Oxford Pets)."""

from __future__ import annotations

import numpy as np

from gift_micro.draw import (
    APRICOT,
    BLACK,
    BROWN,
    CHARCOAL,
    CREAM,
    DARK_BROWN,
    GOLD,
    GREY,
    LILAC,
    LIME,
    MAGENTA,
    NAVY_GREY,
    ORANGE,
    ORANGE_BROWN,
    PINK,
    SKY,
    TAN,
    WHITE,
    YELLOW,
    Canvas,
    Colour,
    Family,
    star_points,
)

PETS = Family("oxfordpet")


def _eyes(c: Canvas, y: float, colour: Colour, r: float = 0.15, x: float = 0.32) -> None:
    """Two eyes with dark pupils."""
    c.discs([(-x, y), (x, y)], r, colour)
    c.discs([(-x, y), (x, y)], r * 0.55, BLACK)


def _cat(c: Canvas, fur: Colour, inner: Colour, ear: float = 0.95) -> None:
    """A cat's head with pointed ears."""
    c.twice([(0.18, -0.45), (0.7, -ear), (0.8, 0.0)], fur)
    c.twice([(0.38, -0.45), (0.63, -ear + 0.22), (0.7, -0.2)], inner)
    c.oval(0, 0.15, 0.8, 0.68, fur)


def _snout(c: Canvas, colour: Colour, y: float = 0.42, r: float = 0.3) -> None:
    """A dog's muzzle with a big dark nose."""
    c.oval(0, y, r * 1.15, r, colour)
    c.oval(0, y - 0.1, 0.17, 0.13, BLACK)


@PETS.add("siamese cat")
def _siamese(c: Canvas, rng: np.random.Generator) -> None:
    _cat(c, CREAM, DARK_BROWN)
    c.twice([(0.18, -0.45), (0.7, -0.95), (0.8, -0.1)], DARK_BROWN)
    c.oval(0, 0.3, 0.42, 0.45, DARK_BROWN)
    _eyes(c, 0.0, SKY, 0.17, 0.38)


@PETS.add("bombay cat")
def _bombay(c: Canvas, rng: np.random.Generator) -> None:
    _cat(c, BLACK, CHARCOAL)
    _eyes(c, 0.05, YELLOW, 0.2, 0.34)
    c.mirror([(0.12, 0.38), (0, 0.52)], PINK)


@PETS.add("ginger cat")
def _ginger(c: Canvas, rng: np.random.Generator) -> None:
    _cat(c, ORANGE, PINK)
    c.oval(0, 0.5, 0.5, 0.3, WHITE)
    _eyes(c, 0.02, LIME, 0.16)
    c.mirror([(0.12, 0.34), (0, 0.5)], BROWN)


@PETS.add("tabby cat")
def _tabby(c: Canvas, rng: np.random.Generator) -> None:
    _cat(c, GREY, CHARCOAL)
    for x in (-0.3, 0.0, 0.3):
        c.rect(x - 0.07, -0.5, x + 0.07, -0.15, BLACK)
    for y in (0.3, 0.52):
        c.twice([(0.45, y), (0.85, y - 0.08), (0.85, y + 0.06)], BLACK)
    _eyes(c, 0.08, LIME, 0.17)
    c.mirror([(0.12, 0.38), (0, 0.52)], PINK)


@PETS.add("persian cat")
def _persian(c: Canvas, rng: np.random.Generator) -> None:
    c.twice([(0.25, -0.5), (0.72, -0.97), (0.85, -0.3)], LILAC)
    c.poly(star_points(12, 0.97, 0.86, 0, 0.06), LILAC)
    c.poly(star_points(12, 0.86, 0.68, 0, 0.08), WHITE)
    _eyes(c, 0.0, ORANGE, 0.19, 0.34)
    c.oval(0, 0.34, 0.2, 0.12, PINK)


@PETS.add("sphynx cat")
def _sphynx(c: Canvas, rng: np.random.Generator) -> None:
    c.twice([(0.1, -0.2), (0.85, -0.95), (0.95, -0.5), (0.5, 0.2)], PINK)
    c.twice([(0.35, -0.25), (0.8, -0.8), (0.82, -0.5), (0.5, 0.0)], MAGENTA)
    c.mirror([(0.3, -0.4), (0.55, 0.0), (0.4, 0.55), (0.15, 0.85)], PINK)
    _eyes(c, 0.1, SKY, 0.19, 0.28)


@PETS.add("beagle")
def _beagle(c: Canvas, rng: np.random.Generator) -> None:
    c.oval(0, 0, 0.6, 0.8, ORANGE_BROWN)
    c.mirror([(0.12, -0.8), (0.16, 0.1), (0.5, 0.4), (0.35, 0.8)], WHITE)
    c.oval(-0.68, 0.05, 0.25, 0.66, DARK_BROWN, 8)
    c.oval(0.68, 0.05, 0.25, 0.66, DARK_BROWN, -8)
    _snout(c, WHITE, 0.5)
    _eyes(c, -0.12, BLACK, 0.12, 0.32)


@PETS.add("dalmatian")
def _dalmatian(c: Canvas, rng: np.random.Generator) -> None:
    c.oval(0, 0.05, 0.66, 0.84, WHITE)
    c.oval(-0.7, -0.2, 0.22, 0.5, BLACK, 18)
    c.oval(0.7, -0.2, 0.22, 0.5, BLACK, -18)
    for x, y in ((-0.2, -0.55), (0.25, -0.4), (-0.42, 0.3), (0.45, 0.2), (0.3, 0.7)):
        c.disc(x + float(rng.uniform(-0.06, 0.06)), y, 0.12, BLACK)
    _eyes(c, -0.08, BLACK, 0.1, 0.28)
    c.oval(0, 0.42, 0.2, 0.15, BLACK)


@PETS.add("poodle")
def _poodle(c: Canvas, rng: np.random.Generator) -> None:
    wool = APRICOT
    c.discs([(-0.3, -0.6), (0.3, -0.6), (0, -0.7)], 0.3, wool)
    c.discs([(s * 0.7, y) for s in (-1, 1) for y in (-0.25, 0.1, 0.42)], 0.27, wool)
    c.oval(0, 0.1, 0.5, 0.65, CREAM)
    _snout(c, wool, 0.5, 0.26)
    _eyes(c, -0.05, BLACK, 0.12, 0.26)


@PETS.add("pug")
def _pug(c: Canvas, rng: np.random.Generator) -> None:
    c.disc(0, 0.02, 0.82, TAN)
    c.twice([(0.3, -0.75), (0.85, -0.75), (0.8, -0.15)], BLACK)
    c.oval(0, 0.4, 0.52, 0.42, BLACK)
    c.discs([(-0.36, -0.08), (0.36, -0.08)], 0.22, BLACK)
    c.discs([(-0.36, -0.1), (0.36, -0.1)], 0.08, WHITE)


@PETS.add("husky")
def _husky(c: Canvas, rng: np.random.Generator) -> None:
    _cat(c, NAVY_GREY, WHITE)
    c.twice([(0.08, -0.1), (0.5, -0.25), (0.7, 0.3), (0.3, 0.8), (0, 0.82)], WHITE)
    _eyes(c, -0.02, SKY, 0.15, 0.32)
    c.oval(0, 0.45, 0.18, 0.14, BLACK)


@PETS.add("newfoundland")
def _newfoundland(c: Canvas, rng: np.random.Generator) -> None:
    c.oval(-0.7, 0.15, 0.26, 0.55, DARK_BROWN, 15)
    c.oval(0.7, 0.15, 0.26, 0.55, DARK_BROWN, -15)
    c.oval(0, 0, 0.68, 0.85, DARK_BROWN)
    c.oval(0, 0.45, 0.4, 0.34, BROWN)
    c.oval(0, 0.3, 0.18, 0.13, BLACK)
    c.oval(0, 0.72, 0.14, 0.2, PINK)
    c.discs([(-0.28, -0.15), (0.28, -0.15)], 0.1, GOLD)
