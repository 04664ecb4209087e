"""Benchmarks of the user's own: orders, changed data sets, metrics, and what is refused."""

from __future__ import annotations

import pytest
import yaml
from support import write_folder

from gift import benchmark as experiment
from gift import studies
from gift.data import Paths, load_benchmark, load_dataset, open_task, other_orders, rule_of

SKIN = {"source": {"path": "data/skin"}, "classnames": ["melanoma", "benign nevus"]}
LUNG = {"source": {"path": "data/lung"}, "templates": ["an x-ray of {}."]}


def write(folder, **content):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine"} | content, sort_keys=False))
    return str(path)


def load(folder, **content):
    return load_benchmark(write(folder, **content))


def test_tasks_may_be_a_mapping_with_orders(tmp_path):
    tasks = {"skin": SKIN, "lung": LUNG, "dtd": None}
    orders = {"I": ["skin", "lung", "dtd"], "II": ["dtd", "skin", "lung"]}
    path = write(tmp_path, tasks=tasks, orders=orders)
    assert load_benchmark(path) == load_benchmark(f"{path}@I")
    for name, order in orders.items():
        benchmark = load_benchmark(f"{path}@{name}")
        assert benchmark.name == f"mine-{name}"
        assert list(benchmark.tasks) == order
        assert [entry.name for entry in benchmark.datasets()] == order
    with pytest.raises(ValueError, match=r"mine: unknown order 'III'.*Known: I, II"):
        load_benchmark(f"{path}@III")
    with pytest.raises(ValueError, match="unknown order 'II'"):
        load_benchmark("mtil-1@II")


def test_a_mapping_without_orders_has_its_own(tmp_path):
    benchmark = load(tmp_path, tasks={"skin": SKIN, "lung": LUNG})
    assert (benchmark.name, benchmark.tasks) == ("mine", ("skin", "lung"))


def test_a_list_may_have_orders_too(tmp_path):
    path = write(tmp_path, tasks=["dtd", "mnist"], orders={"back": ["mnist", "dtd"]})
    assert load_benchmark(path).tasks == ("mnist", "dtd")


def test_the_runs_of_two_orders_have_two_folders(tmp_path):
    path = write(tmp_path, tasks=["dtd", "mnist"], orders={"I": ["mnist", "dtd"]})
    folders = {
        name: studies.default_folder(experiment.resolve(name, "finetune"), tmp_path)
        for name in (path, f"{path}@I", "mtil-1")
    }
    assert [folder.parent.name for folder in folders.values()] == ["mine", "mine-I", "mtil-1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"orders": {"I": ["dtd"]}}, r"orders\.I lacks: mnist"),
        ({"orders": {"I": ["dtd", "mnist", "dtd"]}}, r"orders\.I repeats: dtd"),
        ({"orders": {"I": ["dtd", "mnist", "food"]}}, r"orders\.I has what is no task: food"),
        ({"orders": {"a/b": ["dtd", "mnist"]}}, "orders.*a/b"),
        ({"tasks": {"skin": "data/skin"}}, r"tasks\.skin must hold the settings of a data set"),
        ({"tasks": {"skin": SKIN | {"name": "x"}}}, r"tasks\.skin must .*without 'name'"),
        ({"tasks": {"skin": None}}, "unknown data set 'skin'"),
        ({"tasks": [{"dataset": "cifar10"}]}, "Did you mean 'cifar100'"),
        ({"tasks": [{"dataset": "cifar100", "count": {}}]}, "Did you mean 'counts'"),
        ({"tasks": ["cifar100", {"dataset": "cifar100"}]}, "once only: cifar100"),
        (
            {"tasks": None, "class_incremental": {"dataset": "dtd", "initial": 1, "increment": 1}}
            | {"orders": {"I": ["dtd"]}},
            "orders go with tasks",
        ),
    ],
)
def test_wrong_orders_and_tasks_are_refused(tmp_path, content, message):
    content = {"tasks": ["dtd", "mnist"]} | content
    with pytest.raises(ValueError, match=message):
        load(tmp_path, **{key: value for key, value in content.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classnames": ["melanoma", " "]}, "the class name of label 1 is empty"),
        ({"classnames": {"a": "nevus", "b": ""}}, "the class name of label 1 is empty"),
        ({"classnames": ["nevus", "nevus"]}, "'nevus' is repeated"),
        ({"templates": ["an image of {}.", "a photo."]}, "'a photo.' has no '{}'"),
        ({"templates": []}, "at least one template"),
        ({"metric": "top5"}, "metric = 'top5' is not allowed"),
        ({"subset": {"of": "skin", "labels": [0, 0]}}, "subset.labels repeats 0"),
        (
            {"hub": {"id": "a/b", "parts": {"train": ["all"], "test": ["all"]}}},
            "uses the split 'all' twice",
        ),
    ],
)
def test_wrong_names_are_refused_when_the_file_is_read(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, tasks={"skin": SKIN | changes})


