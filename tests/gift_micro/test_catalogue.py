"""The shipped entries fit the drawings."""

import pytest

from gift.data import class_list, load_benchmark, load_dataset, without_overlap
from gift_micro import CATALOGUE
from gift_micro.catalogue import catalogue
from gift_micro.concepts import BASE_NAMES, TASK_FAMILIES, concepts_of
from gift_micro.images import DATASETS, dataset_name
from gift_micro.styles import FURTHER_STYLES


@pytest.mark.parametrize("name", catalogue())
def test_the_shipped_file_is_the_written_one(name: str) -> None:
    shipped = (CATALOGUE.folder / name).read_text(encoding="utf-8")
    assert shipped == catalogue()[name], "run python -m gift_micro.catalogue"


def test_entries_have_the_concepts_as_classes() -> None:
    assert class_list("micro-base") == BASE_NAMES
    for family in TASK_FAMILIES:
        entry = load_dataset(dataset_name(family))
        assert entry.classnames == tuple(concept.name for concept in concepts_of(family))
    assert load_dataset("micro-base").classnames == BASE_NAMES
    for key, made in DATASETS.items():
        assert load_dataset(dataset_name(key)).templates == made.templates


def test_both_orders_have_the_same_tasks() -> None:
    first, second = (load_benchmark(f"micro-{number}").tasks for number in (1, 2))
    assert first == tuple(map(dataset_name, TASK_FAMILIES))
    assert sorted(first) == sorted(second)
    assert first != second


def test_the_long_benchmark_brings_the_same_concepts_in_every_further_style() -> None:
    benchmark = load_benchmark("micro-long")
    assert len(benchmark.tasks) == len(set(benchmark.tasks)) == 24
    families = len(benchmark.tasks) // len(FURTHER_STYLES)
    entries = benchmark.datasets()
    for first, later in zip(entries, entries[families:], strict=False):
        assert first.classnames == later.classnames
        assert first.name.rpartition("-")[0] == later.name.rpartition("-")[0]
    base = class_list(benchmark.base_classnames)
    for entry in entries:
        assert isinstance(entry.classnames, tuple)
        assert without_overlap(base, entry.classnames) == base  # so a caption is a name


def test_the_abstract_benchmark_has_a_domain_of_objects_after_each_abstract_one() -> None:
    tasks = load_benchmark("micro-abstract").tasks
    assert tasks[::2] == ("micro-dtd", "micro-mnist", "micro-letters")
    letters = load_dataset("micro-letters").classnames
    assert letters == tuple(concept.name for concept in concepts_of("letters"))


def test_the_class_incremental_benchmark_has_every_class_once() -> None:
    benchmark = load_benchmark("micro-cil")
    steps = [entry.subset.labels for entry in benchmark.datasets() if entry.subset]
    assert [len(labels) for labels in steps] == [6] * 10
    assert sorted(label for labels in steps for label in labels) == list(range(60))
    assert (benchmark.label_space, benchmark.task_id) == ("seen", "hidden")
    base = class_list(benchmark.base_classnames)
    mixed = load_dataset("micro-mixed").classnames
    assert isinstance(mixed, tuple)
    assert without_overlap(base, mixed) == base
