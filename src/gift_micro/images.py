"""The data sets of the micro benchmark as image folders on disk."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from gift.progress import report
from gift_micro.concepts import BASE_NAMES, CONCEPTS, TASK_FAMILIES, concepts_of
from gift_micro.draw import Concept
from gift_micro.rendering import handwritten_digit, render
from gift_micro.styles import (
    FURTHER_STYLES,
    TASK_STYLES,
    Style,
    StyleSampler,
    always,
    corpus_style,
)

COUNTS: dict[str, int] = {"train": 80, "validation": 30, "test": 60}
"""Images per class in each split of a task."""

BASE_COUNTS: dict[str, int] = {"train": 40}
"""Images per class of ``micro-base``, which is no task: nothing is measured on it."""

LONG_COUNTS: dict[str, int] = {"train": 30, "validation": 10, "test": 20}
"""Images per class in each split of a task of ``micro-long``, which has many tasks."""

TASK_TEMPLATES: dict[str, tuple[str, ...]] = {
    "aircraft": ("a photo of a {}, a type of aircraft.", "a photo of the {}, a type of aircraft."),
    "caltech101": ("a photo of a {}.", "a photo of the {}."),
    "cifar100": ("a photo of a {}.", "a blurry photo of a {}."),
    "dtd": ("a photo of a {} texture.", "a photo of a {} pattern."),
    "eurosat": ("a centered satellite photo of {}.", "a centered satellite photo of the {}."),
    "flowers": ("a photo of a {}, a type of flower.",),
    "food": ("a photo of a {}, a type of food.",),
    "mnist": ('a photo of the number: "{}".',),
    "oxfordpet": ("a photo of a {}, a type of pet.",),
    "stanfordcars": ("a photo of a {}, a type of car.", "a photo of the {}, a type of car."),
    "sun397": ("a photo of a {}.", "a photo of the {}."),
}
"""The prompt templates of each task family; the first one is for training and generation."""

MIXED_FAMILIES = ("caltech101", "cifar100", "food", "flowers", "oxfordpet", "stanfordcars")
"""Ten concepts of each make up ``micro-mixed``, the data set of class-incremental learning."""

MIXED_STYLE = Style(
    backgrounds=("foliage", "cloth", "wood"),
    hue=90.0,
    contrast=(0.6, 0.8),
    rotation=(-55.0, -25.0),
    scale=(0.7, 0.9),
    low_res=13,
)
"""One style for all of ``micro-mixed``; about half of its images are classified correctly
before any learning, among all 60 class names."""

LONG_FAMILIES = (
    "aircraft",
    "caltech101",
    "cifar100",
    "flowers",
    "food",
    "oxfordpet",
    "stanfordcars",
    "sun397",
)
"""The concepts of ``micro-long``, in its order; each family comes back in every further style."""

LETTERS_STYLE = Style(
    invert_glyphs=1.0,
    grey=1.0,
    contrast=(0.6, 0.8),
    rotation=(10.0, 35.0),
    scale=(0.7, 0.9),
    noise=0.04,
)
"""Chalk on slate: the style of ``micro-letters``."""


@dataclass(frozen=True)
class MadeDataset:
    """What one data set consists of.

    Attributes:
        concepts: its classes, in label order.
        style: samples the style of one image.
        counts: images per class by split.
        templates: its prompt templates; the first one is for training and generation.
    """

    concepts: tuple[Concept, ...]
    style: StyleSampler
    counts: Mapping[str, int]
    templates: tuple[str, ...]


_BY_NAME = {concept.name: concept for concept in CONCEPTS}

DATASETS: Mapping[str, MadeDataset] = {
    **{
        family: MadeDataset(
            concepts_of(family), always(TASK_STYLES[family]), COUNTS, TASK_TEMPLATES[family]
        )
        for family in TASK_FAMILIES
    },
    "base": MadeDataset(
        tuple(_BY_NAME[name] for name in BASE_NAMES),
        corpus_style,
        BASE_COUNTS,
        ("a photo of a {}.",),
    ),
    "mixed": MadeDataset(
        tuple(concept for family in MIXED_FAMILIES for concept in concepts_of(family)[:10]),
        always(MIXED_STYLE),
        COUNTS,
        ("a bad photo of a {}.",),
    ),
    "letters": MadeDataset(
        concepts_of("letters"), always(LETTERS_STYLE), COUNTS, ("a photo of the {}.",)
    ),
    **{
        f"{family}-{shift}": MadeDataset(
            concepts_of(family), always(style), LONG_COUNTS, TASK_TEMPLATES[family]
        )
        for shift, style in FURTHER_STYLES.items()
        for family in LONG_FAMILIES
    },
}
"""Every data set that can be made: the task families, two that combine concepts, the letters, and
the task families under further styles."""


def dataset_name(key: str) -> str:
    """The catalogue's name of a data set (a key of :data:`DATASETS`)."""
    return f"micro-{key}"


