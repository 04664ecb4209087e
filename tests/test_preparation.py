"""What happens before a run."""

from __future__ import annotations

import json

import pytest
from support import write_folder

from gift import Learner
from gift import benchmark as experiment
from gift.cli import main
from gift.config import EvaluationSettings
from gift.data import DatasetEntry, Task, hub, load_benchmark, load_dataset, open_task
from gift.data.entries import Counts
from gift.data.readers.reading import Reading
from gift.preparation import (
    check_exclusions,
    chosen_tasks,
    few_shot_parts,
    keep_provenance,
    measured_part,
    open_tasks,
    prepare,
)
from gift.progress import listening
from gift.runs import RunFolder
from gift.vlm import Preprocess
from gift_micro.images import COUNTS


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


SMALL = Preprocess(8, "squash", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 3)
"""Images of 8 x 8 pixels."""


def colours(**values):
    return DatasetEntry.model_validate({"name": "colours", "source": {"path": "colours"}} | values)


def test_a_prepared_data_set_leaves_nothing_to_decode(tmp_path, tiny_clip_folder):
    for part in ("train", "test"):
        write_folder(tmp_path / "data" / "colours" / part, count=3)
    learner = Learner.from_pretrained(tiny_clip_folder, method="finetune", home=tmp_path / "home")
    preprocess = learner.model.preprocess
    done = prepare([colours()], tmp_path / "data", tmp_path / "home", preprocess)
    assert (done.done, done.cached, done.problem) == (("checked", "decoded"), 6, "")
    assert done.images == {"train": 6, "test": 6}
    stages = []
    with listening(lambda stage, *_: stages.append(stage)):
        learner.evaluate(open_task(colours(), tmp_path / "data"))
    assert stages == ["evaluating"]


def test_steps_are_prepared_as_they_are_measured(tmp_path):
    for part in ("train", "test"):
        write_folder(tmp_path / "colours" / part, count=3)
    steps = [
        colours(name=f"colours-{n}", subset={"of": "colours", "labels": [n]}) for n in range(2)
    ]
    done = prepare(steps, tmp_path, tmp_path / "home", SMALL)
    assert (done.name, done.images, done.cached) == ("colours", {"train": 6, "test": 6}, 6)
    assert len(list((tmp_path / "home" / "pixels").iterdir())) == 2


def test_what_can_be_made_is_made(tmp_path, monkeypatch):
    for split, count in {"train": 2, "validation": 1, "test": 1}.items():
        monkeypatch.setitem(COUNTS, split, count)
    entry = load_dataset("micro-dtd").model_copy(update={"counts": Counts()})
    first, second = (prepare([entry], tmp_path / "data", tmp_path / "home") for _ in range(2))
    assert first.done == ("made", "checked")
    assert second.done == ("checked",)
    assert first.cached is None


@pytest.mark.parametrize("damage", ["missing", "short", "unreadable"])
def test_what_cannot_be_prepared_is_told(tmp_path, damage):
    entry = colours(counts={"train": 4}) if damage == "short" else colours()
    if damage != "missing":
        for part in ("train", "test"):
            write_folder(tmp_path / "colours" / part, count=1)
    if damage == "unreadable":
        (tmp_path / "colours" / "test" / "red" / "0.png").write_bytes(b"?")
    done = prepare([entry], tmp_path, tmp_path / "home", SMALL)
    expected = {"missing": "no folder", "short": "4 train images", "unreadable": "1 unreadable"}
    assert expected[damage] in done.problem
    assert done.cached is None
    assert not (tmp_path / "home" / "pixels").exists()


def call(*arguments):
    """Run a command; returns its exit status."""
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return exit.value.code or 0


