"""Recorded losses of short trainings with the shipped models.

A change that should not alter numbers must leave these alone. One that should: run this file as a
script to record them anew, and say why in the commit.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from gift import Learner, Task
from gift.data import Paths
from gift.methods import method_class, method_names
from gift.runs import RunFolder
from gift_micro.images import make_dataset

RECORDED = Path(__file__).parent / "data_files" / "trajectories.json"
METHODS = [name for name in method_names() if method_class(name).trains]


def trajectory(method: str, home: Path, data: Path) -> list[dict[str, float]]:
    """The named losses of five steps on each of two tasks of the micro benchmark."""
    learner = Learner.from_pretrained(
        "builtin:micro/clip",
        method=method,
        generator="builtin:micro/diffusion",
        paths=Paths.of(home),
        training={
            "iterations": 5,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "warmup": 1,
            "log_every": 1,
        },
        synthesis={"images": 12, "steps": 3, "guidance": 4.0, "base_classnames": "micro-base"},
        reference={"source": "synthetic"},
    )
    run = RunFolder(home / f"run-{method}")
    run.path.mkdir(parents=True)
    for name in ("micro-eurosat", "micro-mnist"):
        make_dataset(name, data / name)
        learner.learn(Task.from_folder(data / name), folder=run)
    return [event.losses for event in run.events() if event.losses]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_losses_are_those_that_were_recorded(method, tmp_path, tmp_path_factory):
    recorded = json.loads(RECORDED.read_text())[method]
    base = tmp_path_factory.getbasetemp()
    data = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # one for all processes
    measured = trajectory(method, tmp_path, data / "trajectories")
    assert len(measured) == len(recorded) == 10
    for now, then in zip(measured, recorded, strict=True):
        assert now == pytest.approx(then, rel=2e-3, abs=2e-5)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found = {m: trajectory(m, root / m, root / "data") for m in METHODS}
    RECORDED.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(f"recorded in {RECORDED}\n")
