"""The tiny world's entries in the catalogue of data sets and benchmarks.

``python -m gift_micro.catalogue`` writes them; a test fails when they no longer fit the world.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gift.data import without_overlap
from gift_micro.images import DATASETS, dataset_name
from gift_micro.world import BASE_NAMES, TASK_FAMILIES

DATA_FOLDER = "micro-1"
"""Where the image folders are, relative to the data root; 1 is the data sets' version."""

_TITLES = {
    "base": "Tiny world: pictures of the general names, in the style of pre-training",
    "aircraft": "Tiny world: aircraft over grass and tarmac",
    "caltech101": "Tiny world: objects on wood and bricks",
    "cifar100": "Tiny world: things at low resolution",
    "dtd": "Tiny world: faded textures",
    "eurosat": "Tiny world: satellite views in false colours",
    "flowers": "Tiny world: flowers among leaves",
    "food": "Tiny world: food on tables",
    "mixed": "Tiny world: sixty things, pets, dishes and cars in one style",
    "mnist": "Tiny world: handwritten digits (scikit-learn's)",
    "oxfordpet": "Tiny world: tilted pets",
    "stanfordcars": "Tiny world: slanted cars",
    "sun397": "Tiny world: tilted scenes",
}
_ORDER_SEED = 1993
_ORDER_2 = (
    "stanfordcars",
    "food",
    "mnist",
    "oxfordpet",
    "flowers",
    "sun397",
    "aircraft",
    "caltech101",
    "dtd",
    "eurosat",
    "cifar100",
)


def catalogue() -> dict[str, str]:
    """The text of every entry by its path below this package."""
    entries = {f"datasets/{dataset_name(key)}.yaml": _yaml(_dataset(key)) for key in DATASETS}
    for number, order in enumerate((TASK_FAMILIES, _ORDER_2), start=1):
        entries[f"benchmarks/micro-{number}.yaml"] = _yaml(_benchmark(number, order))
    entries["benchmarks/micro-cil.yaml"] = _yaml(_class_incremental())
    mixed = [concept.name for concept in DATASETS["mixed"].concepts]
    apart = without_overlap(BASE_NAMES, mixed)
    entries["classnames/micro-base.txt"] = "\n".join(BASE_NAMES) + "\n"
    entries["classnames/micro-cil-base.txt"] = "\n".join(apart) + "\n"
    return entries


def _dataset(key: str) -> dict[str, Any]:
    made = DATASETS[key]
    names = [concept.name for concept in made.concepts]
    drawn = "MIT (drawn by this package)"
    digits = "CC BY 4.0 (Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak)"
    return {
        "name": dataset_name(key),
        "version": 1,
        "title": _TITLES[key],
        "licence": digits if key == "mnist" else drawn,
        "classnames": names,
        "templates": list(made.templates),
        "source": {"kind": "folder", "path": f"{DATA_FOLDER}/{key}"},
        "made_by": "micro",
        "counts": {split: count * len(names) for split, count in made.counts.items()},
    }


def _benchmark(number: int, order: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": f"micro-{number}",
        "version": 1,
        "title": f"Tiny world: MTIL in small, order {'I' * number}",
        "tasks": [dataset_name(family) for family in order],
        "label_space": "task",
        "task_id": "given",
        "base_classnames": "micro-base",
        "recipe": "micro",
    }


def _class_incremental() -> dict[str, Any]:
    classes = len(DATASETS["mixed"].concepts)
    return {
        "name": "micro-cil",
        "version": 1,
        "title": "Tiny world: CIFAR100 in small, class-incremental in 10 steps",
        "class_incremental": {
            "dataset": dataset_name("mixed"),
            "order": np.random.default_rng(_ORDER_SEED).permutation(classes).tolist(),
            "initial": classes // 10,
            "increment": classes // 10,
        },
        "label_space": "seen",
        "task_id": "hidden",
        "base_classnames": "micro-cil-base",
        "recipe": "micro",
    }


def _yaml(entry: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=96)
    return text


if __name__ == "__main__":
    for name, text in catalogue().items():
        path = Path(__file__).parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
