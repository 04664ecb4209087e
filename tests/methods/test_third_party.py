"""A method of another package: installed as a wheel, found by its entry point, run like any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import pytest
from support import write_folder

MODULE = '''
"""Fine-tuning that stops at every other step."""

from pydantic import Field

from gift.methods import Method, MethodSettings
from gift.methods.objectives import TaskLoss


class LazySettings(MethodSettings):
    """Fine-tuning with a pause."""

    pause: int = Field(2, ge=1, description="steps between two updates")


class Lazy(Method):
    """Fine-tuning that updates the weights at every ``pause``-th step."""

    Settings = LazySettings

    def begin_task(self, model, task):
        self._task_loss, self._count = TaskLoss(model, task), 0

    def step(self, model, batch, backward):
        loss = self._task_loss(model, batch["task"])
        backward(loss)
        return {"task": loss}

    def update(self, model, optimizer):
        self._count += 1
        if self._count % self.settings.pause == 0:
            optimizer.step()
'''
INFO = "lazy_gift-1.0.dist-info"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a machine on which the package ``lazy-gift`` is installed."""
    folder = tmp_path_factory.mktemp("third-party")
    wheel = folder / "lazy_gift-1.0-py3-none-any.whl"
    files = {
        "lazy_gift.py": MODULE,
        f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: lazy-gift\nVersion: 1.0\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": "[gift.methods]\nlazy = lazy_gift:Lazy\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{INFO}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in {**files, f"{INFO}/RECORD": record}.items():
            archive.writestr(name, content)
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


SCRIPT = """
import json, sys
from gift.cli import main

for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as end:
        print("exit", end.code)
"""


@pytest.mark.slow
def test_it_is_listed_checked_and_learns_like_any_method(installed, tmp_path, tiny_clip_folder):
    task, learner = write_folder(tmp_path / "task"), str(tmp_path / "learner")
    settings = {"iterations": 2, "batch_size": 4, "warmup": 0}
    options = [f"--set=training.{key}={value}" for key, value in settings.items()]
    options += ["--set=method_settings.pause=1", "--model", str(tiny_clip_folder)]
    commands = [
        ["methods"],
        ["methods", "lazy"],
        ["run", "micro-1", "--method", "lazy", "--set", "method_settings.puase=1"],
        ["learn", learner, "--task", str(task), "--method", "lazy", *options],
        ["eval", learner, "--task", str(task), "--json"],
    ]
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        env=installed,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert "Fine-tuning that updates" in found.stdout  # in the list
    assert "steps between two updates" in found.stdout
    assert "Did you mean 'method_settings.pause'" in found.stderr
    assert found.stdout.count("exit 1") == 1  # the wrong setting alone is refused
    measured, _ = json.JSONDecoder().raw_decode(found.stdout[found.stdout.index("{") :])
    assert {one["task"] for one in measured["accuracy"]} == {"task"}
    saved = next((tmp_path / "learner").rglob("method.json"))
    assert json.loads(saved.read_text())["method"] == "lazy"  # the name it was asked for by
