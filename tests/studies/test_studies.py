from __future__ import annotations

import csv
import json
import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats
from support import write_folder

from gift import studies
from gift.benchmark import resolve, run
from gift.cli.experiments import _print_result
from gift.data import Paths
from gift.learner import Learner
from gift.progress import listening
from gift.runs import RunFolder, Summary
from gift.settings import fingerprint
from gift.studies.entries import published
from gift.studies.table import COLUMNS

RUNS = Path("runs")
RESULTS = Path(__file__).parents[2] / "results"
PAPER = Path(__file__).parents[3] / "shared" / "reference" / "paper_results.json"
ENTRIES = {name: studies.load_experiment(name) for name in studies.experiment_names()}
TINY = {"table2": "micro-2", "table10": "micro-2", "table7": "micro-cil", "table8": "micro-cil"}


def planned(name, seeds=(0,), **more):
    return studies.plan(ENTRIES[name], TINY.get(name, "micro-1"), seeds=seeds, runs=RUNS, **more)


planned_once = cache(planned)


# What is shipped


@pytest.mark.parametrize("name", ENTRIES)
def test_every_shipped_experiment_can_be_run_on_the_micro_benchmark(name):
    rows = planned_once(name)
    assert len(rows) == len(ENTRIES[name].rows)
    assert len({row.runs[0].folder for row in rows}) == len(rows)
    assert ENTRIES[name].name == name
    assert all("{" not in row.label for row in rows)


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


def test_rows_share_a_folder_exactly_where_they_mean_the_same_run():
    by_folder, by_settings = {}, {}
    for name in ENTRIES:
        for row in planned_once(name):
            run = row.runs[0]
            settings = fingerprint(run.config)
            assert by_folder.setdefault(run.folder, settings) == settings
            assert by_settings.setdefault(settings, run.folder) == run.folder
            assert re.fullmatch(r"[a-z0-9_]+(-[0-9a-f]{8})?-seed0", run.folder.name)
    folders = {name: {row.runs[0].folder for row in planned_once(name)} for name in ENTRIES}
    assert Path("runs/micro-1/gift-seed0") in folders["table3"] & folders["table6"]
    without_awc = resolve("micro-1", "gift", {"method_settings": {"consolidation": "l2"}})
    shared = studies.default_folder(without_awc, RUNS)
    for name in ("table3", "table4a", "table4b", "table4c", "table5", "table11", "table12"):
        assert shared in folders[name]


def test_a_row_without_settings_of_its_own_is_the_run_of_gift_run():
    (row,) = planned("table1", rows=["GIFT"], seeds=[3])
    config = resolve("micro-1", "gift", {"seed": 3})
    assert row.runs[0].config == config
    assert row.runs[0].changes == {}
    assert row.runs[0].folder == studies.default_folder(config, RUNS)
    assert row.runs[0].folder == Path("runs/micro-1/gift-seed3")


def test_a_folder_is_named_by_what_changes_the_numbers():
    def name(**settings):
        return studies.default_folder(resolve("micro-1", "gift", settings), RUNS).name

    assert name(training={"workers": 2, "warmup": 6}) == "gift-seed0"
    changed = name(method_settings={"beta": 0.5}), name(method_settings={"beta": 0.5}, seed=1)
    assert changed[0].replace("seed0", "seed1") == changed[1]
    assert re.fullmatch("gift-[0-9a-f]{8}-seed0", changed[0])
    assert name(method_settings={"beta": 0.6}) != changed[0]


KEPT = sorted(RESULTS.glob("micro-*/*/config.yaml"))


def test_every_kept_result_is_found_by_its_configuration():
    """Whatever its folder is called: many are called after their settings."""
    for benchmark in {path.parent.parent for path in KEPT}:
        found = studies.find_runs(benchmark).values()
        assert sorted(found) == [path.parent for path in KEPT if path.parent.parent == benchmark]


def test_kept_results_fill_all_rows_of_an_experiment():
    rows = studies.plan(ENTRIES["table3"], "micro-1", seeds=[0], runs=RESULTS)
    assert all(row.runs[0].finished for row in rows)
    assert {"gift-seed0", "gift+consolidation=l2-seed0"} <= {r.runs[0].folder.name for r in rows}
    options = {"seeds": range(3), "rows": ["GIFT", "Zero-shot"], "redraw": True}
    rows = studies.plan(ENTRIES["comparison"], "micro-2", runs=RESULTS, **options)
    assert all(run.finished for row in rows for run in row.runs)


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


