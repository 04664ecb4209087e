from __future__ import annotations

import csv
import json
import re
import shutil

import numpy as np
import pytest
from made_results import make_result

from gift import studies
from gift.runs import RunFolder, Summary
from gift.studies.entries import published


def test_kept_results_make_the_tables_of_the_pages(tmp_path):
    for name in ("gift", "l2"):
        make_result(tmp_path, "micro-1", name)
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


def test_no_figures_stand_beside_the_strict_reading_of_a_task_agnostic_setting(tmp_path):
    result = studies.compare("condu-settings", benchmark="micro-1-agnostic-union", runs=tmp_path)
    assert not any("paper" in head for head in result.table.header)


def lines_of(table):
    return {row[0]: list(row[1:]) for row in table.rows}


def test_a_column_per_data_set_and_metric(per_dataset):
    made = [{}, {"seed": 1, "draw": 1}]
    result = per_dataset("table9", made=made, seeds=(0, 1), redraw=True)
    runs = [row.measured for row in result.rows if row.label == "GIFT"]
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
    result = per_dataset("condu-table", made=[{}])
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
    matrix = np.array(result.rows[3].measured[0].matrix.accuracy)
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
    matrix = result.rows[0].measured[0].matrix.accuracy
    assert list(transfer) == list(last) == ["weak"]
    assert transfer["weak"] == ["–", *[f"{matrix[0][1]:.1f}"] * 2, "1"]


def test_what_a_method_stores_and_its_times(compare):
    columns = ["method_mb", "extra_parameters", "merge_seconds", "evaluate_seconds"]
    rows = [{"name": "weak", "method": "l2"}]
    folder = RunFolder(compare(rows=rows).rows[0].runs[0].folder)
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
    none, weak = (RunFolder(row.runs[1].folder).read_summary().avg for row in made.rows)
    shutil.rmtree(made.rows[0].runs[2].folder)
    shutil.rmtree(made.rows[1].runs[0].folder)
    left = compare(seeds=(0, 1, 2), rows=rows, entry={"intervals": True}, workers=None)
    assert left.table.rows[1][2].endswith(f" ({weak - none:+.1f})".replace("-", "−"))
