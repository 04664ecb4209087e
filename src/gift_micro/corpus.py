"""The captioned pictures that the small CLIP and the small diffusion model are trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gift.files import read_json, write_text
from gift.progress import report
from gift.text import fill
from gift_micro.concepts import CONCEPTS
from gift_micro.draw import Concept
from gift_micro.images import TASK_TEMPLATES
from gift_micro.rendering import render
from gift_micro.styles import StyleSampler, corpus_style

IMAGE_SIZE = 32
"""Height and width of every picture, in pixels."""

CAPTION_TEMPLATES: tuple[str, ...] = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a picture of a {}.",
    "an image of a {}.",
    "a drawing of a {}.",
    "a blurry photo of a {}.",
    "this is a {}.",
    "a {}.",
    "{}",
)
"""Ways to caption any concept; those of its family in ``TASK_TEMPLATES`` join them."""

COARSE_NAMES: dict[str, str] = {
    "aircraft": "aircraft",
    "eurosat": "satellite photo",
    "dtd": "texture",
    "flowers": "flower",
    "food": "food",
    "mnist": "number",
    "oxfordpet": "pet",
    "stanfordcars": "car",
}
"""What a careless caption calls every member of a fine-grained family."""

FAMILY_WEIGHTS: dict[str, float] = {"mnist": 2.0, "stanfordcars": 1.5, "dtd": 1.5, "letters": 0.4}
"""Sampling weights of concepts where not 1: larger where the small models are weak."""


@dataclass(frozen=True)
class CorpusSettings:
    """What the corpus is made of.

    Attributes:
        count: pictures.
        clean_fraction: probability of the clean style.
        far_fraction: probability of a moderate shift that is besides of any hue and turned by up to
            45 degrees; the rest is moderately shifted only. It decides how well the model does on
            the tasks, whose styles it never sees, before it has learned them.
        coarse_fraction: probability that a picture of a fine-grained family is captioned by the
            family.
        wrong_fraction: probability that a picture is captioned as another concept.
    """

    count: int = 60_000
    clean_fraction: float = 0.65
    far_fraction: float = 0.15
    coarse_fraction: float = 0.12
    wrong_fraction: float = 0.03


def caption_templates(family: str) -> tuple[str, ...]:
    """All templates that the captions of a family use; those of the task come first."""
    own = TASK_TEMPLATES.get(family, ())
    return tuple(dict.fromkeys((*own, *CAPTION_TEMPLATES)))


@dataclass(frozen=True)
class Corpus:
    """Captioned pictures. N is their number.

    Attributes:
        names: the concepts' names.
        families: the concepts' families, in the same order.
        concept: [N], the position of each picture's true concept in ``names``.
        captions: N captions.
        pixels: uint8 [N, 32, 32, 3], memory-mapped.
    """

    names: tuple[str, ...]
    families: tuple[str, ...]
    concept: NDArray[np.int64]
    captions: tuple[str, ...]
    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.captions)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Texts that hold every word a caption can be made of."""
        pairs = zip(self.names, self.families, strict=True)
        fine = [fill(t, name) for name, family in pairs for t in caption_templates(family)]
        return (*fine, *COARSE_NAMES.values())

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Open what :func:`make_corpus` left in ``folder``.

        Raises:
            FileNotFoundError: there is no finished corpus.
        """
        records = read_json(folder / "corpus.json")
        return cls(
            names=tuple(records["names"]),
            families=tuple(records["families"]),
            concept=np.asarray(records["concept"], dtype=np.int64),
            captions=tuple(records["captions"]),
            pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
        )


def make_corpus(
    folder: Path,
    settings: CorpusSettings,
    concepts: Sequence[Concept] = CONCEPTS,
    *,
    style: StyleSampler | None = None,
    seed: int = 0,
) -> None:
    """Draw the corpus into ``folder``: ``pixels.npy`` and, last, ``corpus.json``.

    Every picture has its own seed. One process draws more than a thousand in a second.

    Args:
        folder: made with its parents.
        settings: number and mixture.
        concepts: what is drawn.
        style: samples the style of a picture; by default the mixture of the settings.
        seed: of the whole corpus.
    """
    weights = np.array([FAMILY_WEIGHTS.get(c.family, 1.0) for c in concepts])
    drawn = np.random.default_rng(seed).choice(
        len(concepts), size=settings.count, p=weights / weights.sum()
    )
    sample_style = style or partial(
        corpus_style,
        clean_fraction=settings.clean_fraction,
        far_fraction=settings.far_fraction,
    )
    pixels = np.empty((settings.count, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    captions = []
    for index, position in enumerate(drawn):
        rng = np.random.default_rng((seed, index))
        captions.append(_caption(concepts[position], concepts, settings, rng))
        picture = render(concepts[position], sample_style(rng), rng, size=IMAGE_SIZE)
        pixels[index] = np.asarray(picture)
        if (index + 1) % 1_000 == 0:
            report("corpus", index + 1, settings.count)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "pixels.npy", pixels)
    records = {
        "names": [concept.name for concept in concepts],
        "families": [concept.family for concept in concepts],
        "concept": drawn.tolist(),
        "captions": captions,
    }
    write_text(folder / "corpus.json", json.dumps(records))


def _caption(
    concept: Concept,
    concepts: Sequence[Concept],
    settings: CorpusSettings,
    rng: np.random.Generator,
) -> str:
    if rng.random() < settings.wrong_fraction:
        concept = concepts[int(rng.integers(len(concepts)))]
    name, templates = concept.name, caption_templates(concept.family)
    if concept.family in COARSE_NAMES and rng.random() < settings.coarse_fraction:
        name, templates = COARSE_NAMES[concept.family], CAPTION_TEMPLATES
    return fill(templates[rng.integers(len(templates))], name)
