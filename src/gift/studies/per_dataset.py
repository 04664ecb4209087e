"""Tables with a column per data set: what the runs measured, and below it what papers print."""

from __future__ import annotations

from collections.abc import Sequence

from gift.report.groups import Estimate
from gift.report.table import MISSING, Cell, Table
from gift.studies.entries import PER_DATASET, Experiment
from gift.studies.table import (
    COLUMNS,
    RowResult,
    measured_text,
    misprint_notes,
    printed_cell,
    runs_cell,
)


def build_per_dataset(
    entry: Experiment, rows: Sequence[RowResult], tasks: Sequence[str]
) -> tuple[Table, ...]:
    """One table per metric. A paper's figures are a line of their own below the measured ones.

    Args:
        entry: the experiment.
        rows: its rows with their runs.
        tasks: of the benchmark, in its order.
    """
    metrics = (column for column in entry.columns if column in PER_DATASET)
    return tuple(_table(entry, rows, tasks, metric) for metric in metrics)


def _table(
    entry: Experiment, rows: Sequence[RowResult], tasks: Sequence[str], metric: str
) -> Table:
    keys = [*(_key(task, metric, rows) for task in tasks), metric]
    if metric == "transfer":
        keys[0] = ""  # nothing is learned before the first task
    lines = []
    for row in rows:
        measured = [*(row.of_task(metric, task) for task in tasks), row.estimate(metric)]
        lines.append((Cell(row.label), *map(_cell, measured), runs_cell(row)))
        figures = [row.paper.get(key) for key in keys]
        if any(figures):
            lines.append((Cell(f"paper: {row.label}"), *map(printed_cell, figures), Cell(MISSING)))
    return Table(
        name=f"{entry.name}-{metric}",
        title=f"{COLUMNS[metric].title} per data set",
        header=("Row", *tasks, "Mean", "Runs"),
        rows=tuple(lines),
        notes=tuple(misprint_notes(rows, keys)),
    )


def _key(task: str, metric: str, rows: Sequence[RowResult]) -> str:
    """The key of the printed figures that stand below a task's: its name ends in the data set's.

    ``micro-dtd`` stands above ``dtd``. Empty where no paper has the data set.
    """
    printed = (what.rpartition("/") for row in rows for what in row.paper)
    datasets = {dataset for dataset, _, what in printed if dataset and what == metric}
    named = [d for d in datasets if task == d or task.endswith(f"-{d}")]
    return f"{named[0]}/{metric}" if named else ""


def _cell(estimate: Estimate | None) -> Cell:
    return Cell(measured_text(estimate), estimate) if estimate else Cell(MISSING)
