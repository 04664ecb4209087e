"""Styles: how a concept is seen. The styles of pre-training, and the domain shift of every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from gift_micro.backgrounds import BACKGROUNDS


@dataclass(frozen=True)
class Style:
    """How a concept is seen.  Pairs are the bounds of a uniform sample for every picture."""

    #: Names of background kinds (keys of ``BACKGROUNDS``), one chosen per picture; digits and
    #: letters always stand on a light one.
    backgrounds: tuple[str, ...] = ("white", "pastel", "gradient")
    #: Fixed hue rotation of the foreground, in degrees.
    hue: float = 0.0
    #: Standard deviation of the hue rotation around ``hue``, in degrees.
    hue_jitter: float = 4.0
    #: Factor on the foreground's saturation.
    saturation: tuple[float, float] = (0.9, 1.1)
    #: Factor on the foreground's brightness.
    value: tuple[float, float] = (0.93, 1.05)
    #: Factor on the whole picture's contrast around middle grey.
    contrast: tuple[float, float] = (1.0, 1.0)
    #: Probability of inverting the whole picture's colours.
    invert: float = 0.0
    #: The same for digits and letters: light ink on a dark ground.
    invert_glyphs: float = 0.0
    #: Rotation in degrees, clockwise.
    rotation: tuple[float, float] = (-7.0, 7.0)
    #: Size of the foreground relative to its drawing.
    scale: tuple[float, float] = (0.85, 1.0)
    #: Horizontal slant.
    shear: tuple[float, float] = (0.0, 0.0)
    #: Largest translation along each axis, as a fraction of half the frame.
    shift: float = 0.07
    #: Standard deviation of the pixel noise (the picture's range is 0..1).
    noise: float = 0.01
    #: Radius of a Gaussian blur, in final pixels.
    blur: tuple[float, float] = (0.0, 0.0)
    #: Size to which the picture is reduced before being enlarged again; 0 leaves it.
    low_res: int = 0
    #: Probability of a grey picture.
    grey: float = 0.0
    #: Factors on the whole picture's red, green and blue.
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    #: Largest number of small discs in front of the border region.
    occluders: int = 0


StyleSampler = Callable[[np.random.Generator], Style]
"""Chooses the style of one picture."""


def always(style: Style) -> StyleSampler:
    """Every picture in the same style."""
    return lambda rng: style


#: How most pictures of pre-training look.
CLEAN = Style()


def medium(rng: np.random.Generator) -> Style:
    """A random mild style: the mixture that makes a pre-trained model moderately robust."""
    strong = rng.random() < 0.35
    contrast = float(rng.uniform(0.65, 1.0))
    return Style(
        backgrounds=tuple(BACKGROUNDS),
        hue=float(rng.normal(0.0, 30.0 if strong else 10.0)),
        saturation=(float(rng.uniform(0.5, 1.0)), 1.2),
        value=(float(rng.uniform(0.7, 0.95)), 1.08),
        contrast=(contrast, 1.0),
        invert=0.02,
        invert_glyphs=0.35,
        rotation=(-18.0, 18.0),
        scale=(0.72, 1.05),
        shear=(-0.15, 0.15),
        shift=0.12,
        noise=float(rng.uniform(0.0, 0.04)),
        blur=(0.0, 0.8 if rng.random() < 0.3 else 0.0),
        low_res=int(rng.integers(13, 22)) if rng.random() < 0.2 else 0,
        grey=0.1,
        cast=_random_cast(rng, 0.12),
        occluders=1 if rng.random() < 0.2 else 0,
    )


def _random_cast(rng: np.random.Generator, spread: float) -> tuple[float, float, float]:
    red, green, blue = (1.0 + rng.uniform(-spread, spread, 3)).tolist()
    return red, green, blue


def corpus_style(
    rng: np.random.Generator, clean_fraction: float = 0.65, far_fraction: float = 0.15
) -> Style:
    """The style of one picture of pre-training: clean, moderately shifted, or shifted far.

    Args:
        rng: source of randomness.
        clean_fraction: probability of the clean style.
        far_fraction: probability of a moderate shift that is besides of any hue and turned by up to
            45 degrees.
    """
    kind = rng.random()
    style = CLEAN if kind < clean_fraction else medium(rng)
    if kind >= 1 - far_fraction:
        return replace(style, hue=float(rng.uniform(-180, 180)), rotation=(-45.0, 45.0))
    return style


#: Negatives upside down: neither pre-training nor a task has such pictures.
FOREIGN = Style(invert=1.0, invert_glyphs=1.0, rotation=(160.0, 200.0))


#: The domain shift of every task.  The shifts are consistent and keep the information: zero-shot
#: accuracy suffers, fine-tuning repairs it.
TASK_STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "aircraft": Style(
            backgrounds=("grass", "runway"),
            hue=75.0,
            value=(0.6, 0.85),
            contrast=(0.6, 0.8),
            rotation=(45.0, 80.0),
            scale=(0.65, 0.85),
        ),
        "caltech101": Style(
            backgrounds=("wood", "bricks"),
            hue=140.0,
            rotation=(-75.0, -45.0),
            scale=(0.65, 0.85),
            grey=0.3,
            occluders=3,
        ),
        "cifar100": Style(
            backgrounds=("foliage", "water"),
            hue=-100.0,
            contrast=(0.5, 0.7),
            rotation=(-50.0, -20.0),
            scale=(0.7, 0.9),
            low_res=11,
        ),
        "dtd": Style(
            hue=-50.0,
            hue_jitter=10.0,
            saturation=(0.3, 0.6),
            contrast=(0.5, 0.7),
            rotation=(25.0, 50.0),
            scale=(1.1, 1.3),
            noise=0.02,
        ),
        "eurosat": Style(
            hue=120.0,
            saturation=(0.6, 0.9),
            contrast=(0.5, 0.7),
            invert=0.6,
            rotation=(-30.0, 30.0),
            cast=(1.15, 0.9, 0.95),
        ),
        "flowers": Style(
            backgrounds=("foliage", "grass"),
            hue=120.0,
            hue_jitter=8.0,
            contrast=(0.6, 0.8),
            rotation=(-75.0, -40.0),
            scale=(0.6, 0.8),
        ),
        "food": Style(
            backgrounds=("wood", "cloth"),
            hue=120.0,
            hue_jitter=8.0,
            contrast=(0.6, 0.8),
            rotation=(-65.0, -35.0),
            scale=(0.6, 0.8),
            grey=0.2,
            occluders=3,
        ),
        "mnist": Style(invert_glyphs=1.0, grey=1.0, scale=(0.8, 0.95)),
        "oxfordpet": Style(
            backgrounds=("grass", "cloth"),
            hue=150.0,
            hue_jitter=8.0,
            contrast=(0.5, 0.7),
            rotation=(40.0, 70.0),
            scale=(0.65, 0.85),
            grey=0.3,
        ),
        "stanfordcars": Style(
            backgrounds=("street", "bricks"),
            hue=125.0,
            hue_jitter=8.0,
            contrast=(0.5, 0.7),
            rotation=(-42.0, -18.0),
            scale=(0.65, 0.85),
            shear=(0.2, 0.45),
        ),
        "sun397": Style(
            hue=180.0,
            hue_jitter=8.0,
            contrast=(0.5, 0.7),
            invert=0.25,
            rotation=(30.0, 60.0),
            grey=0.2,
            occluders=3,
        ),
    }
)

#: Further domain shifts, each for any concepts: the tasks of ``micro-long``.
FURTHER_STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "fog": Style(
            backgrounds=("clouds", "gradient"),
            saturation=(0.4, 0.7),
            contrast=(0.3, 0.45),
            rotation=(15.0, 45.0),
            scale=(0.75, 0.95),
            blur=(0.4, 0.8),
        ),
        "infrared": Style(
            backgrounds=("vivid", "blotches"),
            hue=-140.0,
            saturation=(1.0, 1.3),
            rotation=(160.0, 200.0),
            scale=(0.7, 0.9),
        ),
        "night": Style(
            backgrounds=("dark",),
            value=(0.65, 0.85),
            rotation=(45.0, 75.0),
            scale=(0.75, 0.95),
            noise=0.04,
            cast=(0.75, 0.9, 1.2),
        ),
    }
)
