from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from made_results import make_result

from gift import studies
from gift.benchmark import resolve
from gift.settings import fingerprint

RUNS = Path("runs")


RESULTS = Path(__file__).parents[2] / "results"


ENTRIES = {name: studies.load_experiment(name) for name in studies.experiment_names()}


TINY = {"table2": "micro-2", "table10": "micro-2", "table7": "micro-cil", "table8": "micro-cil"}


def planned(name, seeds=(0,), **more):
    return studies.plan(ENTRIES[name], TINY.get(name, "micro-1"), seeds=seeds, runs=RUNS, **more)


planned_once = cache(planned)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_shipped_experiment_can_be_run_on_the_micro_benchmark(name):
    rows = planned_once(name)
    assert len(rows) == len(ENTRIES[name].rows) * (2 if ENTRIES[name].orders else 1)
    assert len({row.label for row in rows}) == len(rows)
    runs = [row.runs[0].folder for row in rows if row.runs]
    assert len(set(runs)) == (len(rows) if ENTRIES[name].columns else 0)
    assert ENTRIES[name].name == name
    assert all("{" not in row.label for row in rows)


def test_rows_share_a_folder_exactly_where_they_mean_the_same_run():
    by_folder, by_settings = {}, {}
    for name in ENTRIES:
        for run in (run for row in planned_once(name) for run in row.runs):
            settings = fingerprint(run.config)
            assert by_folder.setdefault(run.folder, settings) == settings
            assert by_settings.setdefault(settings, run.folder) == run.folder
            assert re.fullmatch(r"[a-z0-9_]+(-[0-9a-f]{8})?-seed0", run.folder.name)
    folders = {
        name: {run.folder for row in planned_once(name) for run in row.runs} for name in ENTRIES
    }
    assert Path("runs/micro-1/gift-seed0") in folders["table3"] & folders["table6"]
    without_awc = resolve("micro-1", "gift", {"method_settings": {"consolidation": "l2"}})
    shared = studies.default_folder(without_awc, RUNS)
    for name in ("table3", "table4a", "table4b", "table4c", "table5", "table11", "table12"):
        assert shared in folders[name]


def test_a_method_that_never_asks_for_the_task_shares_the_runs_that_are_given_it():
    def folders(benchmark):
        rows = studies.plan(ENTRIES["condu-settings"], benchmark, seeds=[1], runs=RUNS)
        return {row.entry.method: row.runs[0].folder.parent.name for row in rows}

    hidden = folders("micro-1-agnostic")
    assert {m for m, name in hidden.items() if name == "micro-1-agnostic"} == {
        "condu",
        "condu_lora",
    }
    assert set(hidden.values()) == {"micro-1", "micro-1-agnostic"}
    # Among the classes of all tasks there is no such benchmark with the task given.
    assert set(folders("micro-1-agnostic-union").values()) == {"micro-1-agnostic-union"}
    assert folders("mtil-1-agnostic")["gift"] == "mtil-1"


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


def test_finished_runs_fill_the_rows_that_mean_them(tmp_path):
    l2 = {"method_settings": {"consolidation": "l2"}}
    made = {make_result(tmp_path, "micro-1"), make_result(tmp_path, "micro-1", **l2)}
    old = make_result(tmp_path, "micro-1", method_settings={"beta": 0.0})
    matrix = old / "matrix.json"
    matrix.write_text(matrix.read_text().replace('"version": 2', '"version": 1'))
    rows = studies.plan(ENTRIES["table3"], "micro-1", seeds=[0], runs=tmp_path)
    assert {run.folder for row in rows for run in row.runs if run.finished} == made


def test_the_names_of_the_first_task_are_filled_in():
    run = planned("figure7")[1].runs[0]
    assert run.config.synthesis.exclude == ("micro-aircraft",)
    entry = ENTRIES["figure7"]
    rows = studies.plan(
        entry, "micro-1", seeds=[0], runs=RUNS, settings={"tasks": ["micro-mnist", "micro-dtd"]}
    )
    assert rows[1].runs[0].config.synthesis.exclude == ("micro-dtd",)


def test_an_experiment_on_both_orders_names_them_in_its_rows():
    rows = planned("figure9")
    assert {row.label.rpartition(", ")[2] for row in rows} == {"micro-1", "micro-2"}
    excluded = [row.config.synthesis.exclude for row in rows]
    assert excluded == [(), ("micro-aircraft",), (), ("micro-stanfordcars",)]
    assert [row.runs[0].folder.parent.name for row in rows] == ["micro-1"] * 2 + ["micro-2"] * 2
    assert planned("figure7")[1].runs == rows[1].runs
    entry = ENTRIES["figure9"]
    assert studies.plan(entry, "micro-2", seeds=(0,), runs=RUNS) == rows
    alone = studies.plan(entry, "micro-1-fewshot", seeds=(0,), runs=RUNS)
    assert [row.label for row in alone] == [row.name for row in entry.rows]


def test_rows_limited_to_the_first_task():
    assert [row.config.tasks for row in planned("figure5")] == [("micro-aircraft",)] * 2
    rows = studies.plan(ENTRIES["figure5"], "mtil-2", seeds=(0,), runs=RUNS)
    assert [row.config.tasks for row in rows] == [("stanfordcars",)] * 2


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
    with pytest.raises(ValueError, match=r"Did you mean 'method_settings\.alpha'"):
        planned("table4c", settings={"method_settings": {"alpa": 1}})


def test_a_folder_with_other_settings_is_not_taken_for_the_row(compare, world):
    _, settings = world
    rows = [{"name": "weak", "method": "l2"}]
    shorter = {**settings, "training": {**settings["training"], "iterations": 2}}
    other = compare(rows=rows, settings=shorter).rows[0].runs[0].folder
    other.rename(compare(rows=rows, workers=None).rows[0].runs[0].folder)
    again = compare(rows=rows)
    assert again.rows[0].measured == ()
    (reason,) = again.failures.values()
    assert "training.iterations is 2 there and 3 here" in reason


def test_another_rule_of_evaluation_is_another_run(compare, tmp_path):
    rows = [{"name": "weak", "method": "l2"}]
    compare(rows=rows)
    entry = tmp_path / "mine.yaml"
    entry.write_text(entry.read_text() + "\nlabel_space: union\n")
    assert compare(rows=rows, workers=None).rows[0].measured == ()


def test_a_benchmark_file_is_found_from_anywhere(compare, world, monkeypatch):
    path = world[0] / "mine.yaml"
    monkeypatch.chdir(world[0])
    (row,) = compare(rows=[{"name": "only", "method": "l2"}], benchmark="mine.yaml").rows
    assert row.runs[0].config.benchmark == str(path)
    assert row.measured
