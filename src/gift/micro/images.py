"""The tasks of the tiny world as image folders on disk."""

from __future__ import annotations

import shutil
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from gift.micro.world import (
    TASK_FAMILIES,
    TASK_STYLES,
    Concept,
    concepts_of,
    handwritten_digit,
    render,
)
from gift.records import Progress, silent

COUNTS: dict[str, int] = {"train": 80, "validation": 30, "test": 60}
"""Images per class in each split of a task."""

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
"""The prompts of each task family; the first one is for training and generation."""


def dataset_name(family: str) -> str:
    """The catalogue's name of a task family's data set."""
    return f"micro-{family}"


def make_dataset(family_or_name: str, folder: Path, progress: Progress = silent) -> None:
    """Draws one task's images as ``<split>/<class name>/0001.png`` and so on.

    Every image depends on its task, split, class and number alone. The digits are scikit-learn's
    handwritten ones, each in one split only. The folder appears when it is whole; a
    second process that wants the same one waits for it.

    Args:
        family_or_name: e.g. ``"food"`` or ``"micro-food"``.
        folder: where it goes; it is left alone if it exists.
        progress: called with the data set's name after every class and split.

    Raises:
        ValueError: there is no such task.
    """
    family = family_or_name.removeprefix("micro-")
    if family not in TASK_FAMILIES:
        raise ValueError(
            f"the tiny world has no task {family_or_name!r}; its tasks are "
            f"{', '.join(map(dataset_name, TASK_FAMILIES))}."
        )
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.exists():  # another process may have had the lock before
            _draw_dataset(family, folder, progress)


def _draw_dataset(family: str, folder: Path, progress: Progress) -> None:
    concepts = concepts_of(family)
    part = folder.with_name(folder.name + ".part")
    if part.exists():
        shutil.rmtree(part)
    jobs = [(split, concept) for split in COUNTS for concept in concepts]
    for done, (split, concept) in enumerate(jobs, start=1):
        target = part / split / concept.name
        target.mkdir(parents=True)
        for index in range(COUNTS[split]):
            path = target / f"{index + 1:04d}.png"
            draw_image(concept, split, index).save(path, compress_level=1)
        progress(dataset_name(family), done, len(jobs))
    part.rename(folder)


def draw_image(concept: Concept, split: str, index: int) -> Image.Image:
    """One image of a task: of one of its concepts, with its number within split and class."""
    # zlib.crc32, unlike hash(), is the same in every process.
    place = zlib.crc32(f"{concept.family}/{split}/{concept.name}".encode())
    rng = np.random.default_rng((place, index))
    if concept.family == "mnist":
        label = [digit.name for digit in concepts_of("mnist")].index(concept.name)
        return handwritten_digit(_digits(label, split)[index], rng)
    return render(concept, TASK_STYLES[concept.family], rng)


@cache
def _digits(label: int, split: str) -> NDArray[np.float64]:
    """The split's share of scikit-learn's digits of one kind: [COUNTS[split], 8, 8]."""
    digits = load_digits()
    own = digits.images[digits.target == label]
    start = 0
    for name in ("test", "validation", "train"):
        if name == split:
            break
        start += COUNTS[name]
    share: NDArray[np.float64] = own[start : start + COUNTS[split]]
    assert len(share) == COUNTS[split]
    return share