# Plans


def test_the_names_of_the_first_task_are_filled_in():
    run = planned("figure7")[1].runs[0]
    assert run.config.synthesis.exclude == ("micro-aircraft",)
    entry = ENTRIES["figure7"]
    rows = studies.plan(
        entry, "micro-1", seeds=[0], runs=RUNS, settings={"tasks": ["micro-mnist", "micro-dtd"]}
    )
    assert rows[1].runs[0].config.synthesis.exclude == ("micro-dtd",)


def test_what_learns_nothing_is_run_once_unless_the_data_differ():
    rows = {row.label: row for row in planned("table1", seeds=(0, 1, 2))}
    assert [len(rows[name].runs) for name in ("Zero-shot", "GIFT")] == [1, 3]
    redrawn = {row.label: row for row in planned("table1", seeds=(0, 1, 2), redraw=True)}
    assert [run.config.draw for run in redrawn["Zero-shot"].runs] == [0, 1, 2]
    assert redrawn["GIFT"].runs[0].folder == rows["GIFT"].runs[0].folder
    assert redrawn["GIFT"].runs[2].changes == {"draw": 2}
    with pytest.raises(ValueError, match="remove 'draw'"):
        planned("table1", settings={"draw": 2}, redraw=True)


@pytest.mark.parametrize("key", ["seed", "method", "benchmark"])
def test_what_the_rows_decide_cannot_be_set(key):
    with pytest.raises(ValueError, match=f"sets '{key}' itself"):
        planned("table1", settings={key: 1})


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'table3'"):
        studies.load_experiment("table33")
    with pytest.raises(ValueError, match="Did you mean 'GIFT'"):
        planned("table1", rows=["GIFTS"])
    with pytest.raises(ValueError, match="Did you mean 'alpha'"):
        planned("table4c", settings={"method_settings": {"alpa": 1}})