def test_the_command_downloads_a_chosen_commit_and_says_what_it_cannot_do(
    tmp_path, capsys, monkeypatch
):
    asked = []

    def read(source, entry):
        asked.append((entry.name, source.id, source.revision))
        raise OSError("no network")

    monkeypatch.setattr(hub, "read", read)
    where = ("--home", tmp_path / "home", "--data-root", tmp_path)
    chosen = ("--set", "hub_revisions.dtd=abc123")
    assert call("data", "prepare", "dtd", "sun397", *chosen, *where) == 1
    shown = capsys.readouterr()
    assert asked[0] == ("dtd", "mcimpoi/dtd_split_1", "abc123")
    assert "downloading the copy of dtd" in shown.err
    for text in ("no network", "Unpack SUN397.tar.gz", "0 of 2 data sets are ready"):
        assert text in shown.out

    images = Task.from_folder(write_folder(tmp_path / "copy")).train
    parts = {"train": images, "test": images.select([0])}
    names = ("green", "red")
    monkeypatch.setattr(hub, "read", lambda *_: Reading("copy@abc123", names, parts, ordered=False))
    content = {"name": "dtd2", "hub": {"id": "a/b"}, "classnames": list(names)}
    (tmp_path / "mine.yaml").write_text(json.dumps({"name": "mine", "tasks": [content]}))
    chosen = ("--set", "hub_revisions.dtd2=abc123")
    assert call("data", "prepare", tmp_path / "mine.yaml", *chosen, *where, "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["data_sets"]
    assert told["done"] == ["hub copy there", "checked"]
    assert told["images"] == {"train": 8, "test": 1}
    assert call("data", "check", tmp_path / "mine.yaml", *chosen, *where) == 0
    assert call("data", "check", tmp_path / "mine.yaml", "--set", "seed=1", *where) == 1
    assert "unknown setting 'seed'" in capsys.readouterr().err


def test_other_data_are_refused_when_a_run_goes_on(tmp_path):
    for part in ("train", "test"):
        write_folder(tmp_path / "colours" / part, count=3)
    folder = RunFolder(tmp_path / "run")

    def keep(root=tmp_path, **changes):
        entry = colours(**changes)
        keep_provenance([entry], [open_task(entry, root)], root, folder)
        return json.loads((tmp_path / "run" / "data.json").read_text())["colours"]

    first = keep()
    assert (first["place"], first["test"]["images"]) == ("colours", 6)
    assert keep(templates=["a {}."])["words"] != first["words"]  # nothing was learned yet
    keep()
    folder.learner.mkdir()
    (folder.learner / "memory.json").write_text("[]")
    write_folder(tmp_path / "moved" / "colours" / "train", count=3)
    write_folder(tmp_path / "moved" / "colours" / "test", count=3)
    assert keep(tmp_path / "moved") == first
    (tmp_path / "colours" / "test" / "red" / "0.png").unlink()
    with pytest.raises(
        ValueError,
        match=r"begun on other data: colours\.test\.images is 6 there and 5 here; colours\.test",
    ):
        keep()
    (tmp_path / "run" / "data.json").unlink()  # as runs of older versions
    assert keep()["test"]["images"] == 5


def test_a_run_keeps_what_it_is_measured_on(tmp_path, tiny_clip_folder):
    for part in ("train", "test"):
        write_folder(tmp_path / "colours" / part, count=3)
    task = "{name: colours, source: {path: colours}, metric: mean_per_class}"
    (tmp_path / "mine.yaml").write_text(f"{{name: mine, tasks: [{task}]}}")
    settings = {
        "model": str(tiny_clip_folder),
        "training": {"iterations": 2, "batch_size": 2, "warmup": 1},
    }
    config = experiment.resolve(str(tmp_path / "mine.yaml"), "finetune", settings)
    experiment.run(config, tmp_path / "run", home=tmp_path / "home")
    kept = json.loads((tmp_path / "run" / "data.json").read_text())
    assert kept["colours"]["train"]["images"] == 6
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    assert matrix["setting"]["metric"] == {"colours": "mean_per_class"}
    (tmp_path / "run" / "DONE").unlink()
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, tasks: [{name: colours, source: {path: colours}}]}"
    )
    with pytest.raises(ValueError, match=r"metric \{'colours': 'mean_per_class'\}; the benchmark"):
        experiment.run(config, tmp_path / "run", home=tmp_path / "home")
