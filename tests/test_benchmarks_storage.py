"""The measurement of generated and stored images goes through, on one task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import load_file

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "storage.py"


@pytest.mark.slow
def test_every_figure_is_there_and_the_images_are_those_of_a_task(tmp_path, capsys):
    storage, out = load_file(SCRIPT), tmp_path / "storage.json"
    arguments = ["--benchmarks", "micro-long", "--batches", "1", "--tasks", "1"]
    assert storage.main([*arguments, "--out", str(out)]) == 0
    found = json.loads(out.read_text())["benchmarks"]["micro-long"]
    (real,) = found["real"]
    assert real["images"] == 300  # ten aircraft, thirty pictures each
    assert 0.1 < real["mb"] < 2
    assert all(value > 0 for value in (*found["generated"].values(), *real.values()))
    assert storage.main(["--show", str(out)]) == 0
    assert "| real training images | 300 | 300 |" in capsys.readouterr().out
