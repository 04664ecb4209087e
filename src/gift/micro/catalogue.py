"""The tiny world's entries in the catalogue of data sets and benchmarks.

``python -m gift.micro.catalogue`` writes them; a test fails when they no longer fit the world.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from gift.micro.images import COUNTS, TASK_TEMPLATES, dataset_name
from gift.micro.world import BASE_NAMES, TASK_FAMILIES, concepts_of

DATA_FOLDER = "micro-1"
"""Where the image folders are, relative to the data root; 1 is the data sets' version."""

_TITLES = {
    "aircraft": "Tiny world: aircraft over grass and tarmac",
    "caltech101": "Tiny world: objects on wood and bricks",
    "cifar100": "Tiny world: things at low resolution",
    "dtd": "Tiny world: faded textures",
    "eurosat": "Tiny world: satellite views in false colours",
    "flowers": "Tiny world: flowers among leaves",
    "food": "Tiny world: food on tables",
    "mnist": "Tiny world: handwritten digits (scikit-learn's)",
    "oxfordpet": "Tiny world: tilted pets",
    "stanfordcars": "Tiny world: slanted cars",
    "sun397": "Tiny world: tilted scenes",
}
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
    """The text of every entry by its path below ``gift/data``."""
    entries = {f"datasets/{dataset_name(f)}.yaml": _yaml(_dataset(f)) for f in TASK_FAMILIES}
    for number, order in enumerate((TASK_FAMILIES, _ORDER_2), start=1):
        entries[f"benchmarks/micro-{number}.yaml"] = _yaml(_benchmark(number, order))
    entries["classnames/micro-base.txt"] = "\n".join(BASE_NAMES) + "\n"
    return entries


def _dataset(family: str) -> dict[str, Any]:
    names = [concept.name for concept in concepts_of(family)]
    drawn = "MIT (drawn by this package)"
    digits = "CC BY 4.0 (Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak)"
    return {
        "name": dataset_name(family),
        "version": 1,
        "title": _TITLES[family],
        "licence": digits if family == "mnist" else drawn,
        "classnames": names,
        "templates": list(TASK_TEMPLATES[family]),
        "source": {"kind": "folder", "path": f"{DATA_FOLDER}/{family}"},
        "made_by": "micro",
        "counts": {split: count * len(names) for split, count in COUNTS.items()},
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


def _yaml(entry: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=96)
    return text


if __name__ == "__main__":
    for name, text in catalogue().items():
        path = Path(str(files("gift.data"))) / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
