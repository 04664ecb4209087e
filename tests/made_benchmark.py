"""A user's own benchmark of three small tasks, and runs of it."""

from __future__ import annotations

import pytest
import yaml
from support import write_folder

from gift.benchmark import resolve, run
from gift.data import Paths


@pytest.fixture
def sequence(tmp_path, tiny_clip_folder, tiny_pipeline_folder):
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
    write_folder(tmp_path / "reference", ("fox", "owl"))
    settings = {
        "model": str(tiny_clip_folder),
        "reference": {"source": str(tmp_path / "reference"), "images": 6},
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
def paths(tmp_path):
    return Paths.of(tmp_path / "home")


@pytest.fixture
def start(sequence, tmp_path, paths):
    path, settings = sequence

    def start(method="gift", folder="run", **more):
        config = resolve(path, method, settings, more)
        return run(config, tmp_path / folder, paths=paths)

    return start
