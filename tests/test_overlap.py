"""GIFT's gain over the overlap between generator and model: its table and its picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import load_file

from gift_micro import GENERATORS

SCRIPT = Path(__file__).parents[1] / "scripts" / "overlap.py"
GAINED = {
    name: {"transfer": [1.0 + i, 3.0 + i], "avg": [2.0], "last": []}
    for i, name in enumerate(GENERATORS)
}


def report(recall: float) -> dict[str, object]:
    coverage = {"frechet_distance": 0.25, "precision": 0.875, "recall": recall}
    return {"title": "some pictures", "accuracy": {"overall": 91.26}, "coverage": coverage}


@pytest.fixture
def overlap():
    return load_file(SCRIPT)


def test_the_table_has_a_line_per_generator_and_dashes_for_what_is_missing(overlap):
    lines = overlap.table({"half": report(0.5)}, GAINED).splitlines()
    assert len(lines) == 2 + len(GENERATORS)
    assert lines[2].startswith("| shared | – | – | – | – | – | +2.0,")
    assert "| half | some pictures | 91.3 % | 0.500 | 0.875 | 0.250 | +3.0, " in lines[3]
    assert lines[3].endswith("| +2.0 | – |")


def test_the_picture_has_the_gains_over_the_recall(overlap):
    gained = {
        name: dict.fromkeys(("transfer", "avg", "last"), values)
        for name, values in {"shared": [1.0, 2.0], "clean": [4.0, 5.0]}.items()
    }
    figure = overlap.picture({"shared": report(0.9), "clean": report(0.3)}, gained)
    assert [axes.get_title() for axes in figure.axes] == ["Transfer", "Avg.", "Last"]
    for axes in figure.axes:
        line = axes.lines[0]
        assert list(line.get_xdata()) == [0.3, 0.9]
        assert list(line.get_ydata()) == [4.5, 1.5]
