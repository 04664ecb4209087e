"""The table of an experiment: what the runs measured, beside what the paper prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

from gift.report.groups import Estimate, Group
from gift.report.table import MISSING, Cell, Table
from gift.report.tables import PER_TASK
from gift.runs import Storage
from gift.runs.read import Run, read_run
from gift.studies.entries import PER_DATASET, Experiment, Printed
from gift.studies.plan import PlannedRow


@dataclass(frozen=True)
class ColumnKind:
    """How a column is called, read from a run, and shown: ``form`` is a format specification."""

    title: str
    value: Callable[[Run], float | None]
    arrow: str = "↑"
    form: str = ".1f"


def _metric(name: str) -> Callable[[Run], float | None]:
    def value(run: Run) -> float | None:
        estimate = Group("", (run,)).metric(name)
        return estimate.mean if estimate else None

    return value


def _seconds(stage: str) -> Callable[[Run], float | None]:
    return lambda run: run.seconds.get(stage)


def _stored(value: Callable[[Storage], float]) -> Callable[[Run], float | None]:
    return lambda run: None if run.storage is None else value(run.storage)


COLUMNS: Mapping[str, ColumnKind] = {
    "transfer": ColumnKind("Transfer", _metric("transfer")),
    "avg": ColumnKind("Avg.", _metric("avg")),
    "last": ColumnKind("Last", _metric("last")),
    "forgetting": ColumnKind("Forgetting", _metric("forgetting"), "↓"),
    "first_task_last": ColumnKind("Last of first task", lambda run: run.matrix.accuracy[-1][0]),
    "train_seconds": ColumnKind("Training (s)", _seconds("train"), "↓"),
    "merge_seconds": ColumnKind("Merging (s)", _seconds("merge"), "↓", ".2f"),
    "evaluate_seconds": ColumnKind("Evaluation (s)", _seconds("evaluate"), "↓"),
    "peak_memory_mb": ColumnKind("Memory (MB)", lambda run: run.peak_memory_mb, "↓", ".0f"),
    "method_mb": ColumnKind("Stored (MB)", _stored(lambda s: s.method_bytes / 1e6), "↓", ".2f"),
    "extra_parameters": ColumnKind(
        "Extra parameters", _stored(lambda s: s.extra_parameters), "↓", ",.0f"
    ),
}


@dataclass(frozen=True)
class RowResult:
    """What the finished runs of a row measured, and what papers print for it.

    ``paper`` is by ``metric`` or ``dataset/metric``.
    """

    planned: PlannedRow
    runs: tuple[Run, ...]
    paper: Mapping[str, Printed]

    @property
    def label(self) -> str:
        return self.planned.label

    def estimate(self, column: str) -> Estimate | None:
        """Mean and sample standard deviation over the runs."""
        return Estimate.of(list(self._by_seed(column).values()))

    def of_task(self, metric: str, task: str) -> Estimate | None:
        """A metric of one task, as :meth:`estimate`; None where it does not exist."""
        found = []
        for run in self.runs:
            matrix = np.array(run.matrix.accuracy, dtype=np.float64)
            found.append(PER_TASK[metric](matrix, run.matrix.images)[run.matrix.tasks.index(task)])
        return Estimate.of([float(value) for value in found if not np.isnan(value)])

    def differences(self, other: RowResult, column: str) -> list[float]:
        """The differences to another row, one per seed that both have."""
        own, base = self._by_seed(column), other._by_seed(column)
        if self._once or other._once:  # a method that learns nothing has no seeds
            return [a - b for a in own.values() for b in base.values()]
        return [own[seed] - base[seed] for seed in own if seed in base]

    @property
    def _once(self) -> bool:
        return len(self.planned.runs) == 1

    def _by_seed(self, column: str) -> dict[int | None, float]:
        found = {run.seed: COLUMNS[column].value(run) for run in self.runs}
        return {seed: value for seed, value in found.items() if value is not None}


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
    reference = next((row for row in rows if row.planned.entry.name == entry.difference_to), None)
    printed = [column for column in entry.columns if any(column in row.paper for row in rows)]
    heads = [f"paper: {COLUMNS[column].title}" for column in printed]
    if heads:
        heads[0] = heads[0].replace("paper", f"paper ({figures_title(entry, benchmark)})", 1)
    lines = []
    for row in rows:
        cells = [_measured(row, column, reference, entry.intervals) for column in entry.columns]
        paper = [_beside(row, column, reference) for column in printed]
        lines.append((Cell(row.label), *cells, runs_cell(row), *paper))
    shown = [*printed, *(f"delta_{column}" for column in printed if entry.difference_to)]
    return Table(
        name=entry.name,
        title=entry.title,
        header=("Row", *(_head(column) for column in entry.columns), "Runs", *heads),
        rows=tuple(lines),
        notes=(
            *_missing_note(rows),
            *_modified_note(rows),
            *_sources_note(rows, printed),
            *misprint_notes(rows, shown),
        ),
    )


def figures_title(entry: Experiment, benchmark: str) -> str:
    """What the papers measured whose figures stand beside a benchmark's; empty for none."""
    return "; ".join(dict.fromkeys(figures.title for figures in entry.figures_for(benchmark)))


