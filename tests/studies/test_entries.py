from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from gift import studies
from gift.studies.entries import COLUMNS, published

PAPER = Path(__file__).parents[3] / "shared" / "reference" / "paper_results.json"


ENTRIES = {name: studies.load_experiment(name) for name in studies.experiment_names()}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_published_row_and_column_exists(name):
    entry = ENTRIES[name]
    named = [row for row in entry.rows if row.published]
    keys = [row.published for row in named]
    assert len(set(keys)) == len(keys)
    for figures in entry.published:
        for benchmark in figures.benchmarks:
            printed = [entry.printed(row, benchmark) for row in named]
            if name.startswith("table"):
                assert all(printed)
                assert len(printed) == len(entry.rows)
            for row in filter(None, printed):
                assert {"avg", "last"} <= set(row) or {"accuracy", "last"} <= set(row)


@pytest.mark.skipif(not PAPER.exists(), reason="the printed figures are not at hand")
def test_published_figures_are_those_of_the_papers():
    records = json.loads(PAPER.read_text())["records"]
    printed = sorted(
        (re.sub(r"/.*", "", r["table"]), str(r["metric"]), str(r["value"]))
        for r in records
        if r["table"].startswith(("gift-paper/", "condu-poster/"))
    )
    ours = sorted(
        (table.partition("/")[0], key.rpartition("/")[2], str(value))
        for table, rows in published().tables.items()
        if table.startswith(("gift-paper/", "condu-poster/"))
        for row in rows.values()
        for key, value in row.items()
    )
    assert ours == printed
    for record in records:
        if record["table"].startswith("gift-paper/") and "config" not in record:
            steps = f"/{record['steps']}" if "steps" in record else ""
            row = published().tables[record["table"] + steps][record["method"]]
            whole = steps or record["dataset"] == "average"
            key = record["metric"] if whole else f"{record['dataset']}/{record['metric']}"
            assert row[key] == record["value"]


def test_every_figure_has_a_source():
    sources = {table.partition("/")[0] for table in published().tables}
    assert sources == set(published().sources)


def test_misprints_are_figures_as_printed():
    for note in published().misprints:
        assert published().tables[note.table][note.row][note.what] == note.printed


def test_rows_that_differ_only_in_their_settings_have_their_own_printed_figures():
    tables = published().tables
    assert tables["gift-paper/5"]["GIFT, Synthetic†, 3000 images"]["avg"] == 75.9
    assert tables["gift-paper/6"]["EWC-V, 128 images"]["transfer"] == 66.8
    assert tables["gift-paper/7/50"]["ZSCL"] == {"avg": 79.92, "last": 67.36}
    assert tables["gift-paper/11"]["GIFT w/o AWC, 25 steps"]["last"] == 84.8
    assert tables["gift-paper/12"]["large, 3000 images"]["transfer"] == 68.8


WRONG = {
    "rows: [{name: a, methd: l2}]": "unknown setting 'methd'. Did you mean 'method'",
    "rows: []": "rows",
    "difference_to: b": "is the name of no row",
    "columns: [averge]": "columns",
    "{per_dataset: true, columns: [forgetting]}": "needs one of the columns transfer, avg, last",
    "figure: {kind: sweep, label: x}": "figure.setting is missing",
    "figure: {kind: landscape, unlearned: x, gird: 3}": "'gird'. Did you mean 'figure.grid'",
    "figure: {kind: landscape, unlearned: x}": "'landscape' needs two rows",
    "figure: {kind: swep}": "'sweep', 'loss'",
    "columns: []": "only a picture of kind 'samples' needs no runs",
    "{orders: true, difference_to: a}": "orders goes with neither per_dataset nor difference_to",
    "published: [{table: gift-paper/3, title: x}]": "published[0].benchmarks is missing",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_entry_is_refused(text, tmp_path):
    right = {
        "name": "mine",
        "title": "Mine",
        "benchmark": "micro-1",
        "columns": ["avg"],
        "rows": [{"name": "a", "method": "l2"}],
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(right | yaml.safe_load(text)))
    with pytest.raises(ValueError, match=re.escape(WRONG[text])):
        studies.load_experiment(str(tmp_path / "mine.yaml"))


def test_the_example_of_the_page_is_an_experiment(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "experiments.md"
    (block,) = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "penalty.yaml").write_text(block)
    entry = studies.load_experiment(str(tmp_path / "penalty.yaml"))
    rows = studies.plan(entry, entry.benchmark, seeds=[0], runs=tmp_path)
    assert [row.label for row in rows] == ["weak", "strong, 60 steps"]
    named = set(re.findall(r"`([\w-]+)`", page.read_text()))
    assert set(ENTRIES) <= named
    assert set(COLUMNS) <= named


def test_a_reference_to_no_printed_row_is_refused_before_any_run(compare, tmp_path):
    rows = [{"name": "weak", "method": "l2", "published": "l2 bseline"}]
    with pytest.raises(ValueError, match="Did you mean 'l2 baseline'"):
        compare(rows=rows)
    assert not (tmp_path / "runs").exists()
