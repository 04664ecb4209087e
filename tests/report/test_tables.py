import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gift.report import figures, metrics_markdown, per_task_markdown, write_report
from gift.report.comparison import compare
from gift.report.tables import (
    WHOLE,
    Table,
    costs_table,
    estimates,
    gains_table,
    interval,
    matrix_table,
    measurements,
    metrics_table,
    per_task_table,
)
from gift.runs.read import read_run


def comparison_of(make_run: Any) -> Any:
    folders = [
        make_run("g1", seed=1),
        make_run("g2", seed=2, shift=2.0),
        make_run("f", method="finetune", shift=-10.0),
    ]
    return compare([read_run(folder) for folder in folders])


def test_seeds_become_mean_and_sample_deviation(make_run: Any) -> None:
    runs = [read_run(make_run(f"s{s}", seed=s, shift=s)) for s in (1, 2, 4)]
    numbers = estimates(measurements([runs, runs[:1], ()]), 3, [("last", WHOLE), ("avg", 2)])
    np.testing.assert_allclose(
        numbers["mean"],
        [[(72 + 86 + 95 + 7) / 3, 59], [(72 + 86 + 95 + 3) / 3, 170 / 3 + 1], [np.nan] * 2],
    )
    spread = np.std([1, 2, 4], ddof=1)
    np.testing.assert_allclose(numbers["std"], [[spread] * 2, [np.nan] * 2, [np.nan] * 2])


def test_measurements_have_one_line_per_run_metric_and_task(make_run: Any) -> None:
    runs = [read_run(make_run(f"s{s}", seed=s)) for s in (1, 2)]
    lines = measurements([runs]).set_index(["row", "seed", "metric", "task"])["value"]
    assert lines.index.is_unique
    assert lines[0, 2, "last", 1] == 86.0
    assert lines[0, 1, "transfer", 1] == 48.0
    assert np.isnan(lines[0, 1, "transfer", 0])
    assert lines[0, 1, "train_seconds", WHOLE] == 60.0
    assert lines[0, 1, "train_seconds_per_task", WHOLE] == 60.0 / runs[0].learned
    assert lines[0, 1, "last_gain", WHOLE] == pytest.approx(253 / 3 - 50)


def test_the_accuracy_of_the_teacher_is_that_before_the_last_task(make_run: Any) -> None:
    folder = make_run("g1")
    steps = [("01-birds", 90.0), ("01-birds", 90.0), ("02-x", 80.0)]
    lines = [{"stage": "train", "task": t, "losses": {"teacher_accuracy": a}} for t, a in steps]
    (folder / "events.jsonl").write_text(
        "".join(json.dumps({**line, "step": i}) + "\n" for i, line in enumerate(lines))
    )
    found = measurements([[read_run(folder)], [read_run(make_run("g2"))]])
    found = found[found.metric == "teacher_accuracy"]
    assert found[["row", "task", "value"]].to_numpy().tolist() == [[0, WHOLE, 80.0]]


def test_intervals_are_those_of_a_t_test() -> None:
    values = [1.0, 2.5, 3.0, 7.0]
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((wanted.low, wanted.high))
    assert interval([2.0, 2.0]) == (2.0, 2.0)


def test_gains_are_paired_with_the_zero_shot_accuracies_of_each_run(make_run: Any) -> None:
    folders = [
        make_run("a1", method="a"),
        make_run("a2", method="a", seed=2, shift=1.0, zero_shot=[61.0, 51.0, 41.0]),
        make_run("b1", method="b"),
        make_run("b2", method="b", seed=2, shift=2.0),
        make_run("c", method="c", accuracy=[[60.0, 50.0, 40.0]] * 3),
    ]
    table = gains_table(compare([read_run(folder) for folder in folders]))
    assert table.header == ("Method", "Transfer", "Avg.", "Last")
    assert [row[3] for row in table.rows] == [
        "+34.3, +34.3 to +34.3",
        "+35.3, +22.6 to +48.0",
        "+0.0",
    ]


def test_metrics_in_markdown(make_run: Any) -> None:
    assert metrics_table(comparison_of(make_run)).markdown() == (
        "| Method | Transfer ↑ | Avg. ↑ | Last ↑ | Forgetting ↓ | Runs |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| Zero-shot | 45.0 | 50.0 | 50.0 | – | – |\n"
        "| gift | **43.8 ± 1.4** | **69.9 ± 1.4** | **85.3 ± 1.4** | **6.0 ± 0.0** | 2 |\n"
        "| finetune | 32.8 | 58.9 | 74.3 | **6.0** | 1 |\n"
    )


def test_result_folders_become_markdown(make_run: Any) -> None:
    folders = [make_run("a", only_results=True), make_run("b", method="l2", only_results=True)]
    assert "| l2 | **42.8** | **68.9** |" in metrics_markdown(folders)
    assert per_task_markdown(folders, labels=["x", "y"]).count("**84.3**") == 2
    with pytest.raises(ValueError, match="transfer, avg, last; got 'best'"):
        per_task_markdown(folders, "best")