def row_json(row: RowResult, columns: Sequence[str], tasks: Sequence[str] = ()) -> dict[str, Any]:
    """A row with all digits, for programs.

    Args:
        row: the row.
        columns: of the table.
        tasks: whose metrics are given too, as ``task/metric``.
    """
    found = {column: row.estimate(column) for column in columns}
    for metric in (column for column in columns if column in PER_DATASET):
        found |= {f"{task}/{metric}": row.of_task(metric, task) for task in tasks}
    measured = {key: e and {"mean": e.mean, "std": e.spread} for key, e in found.items()}
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


def _head(column: str) -> str:
    return f"{COLUMNS[column].title} {COLUMNS[column].arrow}"


def _measured(row: RowResult, column: str, reference: RowResult | None, intervals: bool) -> Cell:
    estimate = row.estimate(column)
    if estimate is None:
        return Cell(MISSING)
    text = measured_text(estimate, COLUMNS[column].form)
    if reference is None or row is reference:
        return Cell(text, estimate)
    differences = row.differences(reference, column)
    if not differences:
        return Cell(text, estimate)
    text += f" ({_signed(fmean(differences))}"
    if intervals and len(differences) > 1:
        low, high = map(_signed, interval(differences))
        text += f", {low} to {high}"
    return Cell(f"{text})", estimate)


def measured_text(estimate: Estimate, form: str = ".1f") -> str:
    """The mean, and the spread where there is one."""
    text = f"{estimate.mean:{form}}"
    return text if estimate.spread is None else f"{text} ± {estimate.spread:{form}}"


def interval(values: Sequence[float], share: float = 0.95) -> tuple[float, float]:
    """Student's confidence interval of the mean of two or more values."""
    half = stats.t.ppf((1 + share) / 2, len(values) - 1) * stats.sem(values)
    mean = fmean(values)
    return mean - float(half), mean + float(half)


def _beside(row: RowResult, column: str, reference: RowResult | None) -> Cell:
    """What the paper prints, with the difference to its reference row."""
    figure = row.paper.get(column)
    base = reference.paper.get(column) if reference and row is not reference else None
    if figure is None or reference is None or base is None:
        return printed_cell(figure)
    # The printed difference, where the paper takes it to the same row.
    own, zero = row.paper.get(f"delta_{column}"), reference.paper.get(f"delta_{column}")
    if own and zero and zero.value == 0:
        difference = f"{_signed(own.value)}{_dagger(own)}"
    else:
        difference = _signed(figure.value - base.value)
    return Cell(f"{printed_cell(figure).text} ({difference})", Estimate(figure.value))


def printed_cell(figure: Printed | None) -> Cell:
    """A figure as printed, misprints marked."""
    if figure is None:
        return Cell(MISSING)
    value = figure.value
    text = f"{value:.1f}" if value == round(value, 1) else f"{value:.2f}"
    return Cell(text + _dagger(figure), Estimate(value))


def _dagger(figure: Printed) -> str:
    return "†" if figure.misprint else ""


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def runs_cell(row: RowResult) -> Cell:
    """How many runs of a row are finished."""
    finished, planned = len(row.runs), len(row.planned.runs)
    if not finished:
        return Cell(MISSING)
    return Cell(str(finished) if finished == planned else f"{finished} of {planned}")


def misprint_notes(rows: Sequence[RowResult], shown: Sequence[str]) -> list[str]:
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
