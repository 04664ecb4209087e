"""Taking the last task back: what stays, what goes, and kills in the middle."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest
from support import Kill, write_folder
from test_cli import call

from gift import Task
from gift.commands import Undo, learn, undo
from gift.config import LearnerConfig
from gift.files import read_json, write_json
from gift.learner import Learner
from gift.runs import RunFolder
from gift.runs.manifest import damage, read_manifest

TASKS = ("birds", "boats", "<b>\x1b[31m")


def folder_of(path, tasks=TASKS):
    """A learner folder without a model, as learning the tasks one by one leaves it."""
    run = RunFolder(path)
    run.write_config(LearnerConfig())
    with run.writing():
        for number in range(1, len(tasks) + 1):
            learned = tasks[:number]
            run.add_data(learned[-1], {"place": learned[-1]}, only=learned[:-1])
            with run.saving_learner(LearnerConfig(), method="gift", tasks=learned) as new:
                write_json(new / "memory.json", learned)
            write_json(run.task(number, learned[-1]) / "eval.json", {"after": learned[-1]})
    return path


def content(path):
    """All that a folder says about its tasks."""
    data = read_json(path / "data.json")
    tasks = sorted(one.name for one in (path / "tasks").iterdir())
    manifest = read_manifest(path)
    memory = read_json(path / "learner" / "memory.json")
    return list(data), tasks, manifest.tasks, memory


def test_all_that_belongs_to_the_last_task_goes(tmp_path):
    before = content(folder_of(tmp_path / "two", TASKS[:2]))
    folder = folder_of(tmp_path / "three")
    (folder / "notes.txt").write_text("the user's own")
    assert undo(folder) == Undo(TASKS[2], TASKS[:2])
    assert content(folder) == before
    assert damage(folder / "learner") is None
    assert {path.name for path in folder.glob("learner*")} == {"learner"}
    assert (folder / "notes.txt").exists()
    assert [event.stage for event in RunFolder(folder).events()] == ["undo"]
    with pytest.raises(ValueError, match="only one step back is kept, and it was taken already"):
        undo(folder)


def killed(folder, number):
    """Whether undoing in another process was killed before its n-th write."""
    if (child := os.fork()) == 0:
        sys.addaudithook(Kill(folder, number))
        undo(folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_an_undo_that_was_killed_between_any_two_writes_is_finished(tmp_path):
    whole = folder_of(tmp_path / "whole")
    later, sooner = content(whole), content(folder_of(tmp_path / "two", TASKS[:2]))
    number = kills = finished = 0
    while True:
        folder = tmp_path / "killed" / str(number)
        shutil.copytree(whole, folder)
        if not killed(folder, number):
            break
        kills += 1
        state = RunFolder(folder).whole_learner()  # also who only reads finds a whole one
        assert read_json(state / "memory.json") in (list(TASKS), list(TASKS[:2]))
        with RunFolder(folder).writing():
            assert content(folder) in (later, sooner)
        if content(folder) == later:
            assert undo(folder).task == TASKS[2]
        else:
            finished += 1
        assert content(folder) == sooner
        assert {path.name for path in folder.glob("learner*")} == {"learner"}
        number += 1
    assert kills > 10
    assert finished > 3


def test_the_same_command_finishes_an_undo_that_was_killed(tmp_path):
    for number in range(100):
        folder = folder_of(tmp_path / str(number))
        killed(folder, number)
        if (folder / "learner.undo").is_dir():
            break
    assert undo(folder) == Undo(TASKS[2], TASKS[:2])
    assert content(folder)[3] == list(TASKS[:2])


def test_what_cannot_be_undone_is_refused(tmp_path):
    one = folder_of(tmp_path / "one", TASKS[:1])
    with pytest.raises(ValueError, match="it was only the pre-trained model: to begin again"):
        undo(one)
    with pytest.raises(ValueError, match="holds no learner"):
        undo(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    harmed = folder_of(tmp_path / "harmed")
    (harmed / "learner.previous" / "memory.json").write_text("[]")
    with pytest.raises(ValueError, match=r"previous: memory\.json not as written"):
        undo(harmed)
    strange = folder_of(tmp_path / "strange")
    shutil.rmtree(strange / "learner.previous")
    shutil.copytree(one / "learner", strange / "learner.previous")
    with pytest.raises(ValueError, match="not the learner of one task before"):
        undo(strange)


def test_a_run_of_a_benchmark_is_not_undone(make_run):
    with pytest.raises(ValueError, match="holds the run of a benchmark"):
        undo(make_run("run"))


def test_learning_again_after_undo_gives_the_same_bits(sequence, tmp_path, paths):
    settings = {**sequence[1], "method": "finetune"}
    folder = tmp_path / "learner"
    tasks = [Task.from_folder(tmp_path / name) for name in ("colours", "shapes")]
    learn(folder, tasks[0], settings, paths=paths)
    first = (folder / "learner" / "model" / "model.safetensors").read_bytes()
    result = learn(folder, tasks[1], paths=paths)
    weights = (folder / "learner" / "model" / "model.safetensors").read_bytes()
    undo(folder)
    assert (folder / "learner" / "model" / "model.safetensors").read_bytes() == first
    assert learn(folder, tasks[1], paths=paths) == result
    assert (folder / "learner" / "model" / "model.safetensors").read_bytes() == weights
    undo(folder)
    write_folder(tmp_path / "other", ("four", "five"), seed=7)
    learned = learn(folder, Task.from_folder(tmp_path / "other"), paths=paths)
    assert learned.tasks == ("colours", "other")
    assert list(read_json(folder / "data.json")) == ["colours", "other"]
    assert sorted(path.name for path in folder.glob("tasks/*")) == ["01-colours", "02-other"]
    assert len(Learner.load(folder).memory) == 2


def test_the_command_tells_what_it_will_do_and_asks(tmp_path, capsys):
    folder = folder_of(tmp_path / "three")
    assert call("undo", folder) == 1
    said = capsys.readouterr().err
    assert "<b>\\x1b[31m is taken back" in said
    assert "Still learned are birds, boats" in said
    assert "give --yes" in said
    assert content(folder)[3] == list(TASKS)
    assert call("undo", folder, "--yes", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"folder": str(folder), "task": TASKS[2], "tasks": list(TASKS[:2])}
