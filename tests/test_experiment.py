from __future__ import annotations

import json

import pytest
import yaml
from support import write_folder
from transformers import CLIPModel

from gift import experiment, metrics
from gift.learner import Learner
from gift.methods import method_names
from gift.runs import RunFolder


@pytest.fixture
def benchmark(tmp_path, tiny_clip_folder, tiny_pipeline_folder):
    """A user's own benchmark of three tasks, and the settings for a tiny model."""
    tasks = []
    for number, name in enumerate(("colours", "shapes", "sounds")):
        for part in ("train", "validation", "test"):
            write_folder(
                tmp_path / name / part, ("one", "two", "three")[: 2 + number % 2], seed=number
            )
        tasks.append({"name": name, "source": {"path": name}})
    (tmp_path / "base.txt").write_text("fox\nowl\n")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "tasks": tasks, "base_classnames": "base.txt"}))
    settings = {
        "model": str(tiny_clip_folder),
        "training": {"iterations": 3, "batch_size": 4, "learning_rate": 1e-3, "warmup": 1},
        "synthesis": {
            "generator": str(tiny_pipeline_folder),
            "images": 5,
            "steps": 2,
            "batch_size": 3,
        },
    }
    return str(path), settings


@pytest.fixture
def start(benchmark, tmp_path):
    path, settings = benchmark

    def run(method="gift", folder="run", **more):
        config = experiment.resolve(path, method, settings, more)
        return experiment.run(config, tmp_path / folder, home=tmp_path / "home")

    return run