WRONG = {
    "rows: [{name: a, methd: l2}]": "unknown setting 'methd'. Did you mean 'method'",
    "rows: []": "rows",
    "difference_to: b": "is the name of no row",
    "columns: [averge]": "columns",
    "{per_dataset: true, columns: [forgetting]}": "needs one of the columns transfer, avg, last",
    "figure: {kind: sweep, label: x}": "needs 'setting'",
    "published: [{table: gift-paper/3, title: x}]": r"published.0.benchmarks is missing",
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
    rows = studies.plan(entry, entry.benchmark, seeds=[0], runs=RUNS)
    assert [row.label for row in rows] == ["weak", "strong, 60 steps"]
    named = set(re.findall(r"`([\w-]+)`", page.read_text()))
    assert set(ENTRIES) <= named
    assert set(COLUMNS) <= named


# Runs


@pytest.fixture
def world(tmp_path, tiny_clip_folder, tiny_pipeline_folder):
    """A benchmark of two tasks and an experiment of three rows, with tiny models."""
    for number, name in enumerate(("colours", "shapes")):
        for part in ("train", "test"):
            write_folder(tmp_path / name / part, ("one", "two"), seed=number)
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


def summaries(result):
    return {
        row.label: [json.loads((run.folder / "summary.json").read_text()) for run in row.runs]
        for row in result.planned
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


def test_nothing_is_run_twice_and_other_experiments_share_the_runs(compare, monkeypatch):
    first = compare(rows=[{"name": "weak", "method": "l2"}])
    monkeypatch.setattr(Learner, "learn", None)
    again = compare(rows=[{"name": "weak", "method": "l2"}])
    other = compare(
        "other",
        rows=[
            {"name": "a", "method": "l2", "settings": {"method_settings": {"penalty_weight": 1.0}}}
        ],
    )
    assert again.table.rows == first.table.rows
    assert other.planned[0].runs[0].folder == first.planned[0].runs[0].folder
    assert other.rows[0].runs


def test_a_failed_row_does_not_stop_the_others_and_goes_on_later(compare, monkeypatch):
    def fail_sometimes(config, folder, **more):
        if config.method_settings.model_dump().get("penalty_weight") == 9.0:
            raise RuntimeError("out of something")
        return run(config, folder, **more)

    monkeypatch.setattr("gift.studies.work.run", fail_sometimes)
    result = compare()
    (reason,) = result.failures.values()
    assert reason == "RuntimeError: out of something"
    assert [len(row.runs) for row in result.rows] == [1, 1, 0]
    assert "1 of 3 runs are missing." in result.table.notes
    monkeypatch.undo()
    assert not compare().failures


class Killed(BaseException):
    """Not an Exception, as when a process is stopped."""


def test_a_killed_experiment_goes_on_where_it_was(compare, world):
    stages = []

    def kill(stage, done, total):
        stages.append(stage)
        if stages.count("learning shapes") == 2:
            raise Killed

    rows = [{"name": "only", "method": "l2"}]
    with pytest.raises(Killed), listening(kill):
        compare(rows=rows)
    unfinished = compare(rows=rows, workers=None)
    assert unfinished.rows[0].runs == ()
    stages.clear()
    with listening(lambda stage, *_: stages.append(stage)):
        result = compare(rows=rows)
    assert "learning colours" not in stages
    assert stages.count("runs") == 2
    assert result.rows[0].runs


def test_only_the_table(compare):
    result = compare(workers=None, seeds=(0, 1, 2))
    assert "9 of 9 runs are missing." in result.table.notes
    assert result.table.rows[0][1:5] == ("–",) * 4


def test_a_folder_with_other_settings_is_not_taken_for_the_row(compare, world):
    _, settings = world
    rows = [{"name": "weak", "method": "l2"}]
    shorter = {**settings, "training": {**settings["training"], "iterations": 2}}
    other = compare(rows=rows, settings=shorter).planned[0].runs[0].folder
    other.rename(compare(rows=rows, workers=None).planned[0].runs[0].folder)
    again = compare(rows=rows)
    assert again.rows[0].runs == ()
    (reason,) = again.failures.values()
    assert "training.iterations is 2 there and 3 here" in reason


def test_what_is_kept_makes_the_same_table(compare, tmp_path):
    result = compare(seeds=(0, 1))
    kept = studies.keep(result.planned, tmp_path / "results")
    assert len(kept) == 6
    files = {path.name for path in kept[0].iterdir()}
    assert files == {"config.yaml", "summary.json", "matrix.json", "env.json", "data.json"}
    shutil.rmtree(tmp_path / "runs" / "mine")
    shutil.copytree(tmp_path / "results" / "mine", tmp_path / "runs" / "mine")
    assert compare(workers=None, seeds=(0, 1)).table.rows == result.table.rows


def test_kept_results_make_the_tables_of_the_pages(tmp_path):
    for name in ("gift", "l2"):
        source = Path(__file__).parents[2] / "results" / "micro-1" / f"{name}-seed0"
        shutil.copytree(source, tmp_path / "micro-1" / source.name)
    table = studies.experiment_table("table3", "micro-1", tmp_path, (0, 1))
    gift = next(line for line in table.splitlines() if line.startswith("| CD + ITA + AWC"))
    assert "1 of 2" in gift
    assert "69.3 (+8.3)" in gift
    assert "misprint" not in table.lower()


def test_misprints_are_marked_and_explained(tmp_path):
    table = studies.experiment_table("table2", "micro-2", tmp_path, (0,))
    assert "68.3 (−3.9†)" in table
    assert "† Misprint: -3.9 is printed, -8.9 expected" in table
    table = studies.experiment_table("table7", "micro-cil", tmp_path, (0,))
    assert "65.92†" in table


def test_differences_of_the_paper_are_taken_to_the_same_row(tmp_path):
    table = studies.experiment_table("consolidation", "micro-1", tmp_path, (0,))
    assert "| 68.9 (−0.4) | 76.6 (−0.7) | 85.0 (−1.0) |" in table


def test_figures_of_a_benchmark_stand_beside_its_own(tmp_path):
    assert "85.3" in studies.experiment_table("comparison", "micro-2", tmp_path, (0,))
    assert "86.0" in studies.experiment_table("comparison", "micro-1", tmp_path, (0,))


def test_where_several_papers_print_figures_the_table_says_which(tmp_path):
    result = studies.compare("condu-settings", benchmark="micro-1", runs=tmp_path)
    lines = {row[0]: list(row[-3:]) for row in result.table.rows}
    assert lines["GIFT"] == ["69.3", "77.3", "86.0"]
    assert lines["ConDU (LoRA)"] == ["70.3", "78.3", "86.2"]
    assert (
        "Printed figures: gift-paper (Zero-shot, Continual Finetune, l2 baseline, GIFT); "
        "condu-poster (Zero-shot, ZSCL, ConDU (FT), ConDU (LoRA))."
    ) in result.table.notes


SUMMARIES = {
    "micro-1-agnostic": [["78.1", "86.4"], ["78.0", "85.1"]],
    "micro-1-fewshot": [["70.0", "72.3", "76.6"], ["70.3", "72.7", "77.4"]],
}


@pytest.mark.parametrize("benchmark", SUMMARIES)
def test_figures_of_a_setting_stand_beside_its_benchmark_alone(benchmark, tmp_path):
    result = studies.compare("condu-settings", benchmark=benchmark, runs=tmp_path)
    printed = len(SUMMARIES[benchmark][0])
    lines = {row[0]: list(row[-printed:]) for row in result.table.rows}
    assert [lines["ConDU (FT)"], lines["ConDU (LoRA)"]] == SUMMARIES[benchmark]
    assert lines["GIFT"] == ["–"] * printed
    assert "from summaries of the paper" in result.heading


def test_no_figures_stand_beside_the_strict_reading_of_a_hidden_task(tmp_path):
    result = studies.compare("condu-settings", benchmark="micro-1-agnostic-union", runs=tmp_path)
    assert not any("paper" in head for head in result.table.header)


@pytest.mark.parametrize("width", [60, 80, 300])
def test_a_table_that_is_wider_than_the_terminal_is_cut_into_blocks(
    width, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", str(width))
    result = studies.compare("condu-settings", benchmark="micro-1", runs=tmp_path)
    _print_result(result)
    shown = capsys.readouterr().out.split("\n\n", 1)[1].partition("7 of 7")[0]
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    blocks = shown.split("\n\n")
    assert (len(blocks) == 1) == (width == 300)
    assert all("ConDU" in block for block in blocks)
    assert {"70.8", "78.8", "87.1"} <= set(shown.split())


# Per data set


@pytest.fixture
def per_dataset(tmp_path):
    """An experiment's tables from kept results of the micro benchmark."""

    def make(name, benchmark="micro-1", folders=(), **more):
        for folder in folders:
            source = Path(__file__).parents[2] / "results" / benchmark / folder
            shutil.copytree(source, tmp_path / benchmark / folder)
        return studies.compare(name, benchmark=benchmark, runs=tmp_path, **more)

    return make


def lines_of(table):
    return {row[0]: list(row[1:]) for row in table.rows}


def test_a_column_per_data_set_and_metric(per_dataset):
    folders = ["gift-seed0", "gift+draw=1-seed1"]
    result = per_dataset("table9", folders=folders, seeds=(0, 1), redraw=True)
    runs = [row.runs for row in result.rows if row.label == "GIFT"]
    one, two = (np.array(run.matrix.accuracy) for run in runs[0])
    transfer, avg, last = (lines_of(table)["GIFT"] for table in result.per_dataset)
    assert [table.name for table in result.per_dataset] == [
        "table9-transfer",
        "table9-avg",
        "table9-last",
    ]
    assert transfer[0] == "–"
    for j in range(11):
        for cell, (a, b) in (
            (avg[j], (one[:, j].mean(), two[:, j].mean())),
            (last[j], (one[-1, j], two[-1, j])),
            *([(transfer[j], (one[:j, j].mean(), two[:j, j].mean()))] if j else []),
        ):
            assert cell == f"{(a + b) / 2:.1f} ± {abs(a - b) / 2**0.5:.1f}"
    means = list(result.table.rows[-1][1:4])
    assert [transfer[-2], avg[-2], last[-2]] == means
    assert transfer[-1] == "2"


def test_printed_figures_stand_below_their_data_sets(per_dataset):
    result = per_dataset("table10", "micro-2")
    transfer, avg, last = map(lines_of, result.per_dataset)
    header = result.per_dataset[0].header
    assert header[1:3] == ("micro-stanfordcars", "micro-food")
    assert header[-2:] == ("Mean", "Runs")
    assert transfer["paper: GIFT"][:3] == ["–", "88.3", "63.4"]
    assert avg["paper: GIFT"][:2] == ["83.2", "90.8"]
    assert last["paper: GIFT"][-3:] == ["86.6", "85.3", "–"]
    for row in ("GIFT", "ZSCL", "iCaRL"):
        for table, metric in ((transfer, "transfer"), (avg, "avg"), (last, "last")):
            figures = published().tables["gift-paper/10"][row]
            keys = [f"{name.removeprefix('micro-')}/{metric}" for name in header[1:-2]]
            wanted = [f"{figures[k]:.1f}" if k in figures else "–" for k in (*keys, metric)]
            assert table[f"paper: {row}"][:-1] == wanted


def test_an_accuracy_without_a_metric_is_the_last_and_all_of_a_model_that_stays(per_dataset):
    transfer, avg, last = map(lines_of, per_dataset("condu-table").per_dataset)
    assert last["paper: Individual FT"][0] == "62.0"
    assert "paper: Individual FT" not in transfer
    assert "paper: Individual FT" not in avg
    for table in (avg, last):
        assert table["paper: Zero-shot"][:2] == ["24.3", "88.4"]
        assert table["paper: Zero-shot"][-2] == "65.3"
    assert transfer["paper: Zero-shot"][:2] == ["–", "88.4"]
    assert transfer["paper: Zero-shot"][-2] == "69.4"  # Table 1 of GIFT has it


def test_misprints_are_marked_where_they_stand(per_dataset):
    transfer, avg, last = per_dataset("condu-table").per_dataset
    marked = {
        name: [cell for cell in cells if "†" in cell] for name, cells in lines_of(avg).items()
    }
    assert marked["paper: ConDU (FT)"] == ["68.6†"]
    assert marked["paper: ConDU (LoRA)"] == ["77.3†", "69.3†"]
    assert len(avg.notes) == 3
    assert transfer.notes == last.notes == ()
    (note,) = per_dataset("table10", "micro-2").per_dataset[2].notes
    assert note.startswith("† Misprint: 94.7 is printed, 99.6 expected")


def test_tables_per_data_set_are_written(per_dataset):
    result = per_dataset("condu-table", folders=["gift-seed0"])
    text = {path.name: path.read_text() for path in result.files}
    assert list(text) == [
        "condu-table.md",
        "condu-table.csv",
        *(f"condu-table-{metric}.csv" for metric in ("transfer", "avg", "last")),
        "condu-table.json",
    ]
    titles = re.findall(r"\*\*(.*)\*\*", text["condu-table.md"])
    assert titles == [f"{name} per data set" for name in ("Transfer", "Avg.", "Last")]
    assert text["condu-table.md"].endswith(result.per_dataset[2].markdown())
    (gift,) = (row for row in json.loads(text["condu-table.json"])["rows"] if row["seeds"])
    matrix = np.array(result.rows[3].runs[0].matrix.accuracy)
    assert gift["measured"]["micro-dtd/last"] == {"mean": matrix[-1, 3], "std": None}
    assert gift["measured"]["micro-aircraft/transfer"] is None
    assert gift["paper"]["dtd/last"] == 75.1
    lines = list(csv.DictReader(text["condu-table-last.csv"].splitlines()))
    assert [line["Row"] for line in lines][:3] == ["Zero-shot", "paper: Zero-shot", "Individual FT"]
    own, paper = (line["micro-dtd"] for line in lines if "GIFT" in line["Row"])
    assert (float(own), float(paper)) == (pytest.approx(matrix[-1, 3], abs=1e-3), 75.1)


def test_a_benchmark_of_fewer_tasks_keeps_their_columns(per_dataset):
    settings = {"tasks": ["micro-dtd", "micro-mnist"]}
    table = per_dataset("condu-table", settings=settings).per_dataset[2]
    assert table.header == ("Row", "micro-dtd", "micro-mnist", "Mean", "Runs")
    assert lines_of(table)["paper: GIFT"] == ["75.1", "99.2", "86.0", "–"]


def test_data_sets_that_no_paper_has_get_no_printed_figures(compare):
    result = compare(rows=[{"name": "weak", "method": "l2"}], entry={"per_dataset": True})
    transfer, _, last = map(lines_of, result.per_dataset)
    matrix = result.rows[0].runs[0].matrix.accuracy
    assert list(transfer) == list(last) == ["weak"]
    assert transfer["weak"] == ["–", *[f"{matrix[0][1]:.1f}"] * 2, "1"]


# Costs


def test_what_a_method_stores_and_its_times(compare):
    columns = ["method_mb", "extra_parameters", "merge_seconds", "evaluate_seconds"]
    rows = [{"name": "weak", "method": "l2"}]
    folder = RunFolder(compare(rows=rows).planned[0].runs[0].folder)
    values = folder.read_summary().model_dump()
    values["seconds"] |= {"merge": 0.25, "evaluate": 3.5}
    values["storage"] = {
        "model_bytes": 7,
        "method_bytes": 12_345_678,
        "extra_parameters": 1_234_567,
    }
    folder.write_summary(Summary.model_validate(values))
    table = compare(rows=rows, entry={"columns": columns}, workers=None).table
    assert table.header[1:5] == (
        "Stored (MB) ↓",
        "Extra parameters ↓",
        "Merging (s) ↓",
        "Evaluation (s) ↓",
    )
    assert table.rows[0][1:5] == ("12.35", "1,234,567", "0.25", "3.5")
    del values["storage"], values["seconds"]["merge"]
    folder.write_summary(Summary.model_validate(values))
    table = compare(rows=rows, entry={"columns": columns}, workers=None).table
    assert table.rows[0][1:5] == ("–", "–", "–", "3.5")


def test_differences_are_taken_over_common_seeds(compare):
    rows = [{"name": "none", "method": "finetune"}, {"name": "weak", "method": "l2"}]
    made = compare(seeds=(0, 1, 2), rows=rows)
    none, weak = (summaries(made)[name][1]["avg"] for name in ("none", "weak"))
    shutil.rmtree(made.planned[0].runs[2].folder)
    shutil.rmtree(made.planned[1].runs[0].folder)
    left = compare(seeds=(0, 1, 2), rows=rows, entry={"intervals": True}, workers=None)
    assert left.table.rows[1][2].endswith(f" ({weak - none:+.1f})".replace("-", "−"))


def test_a_reference_to_no_printed_row_is_refused_before_any_run(compare, tmp_path):
    rows = [{"name": "weak", "method": "l2", "published": "l2 bseline"}]
    with pytest.raises(ValueError, match="Did you mean 'l2 baseline'"):
        compare(rows=rows)
    assert not (tmp_path / "runs").exists()


def test_another_rule_of_evaluation_is_another_run(compare, tmp_path):
    rows = [{"name": "weak", "method": "l2"}]
    compare(rows=rows)
    entry = tmp_path / "mine.yaml"
    entry.write_text(entry.read_text() + "\nlabel_space: union\n")
    assert compare(rows=rows, workers=None).rows[0].runs == ()


PICTURES = {
    "sweep": {"kind": "sweep", "setting": "method_settings.penalty_weight", "label": "weight"},
    "loss": {"kind": "loss", "loss": "task", "tasks": 2, "label": "loss"},
    "first_task": {"kind": "first_task", "label": "accuracy"},
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
    corner = np.mean([run.matrix.accuracy[-1][0] for run in result.rows[0].runs])
    assert measured["first_task_last"]["mean"] == pytest.approx(corner)


def test_on_a_dask_cluster(compare):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None
    ) as cluster:
        result = compare(workers=studies.Workers(cluster=cluster.scheduler_address))
    assert not result.failures
    assert all(len(row.runs) == 1 for row in result.rows)


def test_a_benchmark_file_is_found_from_anywhere(compare, world, monkeypatch):
    path = world[0] / "mine.yaml"
    monkeypatch.chdir(world[0])
    (row,) = compare(rows=[{"name": "only", "method": "l2"}], benchmark="mine.yaml").rows
    assert row.planned.runs[0].config.benchmark == str(path)
    assert row.runs


@pytest.mark.slow
def test_in_processes(compare):
    result = compare(workers=studies.Workers(2), seeds=(0, 1))
    assert not result.failures
    assert all(len(row.runs) == 2 for row in result.rows)


def test_workers_that_cannot_be_had_are_refused():
    with pytest.raises(ValueError, match="needs --cluster"):
        studies.Workers(2, "dask")
    with pytest.raises(ValueError, match=r"unknown backend 'threading'\. Known: dask, loky"):
        studies.Workers(2, "threading")