def make_dataset(key_or_name: str, folder: Path, *, draw: int = 0) -> None:
    """Draws one data set's images as ``<split>/<class name>/0001.png`` and so on.

    Every image depends on its data set, split, class, number and data seed alone. The digits are
    scikit-learn's handwritten ones, each in one split only; another data seed splits them
    differently. The folder appears when it is whole; a second process that wants it waits.

    Args:
        key_or_name: e.g. ``"food"`` or ``"micro-food"``.
        folder: where it goes; it is left alone if it exists.
        draw: the data seed; 0 is the published one.

    Raises:
        ValueError: there is no such data set.
    """
    key = key_or_name.removeprefix("micro-")
    if key not in DATASETS:
        raise ValueError(
            f"the micro benchmark has no data set {key_or_name!r}; it has "
            f"{', '.join(map(dataset_name, DATASETS))}."
        )
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.exists():  # another process may have had the lock before
            _draw_dataset(key, folder, draw)


def _draw_dataset(key: str, folder: Path, draw: int) -> None:
    made = DATASETS[key]
    part = folder.with_name(folder.name + ".part")
    if part.exists():
        shutil.rmtree(part)
    jobs = [(split, concept) for split in made.counts for concept in made.concepts]
    for done, (split, concept) in enumerate(jobs, start=1):
        target = part / split / concept.name
        target.mkdir(parents=True)
        for index in range(made.counts[split]):
            path = target / f"{index + 1:04d}.png"
            draw_image(concept, split, index, dataset=key, draw=draw).save(path, compress_level=1)
        report(dataset_name(key), done, len(jobs))
    part.rename(folder)


def draw_image(
    concept: Concept, split: str, index: int, *, dataset: str | None = None, draw: int = 0
) -> Image.Image:
    """One image of a data set.

    Args:
        concept: its class.
        split: ``train``, ``validation`` or ``test``.
        index: its number within split and class, from 0.
        dataset: key of the data set; by default the concept's own family.
        draw: the data seed; 0 is the published one.
    """
    dataset = dataset or concept.family
    # zlib.crc32, unlike hash(), is the same in every process.
    place = zlib.crc32(f"{dataset}/{split}/{concept.name}".encode())
    rng = np.random.default_rng((place, index, draw) if draw else (place, index))
    if dataset == "mnist":
        label = [digit.name for digit in concepts_of("mnist")].index(concept.name)
        return handwritten_digit(_digits(label, split, draw)[index], rng)
    return render(concept, DATASETS[dataset].style(rng), rng)


@cache
def _digits(label: int, split: str, draw: int = 0) -> NDArray[np.float64]:
    """The split's part of scikit-learn's digits of one class: [COUNTS[split], 8, 8]."""
    digits = load_digits()
    own = digits.images[digits.target == label]
    if draw:
        own = own[np.random.default_rng((label, draw)).permutation(len(own))]
    start = 0
    for name in ("test", "validation", "train"):
        if name == split:
            break
        start += COUNTS[name]
    chosen: NDArray[np.float64] = own[start : start + COUNTS[split]]
    assert len(chosen) == COUNTS[split]
    return chosen
