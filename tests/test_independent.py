"""Methods whose tasks do not look at one another: trained side by side, merged in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support import write_folder

from gift import benchmark as experiment
from gift.data import load_benchmark
from gift.learner import Learner
from gift.methods import method_class, method_names
from gift.preparation import open_tasks
from gift.runs import RunFolder

INDEPENDENT = [name for name in method_names() if method_class(name).independent]
TASKS = ("colours", "shapes", "sounds")


@pytest.fixture(scope="module")
def settings_file(tmp_path_factory, tiny_clip_folder):
    """Settings for a tiny model, beside a benchmark of three tasks."""
    folder = tmp_path_factory.mktemp("independent")
    tasks = {}
    for number, name in enumerate(TASKS):
        for part in ("train", "test"):
            write_folder(folder / name / part, seed=number)
        tasks[name] = {"source": {"path": name}}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", "tasks": tasks}))
    settings = {
        "model": str(tiny_clip_folder),
        "training": {"iterations": 3, "batch_size": 4, "learning_rate": 1e-3, "warmup": 1},
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    return folder / "settings.yaml"


def configuration(settings_file, method):
    settings = yaml.safe_load(settings_file.read_text())
    return experiment.resolve(str(settings_file.with_name("mine.yaml")), method, settings)


def run_alone(settings_file, method, out):
    home = settings_file.parent / "home"
    return experiment.run(configuration(settings_file, method), out, home=home)


def result(folder):
    return (
        load_file(folder / "learner" / "method.safetensors"),
        json.loads((folder / "matrix.json").read_text()),
    )


def same(first, second):
    (tensors, matrix), (others, other_matrix) = first, second
    assert tensors.keys() == others.keys()
    for key, tensor in tensors.items():
        if key.startswith("prototypes/"):  # encoded in shares, which round differently
            torch.testing.assert_close(others[key], tensor)
        else:
            assert torch.equal(others[key], tensor), key
    assert matrix == other_matrix


def together(settings_file, method, out):
    """The same run on two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["-m", "gift", "run", str(settings_file.with_name("mine.yaml")), "--method", method]
    command += ["--config", str(settings_file), "--out", str(out)]
    environment = {"OMP_NUM_THREADS": "1", "GIFT_HOME": str(settings_file.parent / "home")}
    found = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return [
        event
        for line in (out / "events.jsonl").read_text().splitlines()
        if "step" in (event := json.loads(line))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("method", INDEPENDENT)
def test_two_processes_train_tasks_side_by_side_and_merge_what_one_merges(
    settings_file, tmp_path, method
):
    run_alone(settings_file, method, tmp_path / "alone")
    events = together(settings_file, method, tmp_path / "together")
    same(result(tmp_path / "alone"), result(tmp_path / "together"))
    # Three tasks of three steps, each step once: no task was trained a second time to be merged.
    assert sorted(event["task"] for event in events) == sorted(TASKS * 2)
    assert not list((tmp_path / "together").glob("tasks/*/checkpoint"))


def test_what_was_trained_ahead_is_only_merged(settings_file, tmp_path):
    """As when a run on several processes is stopped after their training, and ends on one."""
    config = configuration(settings_file, "condu")
    learner = Learner(config, home=settings_file.parent / "home")
    tasks = open_tasks(load_benchmark(config.benchmark).datasets(), learner.data_root, 0)
    folder = RunFolder(tmp_path / "stopped")
    with folder.writing():
        learner.train_ahead(tasks, folder)
    assert learner.memory == ()
    before = [event for event in folder.events() if "step" in event]
    run_alone(settings_file, "condu", tmp_path / "stopped")
    assert [event for event in folder.events() if "step" in event] == before
    run_alone(settings_file, "condu", tmp_path / "alone")
    same(result(tmp_path / "alone"), result(tmp_path / "stopped"))
