import csv
import io
import json
from typing import Any

import pytest

from gift.report import figures, metrics_markdown, per_task_markdown
from gift.report.groups import compare
from gift.report.table import Cell, Table
from gift.report.tables import costs_table, matrix_table, metrics_table, per_task_table
from gift.runs.read import read_run


def comparison_of(make_run: Any) -> Any:
    folders = [
        make_run("g1", seed=1),
        make_run("g2", seed=2, shift=2.0),
        make_run("f", method="finetune", shift=-10.0),
    ]
    return compare([read_run(folder) for folder in folders])


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
    table = Table("x", "x", ("a|b", "<b>"), ((Cell("*c*"), Cell("1")),))
    assert table.markdown().splitlines()[0] == r"| a\|b | \<b\> |"
    assert table.markdown().splitlines()[2] == r"| \*c\* | 1 |"


def test_first_task_has_no_transfer(make_run: Any) -> None:
    table = per_task_table(comparison_of(make_run), "transfer")
    assert [row[1].text for row in table.rows] == ["–", "–", "–"]
    assert [cell.text for cell in table.rows[2]] == ["finetune", "–", "38.0", "27.5", "32.8"]


def test_matrix_and_costs(make_run: Any) -> None:
    comparison = comparison_of(make_run)
    matrix = matrix_table(comparison, comparison.groups[1], "m")
    assert [[cell.text for cell in row] for row in matrix.rows[:2]] == [
        ["Zero-shot", "60.0", "50.0", "40.0"],
        ["birds", "70.0", "38.0", "29.0"],
    ]
    costs = costs_table(comparison)
    assert costs.header == ("Method", "Train", "Evaluate", "Total", "Peak memory")
    assert [c.text for c in costs.rows[0]] == ["gift", "60.0 s", "40.0 s", "100.0 s", "512 MB"]


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
    assert [cell.text for cell in costs.rows[0]][2::2] == ["0.50 s", "100.0 s", "598 MB"]
    assert costs.rows[0][-1].text == "149,620,737"
    assert [cell.text for cell in costs.rows[1]][-2:] == ["–", "–"]
    assert "storage is bytes" in costs.notes[0]
    titles = [axes.get_title() for axes in figures.costs(comparison).axes]
    assert titles[-3:] == ["Peak memory", "Stored beside the model", "Extra parameters"]
