"""The tables of an experiment: what the runs measured, beside what papers print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from gift.data import short_name
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
from gift.runs.read import read_run
from gift.studies.entries import PER_DATASET, Experiment, Printed, is_called
from gift.studies.plan import PlannedRow


def read_rows(rows: Sequence[PlannedRow]) -> tuple[PlannedRow, ...]:
    """The rows with what their finished runs measured."""
    return tuple(
        replace(row, measured=tuple(read_run(run.folder) for run in row.finished)) for row in rows
    )


def build_table(entry: Experiment, benchmark: str, rows: Sequence[PlannedRow]) -> Table:
    """One line per row: measured columns, number of runs, printed columns."""
    named = (row for row, one in enumerate(rows) if one.entry.name == entry.difference_to)
    base = next(named, None)
    printed = [column for column in entry.columns if any(column in row.paper for row in rows)]
    measured = measurements(row.measured for row in rows)
    numbers = estimates(measured, len(rows), [(column, WHOLE) for column in entry.columns])
    forms = [METRICS[column].form for column in entry.columns]
    text = shown([row.label for row in rows], numbers, forms)
    if base is not None:
        for position, column in enumerate(entry.columns, start=1):
            found = (_differences(measured, column, rows, row, base) for row in range(len(rows)))
            between = (f" ({difference(d, intervals=entry.intervals)})" if d else "" for d in found)
            text[position] += pd.Series(between, dtype=object)
    text[len(entry.columns) + 1] = [_finished(row) for row in rows]
    for position, column in enumerate(printed, start=len(entry.columns) + 2):
        text[position] = [
            _beside(row, column, None if base is None else rows[base]) for row in rows
        ]
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


def build_dataset_table(
    entry: Experiment, rows: Sequence[PlannedRow], tasks: Sequence[str], metric: str
) -> Table:
    """A metric with a column per data set; a paper's figures stand below the measured ones.

    Args:
        entry: the experiment.
        rows: its rows with their runs.
        tasks: of the benchmark, in its order.
        metric: one of :data:`gift.studies.entries.PER_DATASET`.
    """
    printed = [*(_printed_key(task, metric, rows) for task in tasks), metric]
    if metric == "transfer":
        printed[0] = ""  # nothing is learned before the first task
    keys = [*((metric, task) for task in range(len(tasks))), (metric, WHOLE)]
    numbers = estimates(measurements(row.measured for row in rows), len(rows), keys)
    text = shown([row.label for row in rows], numbers, ["z.1f"] * len(keys))
    text[len(keys) + 1] = [_finished(row) for row in rows]
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
    row: PlannedRow, columns: Sequence[str], tasks: Sequence[str] = ()
) -> dict[str, object]:
    """A row with all digits, for programs.

    Args:
        row: the row.
        columns: of the table.
        tasks: whose metrics are given too, as ``task/metric``.
    """
    keys = {column: (column, WHOLE) for column in columns}
    measured: dict[str, object] = {}
    for metric in (column for column in columns if column in PER_DATASET):
        keys |= {f"{name}/{metric}": (metric, task) for task, name in enumerate(tasks)}
    if keys:
        numbers = estimates(measurements([row.measured]), 1, list(keys.values()))
        mean, std = (numbers[what].iloc[0].replace({np.nan: None}) for what in ("mean", "std"))
        measured = {
            key: None if mean[i] is None else {"mean": mean[i], "std": std[i]}
            for i, key in enumerate(keys, start=1)
        }
    return {
        "row": row.label,
        "method": row.entry.method,
        "settings": dict(row.changes),
        "planned": [str(run.folder) for run in row.runs],
        "seeds": [run.seed for run in row.measured],
        "measured": measured,
        "paper": {what: figure.value for what, figure in row.paper.items()},
    }


def _differences(
    measured: pd.DataFrame, column: str, rows: Sequence[PlannedRow], own: int, base: int
) -> list[float]:
    """The differences of a row to another one, one per seed that both have."""
    if own == base:
        return []
    ours, theirs = (values_of(measured, row, column) for row in (own, base))
    if any(len(rows[row].runs) == 1 for row in (own, base)):  # a method without seeds
        return [a - b for a in ours for b in theirs]
    differences: list[float] = (ours - theirs).dropna().tolist()
    return differences


def _beside(row: PlannedRow, column: str, reference: PlannedRow | None) -> str:
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


def _finished(row: PlannedRow) -> str:
    """How many runs of a row are finished."""
    finished, planned = len(row.measured), len(row.runs)
    if not finished:
        return MISSING
    return str(finished) if finished == planned else f"{finished} of {planned}"


def _value(figure: Printed | None) -> float:
    return figure.value if figure else math.nan


def _printed_key(task: str, metric: str, rows: Sequence[PlannedRow]) -> str:
    """The key of the printed figures that stand below a task's: its name ends in the data set's.

    ``micro-dtd`` stands above ``dtd``. Empty where no paper has the data set.
    """
    printed = (what.rpartition("/") for row in rows for what in row.paper)
    datasets = {dataset for dataset, _, what in printed if dataset and what == metric}
    named = [dataset for dataset in datasets if is_called(task, dataset)]
    return f"{named[0]}/{metric}" if named else ""


def _misprint_notes(rows: Sequence[PlannedRow], keys: Sequence[str]) -> Iterator[str]:
    """The notes on misprints among the printed figures of some keys."""
    for figure in (row.paper[key] for row in rows for key in keys if key in row.paper):
        if note := figure.misprint:
            wrong = f"{note.printed:g} is printed, {note.expected} expected"
            yield f"† Misprint: {wrong}; {note.reason}."


def _notes(rows: Sequence[PlannedRow], printed: Sequence[str]) -> Iterator[str]:
    """What a reader has to know: missing, shared and unverified runs, and who prints what."""
    planned = {run.folder for row in rows for run in row.runs}
    if missing := len(planned - {run.folder for row in rows for run in row.measured}):
        yield f"{missing} of {len(planned)} runs are missing."
    elsewhere: dict[str, list[str]] = {}
    for row in rows:
        if (other := short_name(row.config.benchmark)) != short_name(row.benchmark):
            elsewhere.setdefault(other, []).append(row.label)
    for other, labels in elsewhere.items():
        yield (
            f"Figures from the runs on {other}: {', '.join(labels)}. These methods never ask for "
            "the task of an image, so hiding it changes nothing."
        )
    if modified := [row.label for row in rows if any(run.modified for run in row.measured)]:
        which = "all rows" if len(modified) == len(rows) else ", ".join(modified)
        yield f"Not verified: run from source code with uncommitted changes ({which})."
    rows_of: dict[str, dict[str, None]] = {}
    for row in rows:
        for figure in (row.paper[what] for what in printed if what in row.paper):
            rows_of.setdefault(figure.source, {})[row.label] = None
    if len(rows_of) > 1:
        parts = [f"{source} ({', '.join(labels)})" for source, labels in rows_of.items()]
        yield f"Printed figures: {'; '.join(parts)}."
