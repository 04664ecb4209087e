"""Reports of runs that classify among the classes seen so far."""

import re
from pathlib import Path
from typing import Any

import pytest

from gift.report import metrics_markdown, per_task_markdown, read_run, write_report
from gift.report.comparison import compare
from gift.report.figures import accuracy_matrix, accuracy_of_classes_seen, heat_scale
from gift.report.style import drawing
from gift.report.tables import gains_table, matrix_table


def test_metrics_without_transfer(make_run: Any, seen_only: dict[str, Any]) -> None:
    folders = [make_run("a", **seen_only), make_run("b", method="l2", shift=-6.0, **seen_only)]
    assert metrics_markdown(folders) == (
        "| Method | Avg. ↑ | Last ↑ | Forgetting ↓ | Runs |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| Zero-shot | 60.0 | 50.0 | – | – |\n"
        "| gift | **81.2** | **78.8** | **17.5** | 1 |\n"
        "| l2 | 75.2 | 72.8 | **17.5** | 1 |\n"
    )


def test_columns_are_steps_or_tasks(make_run: Any, seen_only: dict[str, Any]) -> None:
    rows = seen_only.pop("accuracy")
    folders = [make_run("a", accuracy=rows, **seen_only)]
    folders.append(make_run("b", method="l2", accuracy=rows[:2], finished=False, **seen_only))

    def numbers(metric: str) -> list[list[str]]:
        lines = per_task_markdown(folders, metric).splitlines()[2:5]
        return [[cell.strip(" *") for cell in line.split("|")[2:-1]] for line in lines]

    assert numbers("seen") == [
        ["70.0", "60.0", "50.0", "60.0"],
        ["90.0", "75.0", "78.8", "81.2"],
        ["90.0", "75.0", "–", "82.5"],
    ]
    assert numbers("last") == [
        ["–", "–", "–", "50.0"],
        ["60.0", "75.0", "90.0", "78.8"],
        ["70.0", "80.0", "–", "75.0"],
    ]
    with pytest.raises(ValueError, match="one of seen, last; got 'transfer'"):
        per_task_markdown(folders, "transfer")
    matrix = matrix_table(
        compare([read_run(folders[0])]), compare([read_run(folders[0])]).groups[0], "m"
    )
    assert matrix.rows[1][1:] == ("70.0", "80.0", "–")


def test_gains_of_an_unfinished_run_are_over_its_steps(
    make_run: Any, seen_only: dict[str, Any]
) -> None:
    rows = seen_only.pop("accuracy")
    folders = [make_run("a", accuracy=rows, **seen_only)]
    folders.append(make_run("b", method="l2", accuracy=rows[:2], finished=False, **seen_only))
    table = gains_table(compare([read_run(folder) for folder in folders]))
    assert table.header == ("Method", "Avg.", "Last")
    assert table.rows == [("gift", "+21.2", "+28.8"), ("l2 †", "+17.5", "+15.0")]


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_page(make_run: Any, seen_only: dict[str, Any], tmp_path: Path, rows: int) -> None:
    accuracy = seen_only.pop("accuracy")[:rows]
    page = write_report(
        [make_run("a", accuracy=accuracy, **seen_only)], tmp_path / "out"
    ).page.read_text(encoding="utf-8")
    assert "test images, among the classes seen so far, the task is hidden" in page
    assert "Transfer" not in page
    assert ("Accuracy over the classes seen</h2>" in page) == bool(rows)
    assert "nan" not in re.findall(r"[a-z]+", page)


def test_figures(make_run: Any, seen_only: dict[str, Any]) -> None:
    comparison = compare(
        [read_run(make_run(f"s{s}", seed=s, shift=s, **seen_only)) for s in (0, 2)]
    )
    with drawing():
        (axes,) = accuracy_of_classes_seen(comparison).axes
        zero_shot, mean = axes.lines
        matrix = accuracy_matrix(comparison, comparison.groups[0], heat_scale(comparison))
    assert list(zero_shot.get_ydata()) == [70.0, 60.0, 50.0]
    assert list(mean.get_ydata()) == [91.0, 76.0, 79.75]
    written = [text.get_text() for text in matrix.axes[0].texts]
    assert written == ["91.0", "71.0", "81.0", "61.0", "76.0", "91.0"]  # nothing above the diagonal


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accuracy": ((90.0, 1.0, None),)}, "tasks that were not learned yet"),
        ({"accuracy": ((None, None, None),)}, "3 tasks need 3"),
        ({"images": (1, 2)}, "images must hold one positive number per task"),
        ({"images": (1, 2, 0)}, "images must hold one positive number per task"),
    ],
)
def test_wrong_files_are_refused(
    make_run: Any, seen_only: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_run(make_run("a", **seen_only | change))


def test_settings_do_not_mix(make_run: Any, seen_only: dict[str, Any]) -> None:
    drawn = seen_only | {"setting": seen_only["setting"] | {"draw": 1}}
    old = seen_only | {"setting": {k: v for k, v in seen_only["setting"].items() if k != "draw"}}
    changes = {
        "a": {},
        "b": seen_only,
        "c": drawn,
        "d": old,
        "e": seen_only | {"images": (9, 9, 9)},
    }
    runs = {name: read_run(make_run(name, **change)) for name, change in changes.items()}
    compare([runs["b"], runs["d"]])  # what an older version wrote is the published draw
    for pair, what in (("ab", "label_space"), ("bc", "draw"), ("be", "number of test images")):
        with pytest.raises(ValueError, match=f"their {what} differs"):
            compare([runs[name] for name in pair])
