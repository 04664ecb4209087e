"""The tables of an experiment: what the runs measured, beside what papers print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gift.report.tables import (
    METRICS,
    MISSING,
    WHOLE,
    Table,
    difference,
    estimates,
    measurements,
    shown,
    signed,
    values_of,
)
from gift.runs.read import Run, read_run
from gift.studies.entries import PER_DATASET, Experiment, Printed
from gift.studies.plan import PlannedRow


@dataclass(frozen=True)
class RowResult:
    """A row with its finished runs.

    Attributes:
        planned: the row.
        runs: those that are finished.
        paper: what papers print for it, by ``metric`` or ``dataset/metric``.
    """

    planned: PlannedRow
    runs: tuple[Run, ...]
    paper: Mapping[str, Printed]

    @property
    def label(self) -> str:
        return self.planned.label

    @property
    def finished(self) -> str:
        """How many of the runs are finished."""
        finished, planned = len(self.runs), len(self.planned.runs)
        if not finished:
            return MISSING
        return str(finished) if finished == planned else f"{finished} of {planned}"


def read_rows(
    entry: Experiment, benchmark: str, planned: Sequence[PlannedRow]
) -> tuple[RowResult, ...]:
    """The rows of an experiment with their finished runs."""
    return tuple(
        RowResult(
            row,
            tuple(read_run(run.folder) for run in row.finished),
            entry.printed(row.entry, benchmark),
        )
        for row in planned
    )


def build_table(entry: Experiment, benchmark: str, rows: Sequence[RowResult]) -> Table:
    """One line per row: measured columns, number of runs, printed columns."""
    base = next((row for row in rows if row.planned.entry.name == entry.difference_to), None)
    printed = [column for column in entry.columns if any(column in row.paper for row in rows)]
    measured = measurements(row.runs for row in rows)
    numbers = estimates(measured, len(rows), [(column, WHOLE) for column in entry.columns])
    forms = [METRICS[column].form for column in entry.columns]
    text = shown([row.label for row in rows], numbers, forms)
    if base is not None:
        for position, column in enumerate(entry.columns, start=1):
            found = (_differences(measured, rows, column, row, base) for row in rows)
            between = (f" ({difference(d, intervals=entry.intervals)})" if d else "" for d in found)
            text[position] += pd.Series(between, dtype=object)
    text[len(entry.columns) + 1] = [row.finished for row in rows]
    for position, column in enumerate(printed, start=len(entry.columns) + 2):
        text[position] = [_beside(row, column, base) for row in rows]
        numbers["mean", position] = [_value(row.paper.get(column)) for row in rows]
    heads = [f"paper: {METRICS[column].title}" for column in printed]
    if heads:
        heads[0] = heads[0].replace("paper", f"paper ({figures_title(entry, benchmark)})", 1)
    deltas = [f"delta_{column}" for column in printed if entry.difference_to]
    return Table(
        name=entry.name,
        title=entry.title,
        header=("Row", *(METRICS[column].head for column in entry.columns), "Runs", *heads),
        text=text,
        numbers=numbers,
        notes=(*_notes(rows, printed), *_misprint_notes(rows, [*printed, *deltas])),
    )


def build_per_dataset(
    entry: Experiment, rows: Sequence[RowResult], tasks: Sequence[str]
) -> tuple[Table, ...]:
    """One table per metric with a column per data set.

    A paper's figures are a line of their own below the measured ones.

    Args:
        entry: the experiment.
        rows: its rows with their runs.
        tasks: of the benchmark, in its order.
    """
    chosen = (column for column in entry.columns if column in PER_DATASET)
    return tuple(_dataset_table(entry, rows, tasks, metric) for metric in chosen)


def _dataset_table(
    entry: Experiment, rows: Sequence[RowResult], tasks: Sequence[str], metric: str
) -> Table:
    printed = [*(_printed_key(task, metric, rows) for task in tasks), metric]
    if metric == "transfer":
        printed[0] = ""  # nothing is learned before the first task
    keys = [*((metric, task) for task in range(len(tasks))), (metric, WHOLE)]
    numbers = estimates(measurements(row.runs for row in rows), len(rows), keys)
    text = shown([row.label for row in rows], numbers, ["z.1f"] * len(keys))
    text[len(keys) + 1] = [row.finished for row in rows]
    lines, values = [], []
    for i, row in enumerate(rows):
        lines.append(text.iloc[i].tolist())
        values.append(numbers.iloc[i].tolist())
        figures = [row.paper.get(key) for key in printed]
        if any(figures):
            lines.append([f"paper: {row.label}", *(str(f or MISSING) for f in figures), MISSING])
            values.append([*map(_value, figures), *[math.nan] * len(keys)])
    return Table(
        name=f"{entry.name}-{metric}",
        title=f"{METRICS[metric].title} per data set",
        header=("Row", *tasks, "Mean", "Runs"),
        text=pd.DataFrame(lines, columns=text.columns),
        numbers=pd.DataFrame(values, columns=numbers.columns),
        notes=tuple(_misprint_notes(rows, printed)),
    )


def figures_title(entry: Experiment, benchmark: str) -> str:
    """What the papers measured whose figures stand beside a benchmark's; empty for none."""
    return "; ".join(dict.fromkeys(figures.title for figures in entry.figures_for(benchmark)))


