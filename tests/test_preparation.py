"""What happens before a run."""

from __future__ import annotations

import json

import pytest
from support import write_folder

from gift import experiment
from gift.config import EvaluationSettings
from gift.data import Task, load_benchmark, load_dataset
from gift.data.entries import Counts
from gift.micro.images import COUNTS
from gift.preparation import (
    check_exclusions,
    chosen_tasks,
    few_shot_parts,
    measured_part,
    open_tasks,
)
from gift.runs import RunFolder


def test_another_draw_has_a_folder_of_its_own(tmp_path, monkeypatch):
    for split, count in {"train": 2, "validation": 1, "test": 1}.items():
        monkeypatch.setitem(COUNTS, split, count)
    entry = load_dataset("micro-dtd").model_copy(update={"counts": Counts()})
    (first,), (second,) = (open_tasks([entry], tmp_path, draw) for draw in (0, 3))
    assert first.labels == second.labels
    assert {path.relative_to(tmp_path).parts[0] for path in first.train.files} == {"micro-1"}
    assert {path.relative_to(tmp_path).parts[0] for path in second.train.files} == {"draw-3"}
    assert first.train.files[0].read_bytes() != second.train.files[0].read_bytes()


def test_another_draw_needs_data_that_is_made(tmp_path):
    entries = [load_dataset("micro-dtd").model_copy(update={"made_by": None})]
    with pytest.raises(ValueError, match=r"draw = 2 needs data sets that can be made.*micro-dtd"):
        open_tasks(entries, tmp_path, 2)


@pytest.mark.parametrize("name", ["micro-1", "micro-cil"])
def test_some_tasks_in_the_order_of_the_benchmark(name):
    benchmark = load_benchmark(name)
    some = (benchmark.tasks[3], benchmark.tasks[1])
    assert [entry.name for entry in chosen_tasks(benchmark, some)] == [some[1], some[0]]
    assert len(chosen_tasks(benchmark, None)) == len(benchmark.tasks)
    with pytest.raises(ValueError, match="unknown task"):
        chosen_tasks(benchmark, ["nonsense"])


def test_the_part_to_measure_takes_the_place_of_the_test_part(tmp_path):
    for part, count in {"train": 10, "validation": 3, "test": 2}.items():
        write_folder(tmp_path / "all" / part, count=count)
    task = Task.from_folder(tmp_path / "all")
    assert measured_part(task, EvaluationSettings()).evaluation == task.test
    validation = measured_part(task, EvaluationSettings(split="validation"))
    assert (validation.train, validation.evaluation) == (task.train, task.validation)


def test_validation_images_are_split_off_training_where_there_are_none(tmp_path):
    write_folder(tmp_path / "few" / "train", count=10)
    write_folder(tmp_path / "few" / "test", count=2)
    task = Task.from_folder(tmp_path / "few")
    settings = EvaluationSettings(split="validation", validation_fraction=0.3)
    measured = measured_part(task, settings)
    assert measured == measured_part(task, settings)
    assert sorted(measured.evaluation.labels) == [0] * 3 + [1] * 3
    assert sorted(measured.train.files + measured.evaluation.files) == sorted(task.train.files)
    assert not set(measured.evaluation.files) & set(task.test.files)


def test_a_class_of_one_image_has_none_for_validation(tmp_path):
    write_folder(tmp_path / "one" / "train", count=1)
    task = Task.from_folder(tmp_path / "one")
    with pytest.raises(ValueError, match=r"one image, but evaluation\.validation_fraction needs"):
        measured_part(task, EvaluationSettings(split="validation"))
    write_folder(tmp_path / "flat", count=1)
    with pytest.raises(ValueError, match="has no test images"):
        measured_part(Task.from_folder(tmp_path / "flat"), EvaluationSettings())


def test_excluded_names_are_tasks_classes_or_general_names(tmp_path):
    benchmark, tasks = load_benchmark("micro-1"), [Task.from_folder(write_folder(tmp_path / "x"))]
    check_exclusions(["micro-food", "red", "fox"], benchmark, tasks, ["fox"])
    for wrong, meant in (("micro-foot", "micro-food"), ("rad", "red"), ("foxx", "fox")):
        with pytest.raises(ValueError, match=rf"'{wrong}' is no task of micro-1.*mean '{meant}'"):
            check_exclusions(["red", wrong], benchmark, tasks, ["fox"])


def test_a_few_images_are_drawn_and_kept_with_the_run(tmp_path):
    tasks = []
    for number, name in enumerate(("first", "second")):
        write_folder(tmp_path / name / "train", count=6, seed=number)
        write_folder(tmp_path / name / "test", count=2)
        tasks.append(Task.from_folder(tmp_path / name))
    folder = RunFolder(tmp_path / "run")
    drawn = few_shot_parts(tasks, 2, 7, folder)
    for number, (whole, few) in enumerate(zip(tasks, drawn, strict=True), start=1):
        assert few.train.labels == (0, 0, 1, 1)
        assert few.test == whole.test
        path = tmp_path / "run" / "tasks" / f"{number:02d}-{whole.name}" / "train-indices.json"
        kept = json.loads(path.read_text())
        assert (kept["shots"], kept["seed"], kept["of"]) == (2, 7, 12)
        assert whole.train.select(kept["indices"]) == few.train
    with pytest.raises(ValueError, match="first: 9 images per class were asked for"):
        few_shot_parts(tasks, 9, 7, folder)


def test_a_run_learns_from_a_few_images(tmp_path, tiny_clip_folder):
    for part in ("train", "test"):
        write_folder(tmp_path / "colours" / part, count=5)
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, shots: 2, shots_seed: 1, tasks: [{name: colours, source: {path: colours}}]}"
    )
    settings = {
        "model": str(tiny_clip_folder),
        "training": {"iterations": 2, "batch_size": 2, "warmup": 1},
    }
    config = experiment.resolve(str(tmp_path / "mine.yaml"), "finetune", settings)
    experiment.run(config, tmp_path / "run", home=tmp_path / "home")
    kept = tmp_path / "run" / "tasks" / "01-colours" / "train-indices.json"
    assert len(json.loads(kept.read_text())["indices"]) == 4