def learned_weights(folder):
    return (folder / "learner" / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("method", method_names())
def test_a_run_writes_what_is_promised(start, tmp_path, method):
    summary = start(method)
    folder = tmp_path / "run"
    for name in ("config.yaml", "env.json", "events.jsonl", "matrix.json", "summary.json", "DONE"):
        assert (folder / name).is_file()
    matrix = json.loads((folder / "matrix.json").read_text())
    assert matrix["tasks"] == ["colours", "shapes", "sounds"]
    assert [len(row) for row in matrix["accuracy"]] == [3, 3, 3]
    assert summary["last"] == pytest.approx(metrics.last(matrix["accuracy"]), abs=1e-4)
    assert summary["seconds"]["total"] > 0
    assert matrix["setting"]["split"] == "test"


def test_the_plain_model_gives_the_accuracy_that_the_summary_claims(start, tmp_path):
    summary = start("gift")
    CLIPModel.from_pretrained(tmp_path / "run" / "learner" / "model")
    tasks = [
        experiment.Task.from_folder(tmp_path / name) for name in ("colours", "shapes", "sounds")
    ]
    learner = Learner.from_pretrained(
        tmp_path / "run" / "learner" / "model", method="zero_shot", home=tmp_path / "home"
    )
    assert sum(learner.evaluate(tasks)) / 3 == pytest.approx(summary["last"], abs=1e-3)


class Killed(BaseException):
    """Not an Exception, as when a process is stopped."""


@pytest.mark.parametrize("where", ["learning shapes", "evaluating", "paint"])
@pytest.mark.parametrize("method", ["gift", "finetune_individual"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    start, benchmark, tmp_path, monkeypatch, method, where
):
    if where == "paint" and method != "gift":
        pytest.skip("paints nothing")
    start(method, "whole")
    path, settings = benchmark
    config = experiment.resolve(path, method, settings)
    calls = []

    def kill(stage, done, total):
        calls.append(stage)
        if stage == where and calls.count(where) == 2 + 3 * (where == "evaluating"):
            raise Killed

    with pytest.raises(Killed):
        experiment.run(config, tmp_path / "cut", home=tmp_path / "other", progress=kill)
    experiment.run(config, tmp_path / "cut", home=tmp_path / "other")
    whole, cut = (json.loads((tmp_path / n / "matrix.json").read_text()) for n in ("whole", "cut"))
    assert cut == whole
    assert learned_weights(tmp_path / "cut") == learned_weights(tmp_path / "whole")


def test_a_finished_run_is_not_run_again(start, monkeypatch):
    summary = start("finetune")
    monkeypatch.setattr(Learner, "learn", None)
    assert start("finetune") == summary


def test_other_settings_need_another_folder(start):
    start("finetune")
    with pytest.raises(ValueError, match="seed is 0 there and 1 here"):
        start("finetune", seed=1)


def test_the_upper_bound_is_zero_shot_before_a_task_and_its_own_model_after(start, tmp_path):
    start("finetune_individual")
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    accuracy, zero_shot = matrix["accuracy"], matrix["zero_shot"]
    for task in range(3):
        column = [row[task] for row in accuracy]
        assert column[:task] == zero_shot[task : task + 1] * task
        assert len(set(column[task:])) == 1


def test_zero_shot_rows_are_all_the_same(start, tmp_path):
    start("zero_shot")
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    assert matrix["accuracy"] == [matrix["zero_shot"]] * 3


def test_validation_images_can_be_measured_instead(start, tmp_path):
    start("finetune", evaluation={"split": "validation"})
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    assert matrix["setting"]["split"] == "validation"


def test_some_tasks_of_a_benchmark(start, tmp_path):
    start("finetune", tasks=["sounds", "colours"])
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    assert matrix["tasks"] == ["colours", "sounds"]  # the benchmark's order


def test_an_unknown_task_is_refused(start):
    with pytest.raises(ValueError, match="Did you mean 'sounds'"):
        start("finetune", tasks=["sound"])


def test_broken_test_images_are_found_before_any_work(start, tmp_path):
    (tmp_path / "sounds" / "test" / "one" / "0.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"sounds/test/one/0\.png"):
        start("finetune")
    assert not (tmp_path / "run" / "matrix.json").exists()


def test_learning_folder_by_folder(benchmark, tmp_path):
    _, settings = benchmark
    folder = tmp_path / "learner"
    tasks = [experiment.Task.from_folder(tmp_path / name) for name in ("colours", "shapes")]
    first = experiment.learn(folder, tasks[0], settings, home=tmp_path / "home")
    assert set(first["accuracy"]) == {"colours, before", "colours, after"}
    second = experiment.learn(folder, tasks[1], home=tmp_path / "home")
    assert second["tasks"] == ["colours", "shapes"]
    measured = experiment.evaluate(folder, tasks, home=tmp_path / "home")
    assert measured["shapes"] == second["accuracy"]["shapes, after"]
    with pytest.raises(ValueError, match="seed is 0 there and 3 here"):
        experiment.learn(folder, tasks[1], {"seed": 3}, home=tmp_path / "home")
    assert len(RunFolder(folder).events()) > 0


def test_a_failed_first_task_leaves_a_folder_that_can_be_used(benchmark, tmp_path):
    _, settings = benchmark
    task = experiment.Task.from_folder(tmp_path / "colours")
    picture = tmp_path / "colours" / "train" / "one" / "0.png"
    good = picture.read_bytes()
    picture.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="unreadable"):
        experiment.learn(tmp_path / "learner", task, settings, home=tmp_path / "home")
    picture.write_bytes(good)
    again = experiment.Task.from_folder(tmp_path / "colours")
    other = {**settings, "seed": 5}
    result = experiment.learn(tmp_path / "learner", again, other, home=tmp_path / "home")
    assert result["tasks"] == ["colours"]


def test_a_run_folder_goes_on_learning(start, tmp_path):
    start("finetune")
    write_folder(tmp_path / "extra", ("four", "five"), seed=7)
    task = experiment.Task.from_folder(tmp_path / "extra")
    result = experiment.learn(tmp_path / "run", task, home=tmp_path / "home")
    assert result["tasks"] == ["colours", "shapes", "sounds", "extra"]


def test_a_folder_that_learned_something_else_is_not_continued(start, benchmark, tmp_path):
    path, settings = benchmark
    folder = tmp_path / "run"
    task = experiment.Task.from_folder(tmp_path / "shapes")
    config = {**settings, "method": "finetune"}
    experiment.learn(folder, task, config, home=tmp_path / "home")
    (folder / "config.yaml").write_text(
        yaml.safe_dump(experiment.resolve(path, "finetune", settings).model_dump(mode="json"))
    )
    with pytest.raises(ValueError, match="has learned shapes, which is not how mine begins"):
        start("finetune")


def test_a_generator_that_is_none_is_refused_before_any_work(start, tmp_path):
    with pytest.raises(ValueError, match="not a diffusers pipeline"):
        start("gift", synthesis={"generator": str(tmp_path)})
    assert not (tmp_path / "run" / "matrix.json").exists()


def test_nothing_to_measure_is_refused(benchmark, tmp_path):
    _, settings = benchmark
    task = experiment.Task.from_folder(tmp_path / "colours")
    experiment.learn(tmp_path / "learner", task, settings, home=tmp_path / "home")
    with pytest.raises(ValueError, match="give --task FOLDER or --benchmark NAME"):
        experiment.evaluate(tmp_path / "learner", [], home=tmp_path / "home")
