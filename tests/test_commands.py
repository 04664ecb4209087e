"""Learners in folders: one more task, and what they are measured on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict

import pytest
from support import Kill, write_folder

from gift import Task
from gift.commands import evaluate, learn
from gift.learner import Learner
from gift.runs import RunFolder


def test_learning_folder_by_folder(sequence, tmp_path, paths):
    _, settings = sequence
    folder = tmp_path / "learner"
    tasks = [Task.from_folder(tmp_path / name) for name in ("colours", "shapes")]
    first = learn(folder, tasks[0], settings, paths=paths)
    assert (first.task, first.tasks) == ("colours", ("colours",))
    said = [(one.among, one.images, one.model) for one in (*first.before, *first.after)]
    models = ["gift before any task"] * 2 + ["gift after colours"] * 2
    assert said == [(a, "test", m) for a, m in zip(["task", "seen"] * 2, models, strict=True)]
    second = learn(folder, tasks[1], paths=paths)
    assert second.tasks == ("colours", "shapes")
    measured = evaluate(folder, tasks, paths=paths)
    assert tuple(measured[2:]) == second.after
    kept = json.loads((folder / "tasks" / "02-shapes" / "eval.json").read_text())
    assert kept == {"after": "shapes", "accuracy": list(map(asdict, second.after))}
    fixed = {"method_settings": {"teacher": "initial"}, "model": str(tmp_path / "other")}
    wanted = "method_settings.teacher is 'last' there and 'initial' here; model is"
    with pytest.raises(ValueError, match=wanted):
        learn(folder, tasks[1], fixed, paths=paths)
    workers = {"training": {"workers": 1}}
    with pytest.raises(ValueError, match="already learned"):
        learn(folder, tasks[1], workers, paths=paths)
    assert Learner.load(folder).config.training.workers == 1
    (folder / "learner" / "memory.json").write_text("[]")
    with pytest.raises(ValueError, match=r"memory.json not as written.*learner of one task before"):
        learn(folder, tasks[1], paths=paths)
    assert len(RunFolder(folder).events()) > 0


def test_settings_change_from_task_to_task_and_are_remembered(sequence, tmp_path, paths):
    """Months later: other iterations, rate, optimiser, precision, images and penalty."""
    folder = tmp_path / "learner"
    colours, shapes = (Task.from_folder(tmp_path / name) for name in ("colours", "shapes"))
    learn(folder, colours, sequence[1], paths=paths)
    later = {
        "training": {"iterations": 2, "learning_rate": 3e-4, "optimizer": "sgd", "keep": "best"},
        "method_settings": {"penalty_weight": 0.5},
        "synthesis": {"images": 3},
        "seed": 7,
    }
    learn(folder, shapes, later, paths=paths)
    learner = Learner.load(folder, paths=paths)
    first, second = learner.history
    assert (first.name, first.classes, first.images) == ("colours", 2, 8)
    assert first.settings["training"]["iterations"] == sequence[1]["training"]["iterations"]
    assert second.settings["training"]["iterations"] == learner.config.training.iterations == 2
    assert second.settings["method_settings"]["penalty_weight"] == 0.5
    assert second.settings["seed"] == 7
    assert second.validation_images > 0
    assert 1 <= second.best_step <= 2
    assert second.learned > "2026"
    assert not any("workers" in record.settings["training"] for record in learner.history)


WRITES = 120
"""More than there are."""
KILLED = range(WRITES) if "GIFT_EXAMPLES" in os.environ else (3, 40, 52, 58, 64)


@pytest.mark.parametrize("first", [True, False])
def test_a_learner_that_was_killed_between_any_two_writes(sequence, tmp_path, paths, first):
    """The same call ends with the same bits, in the first task and in a later one."""
    settings = {**sequence[1], "method": "finetune"}
    colours, shapes = (Task.from_folder(tmp_path / name) for name in ("colours", "shapes"))
    begun, whole = tmp_path / "begun", tmp_path / "whole"
    if not first:
        learn(begun, colours, settings, paths=paths)
        shutil.copytree(begun, whole)
    undisturbed = learn(whole, shapes, settings, paths=paths)
    names = ("model/model.safetensors", "method.safetensors", "memory.json")
    expected = [(whole / "learner" / name).read_bytes() for name in names]
    kills = 0
    for number in KILLED:
        folder = tmp_path / "killed" / str(number)
        folder.mkdir(parents=True)
        if not first:
            shutil.copytree(begun, folder, dirs_exist_ok=True)
        if (child := os.fork()) == 0:
            sys.addaudithook(Kill(folder, number))
            learn(folder, shapes, settings, paths=paths)
            os._exit(0)
        kills += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        number_of_task = 1 if first else 2
        if (folder / "tasks" / f"{number_of_task:02d}-shapes" / "eval.json").exists():
            with pytest.raises(ValueError, match="already learned"):
                learn(folder, shapes, settings, paths=paths)
        else:
            assert learn(folder, shapes, settings, paths=paths) == undisturbed
        assert [(folder / "learner" / name).read_bytes() for name in names] == expected
        assert not [path for path in folder.rglob("*") if path.suffix in {".tmp", ".new"}]
        assert not list(folder.glob("tasks/*/checkpoint"))
    assert kills > len(KILLED) / 4


def test_a_task_that_was_saved_and_not_measured_is_measured(sequence, tmp_path, paths):
    """Not one of the same name with other images, nor where the learner before is gone."""
    settings = {**sequence[1], "method": "finetune"}
    for name in ("colours", "shapes"):
        found = learn(
            tmp_path / "learner", Task.from_folder(tmp_path / name), settings, paths=paths
        )
    measured = tmp_path / "learner" / "tasks" / "02-shapes" / "eval.json"
    measured.unlink()
    shapes = Task.from_folder(tmp_path / "shapes")
    assert learn(tmp_path / "learner", shapes, paths=paths) == found
    assert measured.exists()
    measured.unlink()
    image = tmp_path / "shapes" / "train" / "one" / "0.png"
    image.write_bytes((tmp_path / "shapes" / "train" / "two" / "0.png").read_bytes())
    with pytest.raises(ValueError, match="already learned"):
        learn(tmp_path / "learner", Task.from_folder(tmp_path / "shapes"), paths=paths)


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
    for path in (tmp_path / "run").glob("*.json"):  # as if it had been copied
        path.unlink()
    with pytest.raises(ValueError, match="draw = 2 needs data sets that can be made"):
        evaluate(tmp_path / "run", [], sequence[0], paths=paths)


def test_nothing_to_measure_is_refused(sequence, tmp_path, paths):
    _, settings = sequence
    task = Task.from_folder(tmp_path / "colours")
    learn(tmp_path / "learner", task, settings, paths=paths)
    with pytest.raises(ValueError, match="give --task FOLDER or --benchmark NAME"):
        evaluate(tmp_path / "learner", [], paths=paths)


def test_a_folder_is_measured_as_the_learned_task_that_it_is(sequence, tmp_path, paths, caplog):
    _, settings = sequence
    caplog.set_level("INFO", "gift")
    template = ("the picture of {}",)
    write_folder(tmp_path / "mine", ("four", "five"), seed=7)
    task = Task.from_folder(tmp_path / "mine", templates=template)
    method = {"method": "finetune"}
    after = learn(tmp_path / "learner", task, {**settings, **method}, paths=paths).after
    found = evaluate(tmp_path / "learner", [Task.from_folder(tmp_path / "mine")], paths=paths)
    assert tuple(found) == after
    assert "mine is measured as the learned task mine, with 'the picture of {}'" in caplog.text
    write_folder(tmp_path / "later", ("five", "four"), seed=8)
    later = evaluate(tmp_path / "learner", [Task.from_folder(tmp_path / "later")], paths=paths)
    assert [(one.task, one.images) for one in later] == [("later", "all")] * 2
    assert "later is measured as the learned task mine" in caplog.text


def test_rates_of_other_tasks_are_mentioned(sequence, tmp_path, paths, caplog):
    _, settings = sequence
    rates = {"training": {**settings["training"], "learning_rates": {"colour": 1e-4}}}
    task = Task.from_folder(tmp_path / "colours")
    learn(tmp_path / "learner", task, {**settings, **rates, "method": "finetune"}, paths=paths)
    assert "names colour, which is no task so far (colours). Did you mean 'colours'?" in caplog.text
