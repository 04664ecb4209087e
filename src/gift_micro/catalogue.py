"""The micro benchmark's catalogue: the YAML entries of its data sets and benchmarks.

``python -m gift_micro.catalogue`` writes them; a test fails when they no longer fit the drawings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from gift.data import without_overlap
from gift_micro.concepts import BASE_NAMES, TASK_FAMILIES
from gift_micro.images import DATASETS, LONG_FAMILIES, dataset_name
from gift_micro.styles import FURTHER_STYLES

VERSION = 2
"""Of the benchmarks: their data sets, and the models that their recipe names."""

DATA_FOLDER = "micro-1"
"""Where the image folders are, relative to the data root; 1 is the data sets' version."""

_TITLES = {
    "base": "Micro benchmark: pictures of the general names, in the style of pre-training",
    "aircraft": "Micro benchmark: aircraft over grass and tarmac",
    "caltech101": "Micro benchmark: objects on wood and bricks",
    "cifar100": "Micro benchmark: things at low resolution",
    "dtd": "Micro benchmark: faded textures",
    "eurosat": "Micro benchmark: satellite views in false colours",
    "flowers": "Micro benchmark: flowers among leaves",
    "food": "Micro benchmark: food on tables",
    "letters": "Micro benchmark: letters in chalk",
    "mixed": "Micro benchmark: sixty things, pets, dishes and cars in one style",
    "mnist": "Micro benchmark: handwritten digits (scikit-learn's)",
    "oxfordpet": "Micro benchmark: tilted pets",
    "stanfordcars": "Micro benchmark: slanted cars",
    "sun397": "Micro benchmark: tilted scenes",
}
_TITLES |= {
    f"{family}-{shift}": f"Micro benchmark: the concepts of {dataset_name(family)}, {look}"
    for shift, look in {
        "fog": "in fog",
        "infrared": "upside down in infrared",
        "night": "at night",
    }.items()
    for family in LONG_FAMILIES
}
_LONG = tuple(f"{family}-{shift}" for shift in FURTHER_STYLES for family in LONG_FAMILIES)
_ABSTRACT = ("dtd", "food", "mnist", "oxfordpet", "letters", "stanfordcars")
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
    entries["benchmarks/micro-abstract.yaml"] = _yaml(_abstract())
    entries["benchmarks/micro-long.yaml"] = _yaml(_long())
    entries["classnames/micro-base.txt"] = "\n".join(BASE_NAMES) + "\n"
    entries["classnames/micro-cil-base.txt"] = _base_apart_from("mixed")
    entries["classnames/micro-long-base.txt"] = _base_apart_from(*_LONG)
    return entries


def _base_apart_from(*keys: str) -> str:
    """The general names that overlap with no class of some data sets, one per line."""
    classes = [concept.name for key in keys for concept in DATASETS[key].concepts]
    return "\n".join(without_overlap(BASE_NAMES, classes)) + "\n"


def _dataset(key: str) -> dict[str, object]:
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


def _benchmark(number: int, order: tuple[str, ...]) -> dict[str, object]:
    return {
        "name": f"micro-{number}",
        "version": VERSION,
        "title": f"Micro benchmark: MTIL in small, order {'I' * number}",
        "tasks": [dataset_name(family) for family in order],
        "label_space": "task",
        "task_id": "given",
        "base_classnames": "micro-base",
        "recipe": "micro",
    }


def _class_incremental() -> dict[str, object]:
    classes = len(DATASETS["mixed"].concepts)
    return {
        "name": "micro-cil",
        "version": VERSION,
        "title": "Micro benchmark: CIFAR100 in small, class-incremental in 10 steps",
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


def _abstract() -> dict[str, object]:
    return {
        "name": "micro-abstract",
        "version": VERSION,
        "title": "Micro benchmark: three abstract domains between three of objects",
        "tasks": [dataset_name(key) for key in _ABSTRACT],
        "label_space": "task",
        "task_id": "given",
        "base_classnames": "micro-base",
        "recipe": "micro",
    }


def _long() -> dict[str, object]:
    return {
        "name": "micro-long",
        "version": VERSION,
        "title": f"Micro benchmark: {len(_LONG)} tasks, eight families under three further styles",
        "tasks": [dataset_name(key) for key in _LONG],
        "label_space": "task",
        "task_id": "given",
        "base_classnames": "micro-long-base",
        "recipe": "micro-long",
    }


def _yaml(entry: dict[str, object]) -> str:
    text: str = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=96)
    return text


if __name__ == "__main__":
    for name, text in catalogue().items():
        path = Path(__file__).parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
