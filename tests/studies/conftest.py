from __future__ import annotations

import pytest
import yaml
from made_results import make_result
from support import write_folder

from gift import studies
from gift.data import Paths


@pytest.fixture
def world(tmp_path, tiny_clip_folder, tiny_pipeline_folder):
    """A benchmark of two tasks and an experiment of three rows, with tiny models."""
    for number, name in enumerate(("colours", "shapes")):
        for split in ("train", "test"):
            write_folder(tmp_path / name / split, ("one", "two"), seed=number)
    (tmp_path / "base.txt").write_text("fox\nowl\n")
    tasks = [{"name": name, "source": {"path": name}} for name in ("colours", "shapes")]
    benchmark = {"name": "mine", "tasks": tasks, "base_classnames": "base.txt"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(benchmark))
    settings = {
        "model": str(tiny_clip_folder),
        "training": {"iterations": 3, "batch_size": 4, "warmup": 1, "log_every": 1},
        "synthesis": {
            "generator": str(tiny_pipeline_folder),
            "images": 5,
            "steps": 2,
            "batch_size": 3,
        },
    }
    return tmp_path, settings


@pytest.fixture
def compare(world):
    """Writes an experiment and makes it."""
    folder, settings = world

    def make(name="penalty", rows=None, entry=None, **more):
        rows = rows or [
            {"name": "none", "method": "finetune", "published": "Continual Finetune"},
            {"name": "weak", "method": "l2", "published": "l2 baseline"},
            {
                "name": "strong",
                "method": "l2",
                "settings": {"method_settings": {"penalty_weight": 9.0}},
            },
        ]
        values = {
            "name": name,
            "title": "Weight of the penalty",
            "benchmark": str(folder / "mine.yaml"),
            "published": [
                {
                    "table": "gift-paper/1",
                    "title": "the paper",
                    "benchmarks": [str(folder / "mine.yaml")],
                }
            ],
            "columns": ["transfer", "avg", "last"],
            "difference_to": "none" if rows[0]["name"] == "none" else None,
            "rows": rows,
            **(entry or {}),
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
        options = {"workers": studies.Workers(), "settings": settings, **more}
        return studies.compare(
            str(folder / f"{name}.yaml"),
            runs=folder / "runs",
            paths=Paths.of(folder / "home"),
            **options,
        )

    return make


@pytest.fixture
def per_dataset(tmp_path):
    """An experiment's tables from finished runs of GIFT with some settings."""

    def make(name, benchmark="micro-1", made=(), **more):
        for settings in made:
            make_result(tmp_path, benchmark, **settings)
        return studies.compare(name, benchmark=benchmark, runs=tmp_path, **more)

    return make
