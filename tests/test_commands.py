"""Learners in folders: one more task, and what they are measured on."""

from __future__ import annotations

import shutil

import pytest
from support import write_folder

from gift import Task
from gift.commands import evaluate, learn
from gift.learner import Learner
from gift.runs import RunFolder


def test_learning_folder_by_folder(sequence, tmp_path, paths):
    _, settings = sequence
    folder = tmp_path / "learner"
    tasks = [Task.from_folder(tmp_path / name) for name in ("colours", "shapes")]
    first = learn(folder, tasks[0], settings, paths=paths)
    assert (first.task, first.tasks, first.split) == ("colours", ("colours",), "test")
    second = learn(folder, tasks[1], paths=paths)
    assert second.tasks == ("colours", "shapes")
    measured = evaluate(folder, tasks, paths=paths)
    assert measured["shapes"] == second.after
    with pytest.raises(ValueError, match="seed is 0 there and 3 here"):
        learn(folder, tasks[1], {"seed": 3}, paths=paths)
    workers = {"training": {"workers": 1}}
    with pytest.raises(ValueError, match="already learned"):
        learn(folder, tasks[1], workers, paths=paths)
    assert Learner.load(folder).config.training.workers == 1
    (folder / "learner" / "memory.json").write_text("[]")
    with pytest.raises(ValueError, match=r"memory.json not as written.*learner of one task before"):
        learn(folder, tasks[1], paths=paths)
    assert len(RunFolder(folder).events()) > 0


def test_a_failed_first_task_leaves_a_folder_that_can_be_used(sequence, tmp_path, paths):
    _, settings = sequence
    task = Task.from_folder(tmp_path / "colours")
    picture = tmp_path / "colours" / "train" / "one" / "0.png"
    good = picture.read_bytes()
    picture.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="unreadable"):
        learn(tmp_path / "learner", task, settings, paths=paths)
    picture.write_bytes(good)
    again = Task.from_folder(tmp_path / "colours")
    other = {**settings, "seed": 5}
    result = learn(tmp_path / "learner", again, other, paths=paths)
    assert result.tasks == ("colours",)


def test_the_learner_of_a_run_goes_on_in_a_folder_of_its_own(start, tmp_path, paths):
    start("finetune")
    write_folder(tmp_path / "extra", ("four", "five"), seed=7)
    task = Task.from_folder(tmp_path / "extra")
    with pytest.raises(ValueError, match="holds the run of a benchmark"):
        learn(tmp_path / "run", task, paths=paths)
    shutil.copytree(tmp_path / "run" / "learner", tmp_path / "copy" / "learner")
    shutil.copy(tmp_path / "run" / "config.yaml", tmp_path / "copy")
    result = learn(tmp_path / "copy", task, paths=paths)
    assert result.tasks == ("colours", "shapes", "sounds", "extra")


def test_a_learner_is_measured_on_the_draw_that_it_was_trained_on(
    sequence, start, tmp_path, monkeypatch, paths
):
    start("finetune")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("draw: 0", "draw: 2"))
    (tmp_path / "run" / "manifest.json").unlink()  # the files are taken as they are
    with pytest.raises(ValueError, match="draw = 2 needs data sets that can be made"):
        evaluate(tmp_path / "run", [], sequence[0], paths=paths)


def test_nothing_to_measure_is_refused(sequence, tmp_path, paths):
    _, settings = sequence
    task = Task.from_folder(tmp_path / "colours")
    learn(tmp_path / "learner", task, settings, paths=paths)
    with pytest.raises(ValueError, match="give --task FOLDER or --benchmark NAME"):
        evaluate(tmp_path / "learner", [], paths=paths)
