from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from scipy import stats

from gift.cli import main


def summaries(result):
    return {
        row.label: [json.loads((run.folder / "summary.json").read_text()) for run in row.runs]
        for row in result.rows
    }


def test_a_table_comes_from_what_the_runs_wrote(compare, world):
    result = compare(seeds=(0, 1))
    measured = summaries(result)
    markdown, as_csv, as_json, *pictures = result.files
    assert not result.failures
    assert not pictures
    lines = list(csv.DictReader(as_csv.read_text().splitlines()))
    for line, (label, runs) in zip(lines, measured.items(), strict=True):
        first, second = (run["avg"] for run in runs)
        assert line["Row"] == label
        assert float(line["Avg."]) == pytest.approx((first + second) / 2, abs=1e-3)
        assert float(line["Avg. std"]) == pytest.approx(abs(first - second) / 2**0.5, abs=1e-3)
        assert line["Runs"] == "2"
    assert lines[1]["paper: Last"] == "75.9"
    text = markdown.read_text()
    assert "seeds 0, 1. Mean ± sample standard deviation" in text
    assert "All rows with model = " in text
    assert "training.iterations = 3" in text
    assert "paper (the paper): Transfer" in text
    assert "75.9 (" not in text.splitlines()[4]  # the reference has no difference to itself
    row = json.loads(as_json.read_text())["rows"][2]
    assert row["settings"]["method_settings.penalty_weight"] == 9.0
    assert row["seeds"] == [0, 1]
    assert row["paper"] == {}
    command = measured["strong"][0]["command"]
    assert command.startswith("gift run")
    assert "method_settings.penalty_weight=9.0" in command
    assert measured["strong"][0]["changes"]["method_settings.penalty_weight"] == 9.0


def test_differences_get_the_interval_of_paired_seeds(compare, world):
    result = compare(seeds=(0, 1, 2), entry={"intervals": True})
    base, strong = (
        [run["avg"] for run in summaries(result)[label]] for label in ("none", "strong")
    )
    paired = stats.ttest_rel(strong, base).confidence_interval(0.95)
    low, high = paired.low, paired.high
    cell = next(row for row in result.table.rows if row[0] == "strong")[2]
    between = f"({np.mean(strong) - np.mean(base):+.1f}, {low:+.1f} to {high:+.1f})"
    assert cell.endswith(between.replace("-", "−"))
    assert cell in result.files[0].read_text()
    assert "95 % interval over paired seeds" in result.heading


def test_only_the_table(compare):
    result = compare(workers=None, seeds=(0, 1, 2))
    assert "9 of 9 runs are missing." in result.table.notes
    assert result.table.rows[0][1:5] == ("–",) * 4


@pytest.mark.parametrize("width", [60, 80, 300])
def test_a_table_that_is_wider_than_the_terminal_is_cut_into_blocks(
    width, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", str(width))
    arguments = ["condu-settings", "--benchmark", "micro-1", "--out", str(tmp_path)]
    with pytest.raises(SystemExit):
        main(["experiment", *arguments, "--table-only"])
    shown = capsys.readouterr().out.split("\n\n", 1)[1].partition("7 of 7")[0]
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    blocks = shown.split("\n\n")
    assert (len(blocks) == 1) == (width == 300)
    assert all("ConDU" in block for block in blocks)
    assert {"70.8", "78.8", "87.1"} <= set(shown.split())


PICTURES = {
    "sweep": {"kind": "sweep", "setting": "method_settings.penalty_weight", "label": "weight"},
    "loss": {"kind": "loss", "loss": "task", "tasks": 2, "label": "loss"},
    "accuracy": {"kind": "accuracy", "label": "accuracy"},
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures(compare, kind):
    rows = [
        {"name": f"{w:g}", "method": "l2", "settings": {"method_settings": {"penalty_weight": w}}}
        for w in (1.0, 4.0)
    ]
    columns = ["avg", "first_task_last", "train_seconds", "peak_memory_mb", "forgetting"]
    result = compare(
        kind, rows=rows, entry={"figure": PICTURES[kind], "columns": columns}, seeds=(0, 1)
    )
    assert [path.suffix for path in result.files] == [".md", ".csv", ".json", ".png", ".pdf"]
    assert all(path.stat().st_size > 0 for path in result.files)
    first = summaries(result)["1"]
    wanted = np.mean([summary["seconds"]["train"] for summary in first])
    measured = result.to_json()["rows"][0]["measured"]
    assert measured["train_seconds"]["mean"] == pytest.approx(wanted)
    corner = np.mean([run.matrix.accuracy[-1][0] for run in result.rows[0].measured])
    assert measured["first_task_last"]["mean"] == pytest.approx(corner)
