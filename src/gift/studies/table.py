"""The tables of an experiment: what the runs measured, beside what papers print."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from gift.report.tables import (
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


class Column(NamedTuple):
    """How a metric of :func:`gift.report.tables.measurements` is called and shown."""

    title: str
    arrow: str = "↑"
    form: str = "z.1f"


COLUMNS: Mapping[str, Column] = {
    "transfer": Column("Transfer"),
    "avg": Column("Avg."),
    "last": Column("Last"),
    "forgetting": Column("Forgetting", "↓"),
    "first_task_last": Column("Last of first task"),
    "train_seconds": Column("Training (s)", "↓"),
    "merge_seconds": Column("Merging (s)", "↓", ".2f"),
    "evaluate_seconds": Column("Evaluation (s)", "↓"),
    "peak_memory_mb": Column("Memory (MB)", "↓", ".0f"),
    "method_mb": Column("Stored (MB)", "↓", ".2f"),
    "extra_parameters": Column("Extra parameters", "↓", ",.0f"),
}


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
    names = [row.planned.entry.name for row in rows]
    base = names.index(entry.difference_to) if entry.difference_to in names else None
    printed = [column for column in entry.columns if any(column in row.paper for row in rows)]
    measured = measurements(row.runs for row in rows)
    numbers = estimates(measured, len(rows), [(column, WHOLE) for column in entry.columns])
    text = shown(numbers, [COLUMNS[column].form for column in entry.columns])
    text.insert(0, 0, [row.label for row in rows])
    if base is not None:
        for position, column in enumerate(entry.columns, start=1):
            found = [_differences(measured, rows, column, row, base) for row in range(len(rows))]
            between = (f" ({difference(d, intervals=entry.intervals)})" if d else "" for d in found)
            text[position] += pd.Series(between, dtype=object)
    text[len(entry.columns) + 1] = [_finished(row) for row in rows]
    for position, column in enumerate(printed, start=len(entry.columns) + 2):
        text[position] = [
            _beside(row, column, None if base is None else rows[base]) for row in rows
        ]
        numbers["mean", position] = [_value(row.paper.get(column)) for row in rows]
    heads = [f"paper: {COLUMNS[column].title}" for column in printed]
    if heads:
        heads[0] = heads[0].replace("paper", f"paper ({figures_title(entry, benchmark)})", 1)
    measured_heads = (
        f"{COLUMNS[column].title} {COLUMNS[column].arrow}" for column in entry.columns
    )
    deltas = [f"delta_{column}" for column in printed if entry.difference_to]
    return Table(
        name=entry.name,
        title=entry.title,
        header=("Row", *measured_heads, "Runs", *heads),
        text=text,
        numbers=numbers,
        notes=(
            *_missing_note(rows),
            *_modified_note(rows),
            *_sources_note(rows, printed),
            *_misprint_notes(rows, [*printed, *deltas]),
        ),
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
    text = shown(numbers, ["z.1f"] * len(keys))
    text.insert(0, 0, [row.label for row in rows])
    text[len(keys) + 1] = [_finished(row) for row in rows]
    # The printed lines get the index of the measured ones and come after them in a stable sort.
    papers = {i: [row.paper.get(key) for key in printed] for i, row in enumerate(rows)}
    papers = {i: figures for i, figures in papers.items() if any(figures)}
    lines = [
        [f"paper: {rows[i].label}", *map(_printed, figures), MISSING]
        for i, figures in papers.items()
    ]
    values = [[*map(_value, figures), *[math.nan] * len(keys)] for figures in papers.values()]
    return Table(
        name=f"{entry.name}-{metric}",
        title=f"{COLUMNS[metric].title} per data set",
        header=("Row", *tasks, "Mean", "Runs"),
        text=_below(text, lines, papers),
        numbers=_below(numbers, values, papers),
        notes=tuple(_misprint_notes(rows, printed)),
    )


def _below(
    frame: pd.DataFrame, lines: Sequence[Sequence[object]], at: Iterable[int]
) -> pd.DataFrame:
    """A frame with further lines, each below the row whose index it gets."""
    more = pd.DataFrame(lines, index=list(at), columns=frame.columns)
    return pd.concat([frame, more]).sort_index(kind="stable") if lines else frame


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
    measured = {
        key: None if mean[i] is None else {"mean": mean[i], "std": std[i]}
        for i, key in enumerate(keys, start=1)
    }
    first = row.planned.runs[0]
    return {
        "row": row.label,
        "method": row.planned.entry.method,
        "settings": dict(first.changes),
        "planned": [str(run.folder) for run in row.planned.runs],
        "seeds": [run.seed for run in row.runs],
        "measured": measured,
        "paper": {what: figure.value for what, figure in row.paper.items()},
    }


def _differences(
    measured: pd.DataFrame, rows: Sequence[RowResult], column: str, row: int, base: int
) -> list[float]:
    """The differences of a row to another one, one per seed that both have."""
    if row == base:
        return []
    own, other = (values_of(measured, i, column) for i in (row, base))
    if any(len(rows[i].planned.runs) == 1 for i in (row, base)):  # a method without seeds
        return [a - b for a in own for b in other]
    differences: list[float] = (own - other).dropna().tolist()
    return differences


def _beside(row: RowResult, column: str, reference: RowResult | None) -> str:
    """What the paper prints, with the difference to its reference row."""
    figure = row.paper.get(column)
    base = reference.paper.get(column) if reference and row is not reference else None
    if figure is None or reference is None or base is None:
        return _printed(figure)
    # The printed difference, where the paper takes it to the same row.
    own, zero = row.paper.get(f"delta_{column}"), reference.paper.get(f"delta_{column}")
    if own and zero and zero.value == 0:
        between = f"{signed(own.value)}{_dagger(own)}"
    else:
        between = signed(figure.value - base.value)
    return f"{_printed(figure)} ({between})"


def _value(figure: Printed | None) -> float:
    return math.nan if figure is None else figure.value


def _printed(figure: Printed | None) -> str:
    """A figure as printed, misprints marked."""
    if figure is None:
        return MISSING
    digits = 1 if figure.value == round(figure.value, 1) else 2
    return f"{figure.value:.{digits}f}{_dagger(figure)}"


def _dagger(figure: Printed) -> str:
    return "†" if figure.misprint else ""


def _printed_key(task: str, metric: str, rows: Sequence[RowResult]) -> str:
    """The key of the printed figures that stand below a task's: its name ends in the data set's.

    ``micro-dtd`` stands above ``dtd``. Empty where no paper has the data set.
    """
    printed = (what.rpartition("/") for row in rows for what in row.paper)
    datasets = {dataset for dataset, _, what in printed if dataset and what == metric}
    named = [d for d in datasets if task == d or task.endswith(f"-{d}")]
    return f"{named[0]}/{metric}" if named else ""


def _finished(row: RowResult) -> str:
    """How many runs of a row are finished."""
    finished, planned = len(row.runs), len(row.planned.runs)
    if not finished:
        return MISSING
    return str(finished) if finished == planned else f"{finished} of {planned}"


def _misprint_notes(rows: Sequence[RowResult], shown: Sequence[str]) -> list[str]:
    """The notes on misprints among the figures that a table shows, by their keys."""
    found = (row.paper[what].misprint for row in rows for what in shown if what in row.paper)
    return [
        f"† Misprint: {note.printed:g} is printed, {note.expected} expected; {note.reason}."
        for note in found
        if note
    ]


def _sources_note(rows: Sequence[RowResult], shown: Sequence[str]) -> list[str]:
    """Which paper prints which row, where there are several papers."""
    rows_of: dict[str, dict[str, None]] = {}
    for row in rows:
        for figure in (row.paper[what] for what in shown if what in row.paper):
            rows_of.setdefault(figure.source, {})[row.label] = None
    if len(rows_of) < 2:
        return []
    parts = [f"{source} ({', '.join(labels)})" for source, labels in rows_of.items()]
    return [f"Printed figures: {'; '.join(parts)}."]


def _missing_note(rows: Sequence[RowResult]) -> list[str]:
    planned = {run.folder for row in rows for run in row.planned.runs}
    finished = {run.folder for row in rows for run in row.runs}
    missing = len(planned - finished)
    return [f"{missing} of {len(planned)} runs are missing."] if missing else []


def _modified_note(rows: Sequence[RowResult]) -> list[str]:
    names = [row.label for row in rows if any(run.modified for run in row.runs)]
    if not names:
        return []
    which = "all rows" if len(names) == len(rows) else ", ".join(names)
    return [f"Not verified: run from source code with uncommitted changes ({which})."]