def test_unfinished_methods_are_marked_and_never_best(make_run: Any) -> None:
    runs = [
        make_run("a", accuracy=[[99.0, 99.0, 99.0]], method="new", finished=False),
        make_run("b", method="l2"),
        make_run("c", method="lwf", shift=-1.0),
    ]
    text = metrics_markdown(runs)
    assert "| new † | 99.0 | 99.0 | 99.0 | – | 1 |" in text
    assert "| l2 | **42.8** |" in text
    assert "† unfinished" in text


def test_csv_has_all_digits_and_spreads(make_run: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(metrics_table(comparison_of(make_run)).csv())))
    assert rows[0]["Method"] == "Zero-shot"
    assert rows[0]["Forgetting"] == ""
    assert float(rows[1]["Last"]) == pytest.approx(85.3333, abs=1e-4)
    assert float(rows[1]["Last std"]) == pytest.approx(2**0.5, abs=1e-4)
    assert rows[2]["Last std"] == ""


def test_latex(make_run: Any) -> None:
    text = per_task_table(comparison_of(make_run), "avg").latex()
    assert r"50 \$ \& more\_\{\}" in text
    assert r"\textless{}script\textgreater{}" in text
    assert r"gift & \textbf{76.3 $\pm$ 1.4}" in text
    assert text.count(r"\\") == 4


def test_names_cannot_break_a_markdown_table() -> None:
    table = Table("x", "x", ("a|b", "<b>"), pd.DataFrame([["*c*", "1"]]))
    assert table.markdown().splitlines()[0] == r"| a\|b | \<b\> |"
    assert table.markdown().splitlines()[2] == r"| \*c\* | 1 |"


def test_first_task_has_no_transfer(make_run: Any) -> None:
    table = per_task_table(comparison_of(make_run), "transfer")
    assert [row[1] for row in table.rows] == ["–", "–", "–"]
    assert table.rows[2] == ("finetune", "–", "38.0", "27.5", "32.8")


def test_matrix_and_costs(make_run: Any) -> None:
    comparison = comparison_of(make_run)
    matrix = matrix_table(comparison, comparison.groups[1], "m")
    assert matrix.rows[:2] == [
        ("Zero-shot", "60.0", "50.0", "40.0"),
        ("birds", "70.0", "38.0", "29.0"),
    ]
    costs = costs_table(comparison)
    assert costs.header == ("Method", "Train", "Evaluate", "Total", "Peak memory")
    assert costs.rows[0] == ("gift", "60.0 s", "40.0 s", "100.0 s", "512 MB")


def test_costs_have_what_is_stored_where_a_run_tells(make_run: Any) -> None:
    folders = [make_run("a", method="condu"), make_run("b", method="old")]
    path = folders[0] / "summary.json"
    summary = json.loads(path.read_text())
    summary["seconds"]["merge"] = 0.5
    summary["storage"] = {
        "model_bytes": 9,
        "method_bytes": 598_483_000,
        "extra_parameters": 149_620_737,
    }
    path.write_text(json.dumps(summary))
    comparison = compare([read_run(folder) for folder in folders])
    costs = costs_table(comparison)
    assert costs.header == (
        *("Method", "Train", "Merge", "Evaluate", "Total", "Peak memory"),
        *("Stored beside the model", "Extra parameters"),
    )
    assert costs.rows[0][2::2] == ("0.50 s", "100.0 s", "598 MB")
    assert costs.rows[0][-1] == "149,620,737"
    assert costs.rows[1][-2:] == ("–", "–")
    assert "storage is bytes" in costs.notes[0]
    titles = [axes.get_title() for axes in figures.costs(costs).axes]
    assert titles[-3:] == ["Peak memory", "Stored beside the model", "Extra parameters"]


def test_times_without_what_was_cached_are_marked(make_run: Any, tmp_path: Path) -> None:
    runs = [make_run("a"), make_run("b", method="l2")]
    for run, cached in zip(runs, (2, 0), strict=True):
        with (run / "events.jsonl").open("w") as file:
            for task in ("x", "y"):
                event = {"stage": "train", "task": task, "cached": cached, "seconds": 3.0}
                file.write(json.dumps(event) + "\n")
    costs = costs_table(compare([read_run(run) for run in runs]))
    assert [row[1] for row in costs.rows] == ["60.0 s *", "60.0 s"]
    total = costs.header.index("Total")
    assert [row[total] for row in costs.rows] == ["100.0 s *", "100.0 s"]
    assert len(costs.notes) == 2
    assert costs.notes[0] == "* Without the time of what was in the cache already."
    assert costs.notes[0] in write_report(runs, tmp_path / "out").page.read_text()