def row_json(
    row: RowResult, columns: Sequence[str], tasks: Sequence[str] = ()
) -> dict[str, object]:
    """A row with all digits, for programs.

    Args:
        row: the row.
        columns: of the table.
        tasks: whose metrics are given too, as ``task/metric``.
    """
    keys = {column: (column, WHOLE) for column in columns}
    for metric in (column for column in columns if column in PER_DATASET):
        keys |= {f"{name}/{metric}": (metric, task) for task, name in enumerate(tasks)}
    numbers = estimates(measurements([row.runs]), 1, list(keys.values()))
    mean, std = (numbers[what].iloc[0].replace({np.nan: None}) for what in ("mean", "std"))
    return {
        "row": row.label,
        "method": row.planned.entry.method,
        "settings": dict(row.planned.runs[0].changes),
        "planned": [str(run.folder) for run in row.planned.runs],
        "seeds": [run.seed for run in row.runs],
        "measured": {
            key: None if mean[i] is None else {"mean": mean[i], "std": std[i]}
            for i, key in enumerate(keys, start=1)
        },
        "paper": {what: figure.value for what, figure in row.paper.items()},
    }


def _differences(
    measured: pd.DataFrame, rows: Sequence[RowResult], column: str, row: RowResult, base: RowResult
) -> list[float]:
    """The differences of a row to another one, one per seed that both have."""
    if row is base:
        return []
    own, other = (values_of(measured, rows.index(one), column) for one in (row, base))
    if len(row.planned.runs) == 1 or len(base.planned.runs) == 1:  # a method without seeds
        return [a - b for a in own for b in other]
    differences: list[float] = (own - other).dropna().tolist()
    return differences


def _beside(row: RowResult, column: str, reference: RowResult | None) -> str:
    """What the paper prints, with the difference to its reference row."""
    figure = row.paper.get(column)
    base = reference.paper.get(column) if reference and row is not reference else None
    if figure is None or reference is None or base is None:
        return str(figure or MISSING)
    # The printed difference, where the paper takes it to the same row.
    own, zero = row.paper.get(f"delta_{column}"), reference.paper.get(f"delta_{column}")
    if own and zero and zero.value == 0:
        return f"{figure} ({signed(own.value)}{own.dagger})"
    return f"{figure} ({signed(figure.value - base.value)})"


def _value(figure: Printed | None) -> float:
    return figure.value if figure else math.nan


def _printed_key(task: str, metric: str, rows: Sequence[RowResult]) -> str:
    """The key of the printed figures that stand below a task's: its name ends in the data set's.

    ``micro-dtd`` stands above ``dtd``. Empty where no paper has the data set.
    """
    printed = (what.rpartition("/") for row in rows for what in row.paper)
    datasets = {dataset for dataset, _, what in printed if dataset and what == metric}
    named = [d for d in datasets if task == d or task.endswith(f"-{d}")]
    return f"{named[0]}/{metric}" if named else ""


def _misprint_notes(rows: Sequence[RowResult], keys: Sequence[str]) -> Iterator[str]:
    """The notes on misprints among the printed figures of some keys."""
    for figure in (row.paper[key] for row in rows for key in keys if key in row.paper):
        if note := figure.misprint:
            wrong = f"{note.printed:g} is printed, {note.expected} expected"
            yield f"† Misprint: {wrong}; {note.reason}."


def _notes(rows: Sequence[RowResult], printed: Sequence[str]) -> Iterator[str]:
    """What a reader has to know: missing and unverified runs, and which paper prints what."""
    planned = {run.folder for row in rows for run in row.planned.runs}
    if missing := len(planned - {run.folder for row in rows for run in row.runs}):
        yield f"{missing} of {len(planned)} runs are missing."
    if modified := [row.label for row in rows if any(run.modified for run in row.runs)]:
        which = "all rows" if len(modified) == len(rows) else ", ".join(modified)
        yield f"Not verified: run from source code with uncommitted changes ({which})."
    rows_of: dict[str, dict[str, None]] = {}
    for row in rows:
        for figure in (row.paper[what] for what in printed if what in row.paper):
            rows_of.setdefault(figure.source, {})[row.label] = None
    if len(rows_of) > 1:
        parts = [f"{source} ({', '.join(labels)})" for source, labels in rows_of.items()]
        yield f"Printed figures: {'; '.join(parts)}."
