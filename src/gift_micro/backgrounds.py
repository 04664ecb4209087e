"""Random backgrounds: size -> a picture [size, size, 3] in 0..1."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from gift_micro.draw import FloatArray, smooth_noise

Background = Callable[[np.random.Generator, int], FloatArray]


def _hsv(h: float, s: float, v: float) -> FloatArray:
    return np.array(colorsys.hsv_to_rgb(h % 1.0, s, v), np.float32)


def _blend(low: FloatArray, high: FloatArray, weight: FloatArray) -> FloatArray:
    """Mix two colours by a map of weights in 0..1."""
    return np.asarray(low + (high - low) * weight[..., None], np.float32)


def _tone(rng: np.random.Generator, r: float, g: float, b: float) -> FloatArray:
    """A colour with a little random brightness."""
    return np.array((r, g, b), np.float32) * np.float32(rng.uniform(0.85, 1.15))


def _white(rng: np.random.Generator, size: int) -> FloatArray:
    return np.full((size, size, 3), rng.uniform(0.9, 1.0), np.float32)


def _pastel(rng: np.random.Generator, size: int) -> FloatArray:
    tint = _hsv(rng.uniform(), rng.uniform(0.05, 0.22), rng.uniform(0.88, 1.0))
    return np.broadcast_to(tint, (size, size, 3))


def _gradient(rng: np.random.Generator, size: int) -> FloatArray:
    hue = rng.uniform()
    ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None].repeat(size, axis=1)
    return _blend(_hsv(hue, 0.28, 0.92), _hsv(hue + rng.uniform(-0.1, 0.1), 0.05, 1.0), ramp)


def _dark(rng: np.random.Generator, size: int) -> FloatArray:
    tint = _hsv(rng.uniform(), rng.uniform(0.0, 0.5), rng.uniform(0.05, 0.25))
    return np.broadcast_to(tint, (size, size, 3))


def _vivid(rng: np.random.Generator, size: int) -> FloatArray:
    tint = _hsv(rng.uniform(), rng.uniform(0.4, 0.8), rng.uniform(0.5, 0.95))
    return np.broadcast_to(tint, (size, size, 3))


def _mix(rng: np.random.Generator, size: int, cells: int) -> FloatArray:
    return np.asarray(np.clip(0.5 + 0.5 * smooth_noise(rng, cells, size), 0, 1), np.float32)


def _grass(rng: np.random.Generator, size: int) -> FloatArray:
    weight = _mix(rng, size, max(4, size // 2))
    return _blend(_tone(rng, 0.2, 0.42, 0.12), _tone(rng, 0.38, 0.62, 0.22), weight)


def _foliage(rng: np.random.Generator, size: int) -> FloatArray:
    weight = _mix(rng, size, 7)
    return _blend(_tone(rng, 0.06, 0.2, 0.1), _tone(rng, 0.3, 0.45, 0.2), weight)


def _water(rng: np.random.Generator, size: int) -> FloatArray:
    weight = np.repeat(_mix(rng, size, 9)[:, size // 2 :], 2, axis=1)[:, :size]
    return _blend(_tone(rng, 0.12, 0.35, 0.55), _tone(rng, 0.35, 0.65, 0.8), weight)


def _runway(rng: np.random.Generator, size: int) -> FloatArray:
    picture = _blend(
        _tone(rng, 0.4, 0.4, 0.42), _tone(rng, 0.5, 0.5, 0.5), _mix(rng, size, max(4, size // 2))
    )
    x = int(rng.integers(size))
    picture[:, x : x + max(1, size // 12)] = 0.85
    return picture


def _wood(rng: np.random.Generator, size: int) -> FloatArray:
    weight = _mix(rng, size, 8)[size // 2][None, :].repeat(size, axis=0)
    return _blend(_tone(rng, 0.42, 0.26, 0.14), _tone(rng, 0.68, 0.48, 0.28), weight)


def _bricks(rng: np.random.Generator, size: int) -> FloatArray:
    y, x = np.mgrid[0:size, 0:size] * (32 / size) + rng.uniform(0, 8)
    row = np.floor(y / 6)
    mortar = (y % 6 < 1) | ((x + 6 * (row % 2)) % 12 < 1)
    weight = mortar.astype(np.float32)
    return _blend(_tone(rng, 0.62, 0.32, 0.25), _tone(rng, 0.75, 0.7, 0.65), weight)


def _cloth(rng: np.random.Generator, size: int) -> FloatArray:
    y, x = np.mgrid[0:size, 0:size] * (32 / size) + rng.uniform(0, 8)
    weight = 0.5 * ((x % 8 < 4).astype(np.float32) + (y % 8 < 4))
    hue = rng.uniform()
    return _blend(_hsv(hue, 0.35, 0.75), _hsv(hue, 0.1, 0.95), weight)


def _street(rng: np.random.Generator, size: int) -> FloatArray:
    horizon = round(size * rng.uniform(0.45, 0.65))
    picture = np.empty((size, size, 3), np.float32)
    picture[:horizon] = _tone(rng, 0.68, 0.76, 0.85)
    picture[horizon:] = _tone(rng, 0.4, 0.4, 0.43)
    return picture


def _clouds(rng: np.random.Generator, size: int) -> FloatArray:
    hue = rng.uniform()
    return _blend(_hsv(hue, 0.45, 0.85), _hsv(hue, 0.02, 1.0), _mix(rng, size, 4))


def _blotches(rng: np.random.Generator, size: int) -> FloatArray:
    channels = [_mix(rng, size, 5) for _ in range(3)]
    return np.asarray(0.25 + 0.6 * np.stack(channels, axis=-1), np.float32)


#: The background kinds by name.
BACKGROUNDS: Mapping[str, Background] = MappingProxyType(
    {
        "white": _white,
        "pastel": _pastel,
        "gradient": _gradient,
        "dark": _dark,
        "vivid": _vivid,
        "grass": _grass,
        "foliage": _foliage,
        "water": _water,
        "runway": _runway,
        "wood": _wood,
        "bricks": _bricks,
        "cloth": _cloth,
        "street": _street,
        "clouds": _clouds,
        "blotches": _blotches,
    }
)
