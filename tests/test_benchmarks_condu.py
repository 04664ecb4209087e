"""The measurement of ConDU's cost goes through, on a tiny model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support import load_file

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def condu(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    return load_file(FOLDER / "condu.py")


def test_every_figure_is_there_and_storage_grows_by_a_bit_per_weight(condu, tmp_path, capsys):
    out = tmp_path / "figures" / "condu.json"
    arguments = ["--model", "tiny", "--tasks", "1", "3", "--batch", "4", "--rounds", "1"]
    assert condu.main([*arguments, "--out", str(out)]) == 0
    first, second = json.loads(out.read_text())["rows"]
    assert all(value > 0 for row in (first, second) for value in row.values())
    weights = second["memory"] / 3  # float32, in MB
    grown = (second["kept"] - first["kept"]) / 2
    assert weights / 32 < grown < weights / 32 + 2e-3
    capsys.readouterr()
    assert condu.main(["--show", str(out)]) == 0
    assert capsys.readouterr().out.count("\n| ") == 3
