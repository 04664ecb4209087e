"""Recorded losses of short trainings with the shipped models.

A change that should not alter numbers must leave these alone. One that should: run this file as a
script to record them anew, and say why in the commit.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest

from gift import Learner, Task
from gift.micro.images import make_dataset
from gift.runs import RunFolder

RECORDED = Path(__file__).parent / "data_files" / "trajectories.json"


def trajectory(method: str, home: Path) -> list[dict[str, float]]:
    """The named losses of five steps on each of two tasks of the tiny world."""
    learner = Learner.from_pretrained(
        "builtin:micro/clip",
        method=method,
        generator="builtin:micro/diffusion",
        home=home,
        training={
            "iterations": 5,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "warmup": 1,
            "log_every": 1,
        },
        synthesis={"images": 12, "steps": 3, "guidance": 4.0, "base_classnames": "micro-base"},
    )
    run = RunFolder(home / f"run-{method}")
    run.path.mkdir(parents=True)
    for name in ("micro-eurosat", "micro-mnist"):
        make_dataset(name, home / name)
        learner.learn(Task.from_folder(home / name), folder=run)
    return [event["losses"] for event in run.events() if "losses" in event]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["finetune", "l2", "gift"])
def test_losses_are_those_that_were_recorded(method, tmp_path):
    recorded = json.loads(RECORDED.read_text())[method]
    measured = trajectory(method, tmp_path)
    assert len(measured) == len(recorded) == 10
    for now, then in zip(measured, recorded, strict=True):
        assert now == pytest.approx(then, rel=2e-3, abs=2e-5)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = {m: trajectory(m, Path(folder) / m) for m in ("finetune", "l2", "gift")}
    RECORDED.write_text(json.dumps(found, indent=1) + "\n")
    sys.stdout.write(f"recorded in {RECORDED}\n")
