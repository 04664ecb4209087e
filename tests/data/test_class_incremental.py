"""The classes of one data set, split into steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support import write_folder

from gift.data import DatasetEntry, Paths, Task, load_benchmark, open_task, open_tasks
from gift.data.catalogue import ClassIncremental
from gift.data.entries import Source
from gift.data.readers import Splits, folder

LETTERS = ("a", "b", "c", "d", "e", "f")


def letters(classnames: Any = LETTERS) -> DatasetEntry:
    return DatasetEntry(name="letters", source=Source(path="letters"), classnames=classnames)


def stepped(order: Sequence[int] | None, initial: int, increment: int) -> list[tuple[int, ...]]:
    rule = ClassIncremental(dataset="letters", order=order, initial=initial, increment=increment)
    return [entry.subset.labels for entry in rule.steps(letters()) if entry.subset]


@given(st.permutations(range(6)), st.sampled_from([(6, 1), (2, 2), (3, 1), (4, 2), (1, 5)]))
def test_every_class_is_in_one_step_and_the_order_is_kept(
    order: list[int], sizes: tuple[int, int]
) -> None:
    initial, increment = sizes
    steps = stepped(order, initial, increment)
    assert [label for labels in steps for label in labels] == order
    assert len(steps[0]) == initial
    assert all(len(labels) == increment for labels in steps[1:])


def test_the_default_order_is_that_of_the_labels() -> None:
    assert stepped(None, 4, 2) == [(0, 1, 2, 3), (4, 5)]


@pytest.mark.parametrize(
    ("order", "initial", "increment", "message"),
    [
        ([0, 1, 2, 3, 4, 4], 2, 2, "the order repeats: 4"),
        ([0, 1, 2, 3, 4, 6], 2, 2, "labels that do not exist: 6; letters has the labels 0 to 5"),
        ([0, 1, 2, 3, -1], 2, 2, "labels that do not exist: -1"),
        ([0, 1, 2, 4], 2, 2, "the order lacks: 3, 5"),
        (None, 2, 3, "6 classes cannot be split into initial = 2 and steps of increment = 3"),
        (None, 7, 1, "an initial of at most 6"),
    ],
)
def test_wrong_steps_are_refused(
    order: list[int] | None, initial: int, increment: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        stepped(order, initial, increment)


def test_folders_alone_do_not_fix_labels() -> None:
    rule = ClassIncremental(dataset="letters", initial=1, increment=1)
    with pytest.raises(ValueError, match="give letters its 'classnames'"):
        rule.steps(letters(None))


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        write_folder(tmp_path / "letters" / split, LETTERS, count=2)
    dataset = {
        "name": "letters",
        "source": {"path": "letters"},
        "classnames": list(LETTERS),
        "counts": {"train": 12, "test": 12},
    }
    content = {
        "name": "mine",
        "class_incremental": {
            "dataset": dataset,
            "order": [5, 0, 3, 1, 4, 2],
            "initial": 2,
            "increment": 2,
            "templates": ["a bad photo of a {}."],
        },
        "label_space": "seen",
        "task_id": "hidden",
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_steps_are_ordinary_tasks(benchmark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = load_benchmark(str(benchmark))
    assert entry.tasks == ("letters-01", "letters-02", "letters-03")
    listed: list[Path] = []
    read = folder.read

    def counted(path: Path, wanted: Sequence[str]) -> Splits:
        listed.append(path)
        return read(path, wanted)

    monkeypatch.setattr(folder, "read", counted)
    tasks = open_tasks(entry.datasets(), Paths.of(data=benchmark.parent))
    assert len(listed) == 1  # the steps share a folder
    assert [task.labels.classnames for task in tasks] == [("f", "a"), ("d", "b"), ("e", "c")]
    assert {task.labels.templates for task in tasks} == {("a bad photo of a {}.",)}
    for task in tasks:
        assert_labels_fit(task)


def assert_labels_fit(task: Task) -> None:
    for images in (task.train, task.test):
        assert images is not None
        assert len(images) == 2 * len(task.labels.classnames)
        for path, label in zip(images.files, images.labels, strict=True):
            assert path.parent.name == task.labels.classnames[label]


def test_a_subset_keeps_the_names_of_its_data_set(tmp_path: Path) -> None:
    write_folder(tmp_path / "letters" / "train", LETTERS, count=2)
    part = DatasetEntry.model_validate(
        letters().model_dump() | {"name": "some", "subset": {"of": "letters", "labels": [4, 0]}}
    )
    task = open_task(part, Paths.of(data=tmp_path))
    assert (task.name, task.labels.classnames) == ("some", ("e", "a"))
    wrong = part.model_copy(update={"subset": part.subset.model_copy(update={"labels": (9,)})})
    with pytest.raises(ValueError, match=r"subset has the label 9, but .* the labels 0 to 5"):
        open_task(wrong, Paths.of(data=tmp_path))


def test_an_unknown_data_set_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nclass_incremental: {dataset: micro-mixd, initial: 1, increment: 1}\n"
    )
    with pytest.raises(ValueError, match="Did you mean 'micro-mixed'"):
        load_benchmark(str(path))
