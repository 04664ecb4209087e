"""The shipped entries fit the world."""

from importlib.resources import files

import pytest

from gift.data.benchmark import class_list, load_benchmark, load_dataset
from gift.micro.catalogue import catalogue
from gift.micro.images import dataset_name
from gift.micro.world import BASE_NAMES, TASK_FAMILIES, concepts_of


@pytest.mark.parametrize("name", catalogue())
def test_the_shipped_file_is_the_written_one(name: str) -> None:
    shipped = (files("gift.data") / name).read_text(encoding="utf-8")
    assert shipped == catalogue()[name], "run python -m gift.micro.catalogue"


def test_entries_parse_to_the_world() -> None:
    assert class_list("micro-base") == BASE_NAMES
    for family in TASK_FAMILIES:
        entry = load_dataset(dataset_name(family))
        assert entry.classnames == tuple(concept.name for concept in concepts_of(family))


def test_both_orders_have_the_same_tasks() -> None:
    first, second = (load_benchmark(f"micro-{number}").tasks for number in (1, 2))
    assert first == tuple(map(dataset_name, TASK_FAMILIES))
    assert sorted(first) == sorted(second)
    assert first != second
