"""The paper's benchmarks: tasks, class orders, names and templates."""

from __future__ import annotations

import pytest
from official import miniature

from gift.data import Paths, class_list, draw_names, label_list, load_benchmark, open_tasks
from gift.settings import load_recipe

INCREMENTAL = [
    ("cifar100-10", [10] * 10, (87, 0, 52), "a bad photo of a {}."),
    ("cifar100-20", [5] * 20, (87, 0, 52), "a bad photo of a {}."),
    ("cifar100-50", [2] * 50, (87, 0), "a bad photo of a {}."),
    ("tinyimagenet-5", [100] + [20] * 5, (131, 181, 22), "a bad photo of a {}."),
    ("tinyimagenet-10", [100] + [10] * 10, (131, 181, 22), "a bad photo of a {}."),
    ("tinyimagenet-20", [100] + [5] * 20, (131, 181, 22), "a bad photo of a {}."),
    ("imagenet100-10", [10] * 10, (68, 56, 78), "a good photo of a {}."),
    ("imagenet100-50-5", [50] + [5] * 10, (68, 56, 78), "a good photo of a {}."),
]


@pytest.mark.parametrize(("name", "sizes", "first", "template"), INCREMENTAL)
def test_classes_arrive_as_published(name, sizes, first, template):
    benchmark = load_benchmark(name)
    steps = benchmark.datasets()
    assert [len(step.subset.labels) for step in steps] == sizes
    assert steps[0].subset.labels[: len(first)] == first
    assert {step.templates for step in steps} == {(template,)}
    assert (benchmark.label_space, benchmark.task_id) == ("seen", "hidden")


def test_the_two_orders_hold_the_same_tasks():
    first, second = (load_benchmark(f"mtil-{n}") for n in (1, 2))
    assert list(first.tasks) == sorted(second.tasks)
    assert second.tasks[0] == "stanfordcars"
    assert second.tasks[-1] == "cifar100"
    few = load_benchmark("mtil-1-fewshot")
    assert (few.tasks, few.shots, few.shots_seed) == (first.tasks, 5, 42)


def test_rates_of_the_released_configuration():
    for name in ("mtil-1", "mtil-2", "mtil-1-fewshot"):
        recipe = load_recipe(load_benchmark(name).recipe, "gift")
        assert recipe["training"]["learning_rates"] == {"aircraft": 5e-5, "mnist": 5e-5}


@pytest.mark.parametrize("dataset", ["cifar100", "tinyimagenet", "imagenet100"])
def test_general_names_are_the_seeded_draw(dataset):
    drawn = draw_names(class_list("imagenet"), class_list(dataset), count=100, seed=42)
    assert class_list(f"{dataset}-base") == drawn
    assert len(drawn) == 100
    names = {b.base_classnames for b in map(load_benchmark, [f"{dataset}-10"])}
    assert names == {f"{dataset}-base"}


def test_cifar100_keeps_its_underscores_step_by_step(tmp_path):
    miniature("cifar100", tmp_path)
    entries = [
        entry.model_copy(
            update={"counts": entry.counts.model_copy(update={"train": 200, "test": 100})}
        )
        for entry in load_benchmark("cifar100-20").datasets()
    ]
    tasks = open_tasks(entries, Paths.of(data=tmp_path))
    names = [name for task in tasks for name in task.labels.classnames]
    assert sorted(names) == list(label_list("cifar100"))
    assert "aquarium_fish" in names
    own = label_list("cifar100")
    for task in tasks:
        assert len(task.test) == 5
        for index, label in enumerate(task.test.labels):
            shade = task.test[index].getpixel((0, 0))[0]
            assert own[shade] == task.labels.classnames[label]