def test_wrong_templates_of_steps_are_refused(tmp_path):
    steps = {"dataset": "dtd", "initial": 1, "increment": 1, "templates": ["a texture"]}
    with pytest.raises(ValueError, match=r"'a texture' has no '\{\}'"):
        load(tmp_path, class_incremental=steps)


def test_labels_outside_the_names_are_refused(tmp_path):
    for split in ("train", "test"):
        write_folder(tmp_path / "data/skin" / split, ("benign nevus", "melanoma", "wart"))
    (entry,) = load(tmp_path, tasks={"skin": SKIN}).datasets()
    with pytest.raises(ValueError, match=r"do not fit the class names: .*unexpected wart"):
        open_task(entry, Paths.of(data=tmp_path))


def test_training_and_test_images_may_not_share_files(tmp_path):
    write_folder(tmp_path / "data/skin/train", ("benign nevus", "melanoma"))
    (tmp_path / "data/skin/test").symlink_to(tmp_path / "data/skin/train")
    (entry,) = load(tmp_path, tasks={"skin": SKIN}).datasets()
    with pytest.raises(
        ValueError, match="are the same file; an image may belong to one split only"
    ):
        open_task(entry, Paths.of(data=tmp_path))


def test_a_shipped_data_set_may_be_changed(tmp_path):
    few = {"dataset": "cifar100", "counts": {"train": 500}, "hub": {"revision": "abc"}}
    pets = {"dataset": "oxfordpet", "name": "pets", "source": {"path": "my/pets"}}
    some = {"dataset": "dtd", "name": "some", "subset": {"labels": [3, 1]}}
    cifar, own, part = load(tmp_path, tasks=[few, pets, some]).datasets()
    whole = load_dataset("cifar100")
    assert cifar.counts.model_dump() == {"train": 500, "validation": None, "test": 10_000}
    assert (cifar.hub.id, cifar.hub.revision) == (whole.hub.id, "abc")
    assert (cifar.templates, cifar.source) == (whole.templates, whole.source)
    assert (own.name, own.whole_name, own.source.kind) == ("pets", "oxfordpet", "oxfordpet")
    assert own.source.path == str(tmp_path / "my/pets")
    assert (part.name, part.whole_name, part.subset.labels) == ("some", "dtd", (3, 1))


def test_the_steps_of_a_changed_data_set(tmp_path):
    few = {"dataset": "cifar100", "counts": {"train": 500, "test": 100}}
    steps = {"dataset": few, "initial": 50, "increment": 50, "called_by": "labels"}
    benchmark = load(tmp_path, class_incremental=steps, label_space="seen")
    assert benchmark.tasks == ("cifar100-01", "cifar100-02")
    assert {entry.counts.train for entry in benchmark.datasets()} == {500}
    assert {entry.whole_name for entry in benchmark.datasets()} == {"cifar100"}


def test_what_is_unusual_is_part_of_the_rule(tmp_path):
    usual = {"label_space": "task", "task_id": "given"}
    plain = load_benchmark("mtil-1")
    assert rule_of(plain, plain.datasets()) == usual
    few = {"dataset": "cifar100", "counts": {"train": 500, "test": 100}}
    same = {"dataset": "dtd", "templates": ["a {}."]}
    own = load(tmp_path, tasks=[few, same, {"name": "skin", "metric": "mean_per_class"} | SKIN])
    assert rule_of(own, own.datasets()) == usual | {
        "metric": {"skin": "mean_per_class"},
        "counts": {"cifar100": {"train": 500, "test": 100}},
    }


def test_a_mean_over_classes_has_no_meaning_among_classes_seen(tmp_path):
    with pytest.raises(ValueError, match=r"label_space = seen counts .* skin has metric"):
        load(tmp_path, tasks={"skin": SKIN | {"metric": "mean_per_class"}}, label_space="seen")


def test_the_message_about_own_counts_has_the_line_to_write(tmp_path):
    write_folder(tmp_path / "data/skin", ("benign nevus", "melanoma"), count=3)
    counts = {"train": 5, "test": 4}
    (entry,) = load(tmp_path, tasks={"skin": SKIN | {"counts": counts}}).datasets()
    with pytest.raises(ValueError, match=r"write in its entry: counts: {train: 6, test: 0}"):
        open_task(entry, Paths.of(data=tmp_path))


def test_the_orders_of_a_benchmark_are_those_with_the_same_tasks(tmp_path):
    assert other_orders("mtil-2") == ["mtil-1", "mtil-2"]
    assert other_orders("micro-1") == ["micro-1", "micro-2"]
    assert other_orders("micro-1-fewshot") == ["micro-1-fewshot"]
    path = write(tmp_path, tasks=["dtd", "mnist"])
    assert other_orders(str(path)) == [str(path)]
    orders = {"I": ["dtd", "mnist"], "back": ["mnist", "dtd"]}
    path = write(tmp_path, tasks=["dtd", "mnist"], orders=orders)
    for reference in (f"{path}", f"{path}@back"):
        assert other_orders(reference) == [f"{path}@I", f"{path}@back"]
