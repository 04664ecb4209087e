"""What a learner's folder says of it, and its page."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import pytest
from support import write_folder
from test_cli import call

from gift import Learner, Task
from gift.commands import evaluate, info, report_learner
from gift.config import LearnerConfig
from gift.data import provenance
from gift.files import write_json
from gift.history import TaskRecord
from gift.report.classified import Classified
from gift.runs import Kept, KeptFolder, RunFolder
from gift.settings import identity, validate

RECORD = {
    "learned": "2026-11-28T10:00:00Z",
    "classes": 2,
    "images": 8,
    "seconds": 12.5,
    "device": "cpu",
}


@pytest.fixture
def saved(tiny_clip_folder, tmp_path, paths):
    """A learner of two folders of images, saved as if it had learned them."""
    values = {"model": str(tiny_clip_folder), "method": "finetune"}
    config = validate(LearnerConfig, {**values, "training": {"iterations": 7}})
    tasks = []
    for seed, name in enumerate(("colours", "shapes")):
        for part in ("train", "test"):
            classes = ("red", "green") if name == "colours" else ("ball", "red", "cube")
            write_folder(tmp_path / name / part, classes, seed=seed)
        tasks.append(Task.from_folder(tmp_path / name))
    run = RunFolder(tmp_path / "learner")
    run.write_config(config)
    learner = Learner(config, paths=paths)
    with run.writing():
        for number, task in enumerate(tasks, start=1):
            described = asdict(provenance(task, paths))
            run.add_data(task.name, described, only=[one.name for one in learner.memory])
            record = TaskRecord(name=task.name, **RECORD, settings=identity(config))
            learner.memory = (*learner.memory, task.labels)
            learner.history = (*learner.history, record)
            learner.save(run.path)
            found = [asdict(one) for one in learner.measure(task)]
            place = run.task(number, task.name)
            write_json(place / "eval.json", {"after": task.name, "accuracy": found})
    return run.path


def test_a_learner_is_described_without_loading_it(saved, monkeypatch, tiny_clip_folder):
    monkeypatch.setattr(Learner, "__init__", None)
    found = info(saved)
    assert (found.model, found.method, found.generator) == (str(tiny_clip_folder), "finetune", None)
    assert found.settings == {"training.iterations": 7}
    assert found.undo == "shapes"
    assert found.model_bytes > 10_000
    assert found.previous_bytes > found.model_bytes / 2
    colours, shapes = found.tasks
    assert (colours.classes, colours.images, colours.device) == (("green", "red"), 8, "cpu")
    assert (colours.learned, colours.seconds) == ("2026-11-28T10:00:00Z", 12.5)
    assert colours.settings == {"training.iterations": 7}
    assert None not in (colours.then, colours.then_seen, shapes.then, shapes.now_seen)
    assert (colours.now, colours.kept) == (None, None)
    assert shapes.then == shapes.now


def test_a_folder_that_was_checked_tells_the_accuracy_now(saved):
    one = KeptFolder(
        name="old photos",
        place="x",
        images=5,
        known="colours",
        before=90.0,
        after=80.0,
        before_seen=70.0,
        after_seen=60.0,
    )
    kept = Kept(task="shapes", folders=(one,))
    write_json(saved / "tasks" / "02-shapes" / "forgetting.json", kept.model_dump(mode="json"))
    colours, shapes = info(saved).tasks
    assert (colours.now, colours.now_seen) == (80.0, 60.0)
    assert shapes.kept == kept


def test_folders_of_earlier_versions_are_described(saved):
    """Without records of how tasks were learned, and with accuracies in another form."""
    write_json(saved / "tasks" / "01-colours" / "eval.json", {"accuracy": {"colours": 90.0}})
    shutil.rmtree(saved / "tasks" / "02-shapes")
    colours, shapes = info(saved).tasks
    assert (colours.then, shapes.then) == (None, None)
    assert colours.images == 8
    with pytest.raises(ValueError, match="holds no learner"):
        info(saved / "tasks")


def test_only_settings_that_changed_are_named_of_a_task(saved):
    found = info(saved)
    task = replace(found.tasks[0], settings={"training.iterations": 9, "seed": 3})
    now = {"training.iterations": 7, "seed": 3, "training.warmup": 2}
    expected = {"training.iterations": 9, "training.warmup": "the default"}
    assert task.other_settings(now) == expected
    assert replace(task, settings={}).other_settings(now) == {}, "of an older learner"


def test_info_in_words_and_as_json(saved, capsys):
    assert call("info", saved) == 0
    shown = capsys.readouterr().out
    for words in (
        "1 colours",
        "2026-11-28",
        "training.iterations = 7",
        "takes back shapes",
    ):
        assert words in shown
    assert call("info", saved, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [task["name"] for task in found["tasks"]] == ["colours", "shapes"]
    assert found["undo"] == "shapes"


@pytest.fixture
def classified(monkeypatch):
    """What goes on the page, when it is written."""
    found: list[Classified] = []
    notes: list[str] = []

    def write(info, folders, out, *, notes: list[str]):
        found.extend(folders)
        kept.extend(notes)
        return out

    kept = notes
    monkeypatch.setattr("gift.commands.reporting.write_learner_page", write)
    return found, notes


def test_the_folders_that_were_learned_are_classified(saved, tmp_path, paths, classified):
    report_learner(saved, tmp_path / "page", paths=paths)
    found, notes = classified
    assert [(one.name, one.known, one.images, one.others) for one in found] == [
        ("colours", "colours", 8, 2),
        ("shapes", "shapes", 12, 1),
    ]
    assert notes == []
    for one in found:
        task = Task.from_folder(tmp_path / one.name)
        own, seen = evaluate(saved, [task], paths=paths)
        assert (one.own, one.seen) == (own.value, seen.value)
        assert one.counts.sum(axis=1).tolist() == [4] * len(one.classes)
        mistakes = one.images - one.counts.diagonal().sum()
        assert sum(pair.count for pair in one.confusions) == mistakes
        assert all(len(pair.pictures) == min(4, pair.count) for pair in one.confusions)


def test_folders_that_changed_are_mentioned_and_others_can_be_named(
    saved, tmp_path, paths, classified
):
    shutil.rmtree(tmp_path / "shapes")
    image = tmp_path / "colours" / "test" / "red" / "0.png"
    shutil.copy(image.with_name("1.png"), image)
    report_learner(saved, tmp_path / "page", paths=paths)
    found, notes = classified
    assert found == []
    assert [note.partition(" ")[0] for note in notes] == ["colours", "shapes"]
    write_folder(tmp_path / "more", ("green", "red"), seed=5)
    report_learner(saved, tmp_path / "page", [Task.from_folder(tmp_path / "more")], paths=paths)
    assert [(one.name, one.known) for one in found] == [("more", "colours")]
    assert found[0].measured_on == "all of its images, learned ones too"


def test_report_knows_a_learner_from_a_run(saved, tmp_path, make_run, capsys):
    home = ("--home", tmp_path / "home")
    assert call("report", saved, "--out", tmp_path / "page", *home, "--json") == 0
    page = json.loads(capsys.readouterr().out)["page"]
    assert "What is taken for what" in (tmp_path / "page" / "report.html").read_text()
    assert page == str(tmp_path / "page" / "report.html")
    assert call("report", saved, make_run("run"), *home) == 1
    assert "a learner has a page of its own" in capsys.readouterr().err
    assert call("report", make_run("other"), "--task", tmp_path / "colours") == 1
    assert "--task, --test-fraction and --on-bad-image are for a learner" in capsys.readouterr().err
