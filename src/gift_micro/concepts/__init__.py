"""The concepts that are drawn, one module per group of families."""

from __future__ import annotations

from collections.abc import Mapping

from gift_micro.concepts.aircraft import AIRCRAFT
from gift_micro.concepts.animals import ANIMALS
from gift_micro.concepts.buildings import LANDMARKS, VEHICLES
from gift_micro.concepts.cars import CARS
from gift_micro.concepts.flowers import FLOWERS
from gift_micro.concepts.food import FOOD
from gift_micro.concepts.glyphs import LETTERS, MNIST
from gift_micro.concepts.household import HOUSEHOLD
from gift_micro.concepts.objects import CALTECH, CIFAR
from gift_micro.concepts.pets import PETS
from gift_micro.concepts.produce import PRODUCE
from gift_micro.concepts.satellite import EUROSAT
from gift_micro.concepts.scenes import SUN
from gift_micro.concepts.shapes import NATURE, SHAPES
from gift_micro.concepts.textures import DTD
from gift_micro.draw import Concept

_TASKS = (AIRCRAFT, CALTECH, CIFAR, DTD, EUROSAT, FLOWERS, FOOD, MNIST, PETS, CARS, SUN)
_BASE = (ANIMALS, HOUSEHOLD, PRODUCE, SHAPES, NATURE, VEHICLES, LANDMARKS)

#: Every concept, in a stable order: the tasks', the base-only ones, the letters.
CONCEPTS: tuple[Concept, ...] = tuple(
    concept for family in (*_TASKS, *_BASE, LETTERS) for concept in family.concepts
)

#: The families that serve as tasks, in MTIL order I.
TASK_FAMILIES: tuple[str, ...] = tuple(family.name for family in _TASKS)

_BY_FAMILY: Mapping[str, tuple[Concept, ...]] = {
    family.name: tuple(family.concepts) for family in (*_TASKS, *_BASE, LETTERS)
}

#: The analogue of the ImageNet names: all base-only names and a third of every task but digits.
BASE_NAMES: tuple[str, ...] = tuple(
    concept.name
    for family in (*_BASE, *_TASKS)
    if family is not MNIST
    for concept in family.concepts[:: 1 if family in _BASE else 3]
)


def concepts_of(family: str) -> tuple[Concept, ...]:
    """The concepts of one family, in order; an unknown family raises ``KeyError``."""
    return _BY_FAMILY[family]
