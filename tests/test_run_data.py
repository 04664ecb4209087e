"""What a run checks and keeps of its data."""

from __future__ import annotations

import json

import pytest
from support import write_folder

from gift.benchmark import check_exclusions, few_shot_tasks, keep_provenance, resolve, run
from gift.data import DatasetEntry, Paths, Task, load_benchmark, open_task
from gift.runs import RunFolder


def colours(**values):
    return DatasetEntry.model_validate({"name": "colours", "source": {"path": "colours"}} | values)


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
    drawn = few_shot_tasks(tasks, 2, 7, folder)
    for number, (whole, few) in enumerate(zip(tasks, drawn, strict=True), start=1):
        assert few.train.labels == (0, 0, 1, 1)
        assert few.test == whole.test
        path = tmp_path / "run" / "tasks" / f"{number:02d}-{whole.name}" / "train-indices.json"
        kept = json.loads(path.read_text())
        assert (kept["shots"], kept["seed"], kept["of"]) == (2, 7, 12)
        assert whole.train.select(kept["indices"]) == few.train
    with pytest.raises(ValueError, match="first: 9 images per class were asked for"):
        few_shot_tasks(tasks, 9, 7, folder)


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
    config = resolve(str(tmp_path / "mine.yaml"), "finetune", settings)
    run(config, tmp_path / "run", paths=Paths.of(tmp_path / "home"))
    kept = tmp_path / "run" / "tasks" / "01-colours" / "train-indices.json"
    assert len(json.loads(kept.read_text())["indices"]) == 4


def test_other_data_are_refused_when_a_run_goes_on(tmp_path):
    for part in ("train", "test"):
        write_folder(tmp_path / "colours" / part, count=3)
    folder = RunFolder(tmp_path / "run")

    def keep(root=tmp_path, **changes):
        entry = colours(**changes)
        paths = Paths.of(data=root)
        keep_provenance([entry], [open_task(entry, paths)], paths, folder)
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
    config = resolve(str(tmp_path / "mine.yaml"), "finetune", settings)
    run(config, tmp_path / "run", paths=Paths.of(tmp_path / "home"))
    kept = json.loads((tmp_path / "run" / "data.json").read_text())
    assert kept["colours"]["train"]["images"] == 6
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    assert matrix["setting"]["metric"] == {"colours": "mean_per_class"}
    (tmp_path / "run" / "DONE").unlink()
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, tasks: [{name: colours, source: {path: colours}}]}"
    )
    with pytest.raises(ValueError, match=r"metric \{'colours': 'mean_per_class'\}; the benchmark"):
        run(config, tmp_path / "run", paths=Paths.of(tmp_path / "home"))
