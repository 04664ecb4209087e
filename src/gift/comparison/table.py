"""The table of an experiment: what the runs measured, beside what the paper prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from scipy import stats

from gift.comparison.entries import Experiment, Misprint, Row, published
from gift.comparison.plan import PlannedRow
from gift.report.groups import Estimate, Group
from gift.report.read import Run, read_run
from gift.report.table import MISSING, Cell, Table


@dataclass(frozen=True)
class ColumnKind:
    """How a column is called, read from a run, and shown."""

    title: str
    value: Callable[[Run], float | None]
    arrow: str = "↑"
    digits: int = 1


def _metric(name: str) -> Callable[[Run], float | None]:
    def value(run: Run) -> float | None:
        estimate = Group("", (run,)).metric(name)
        return estimate.mean if estimate else None

    return value


COLUMNS: Mapping[str, ColumnKind] = {
    "transfer": ColumnKind("Transfer", _metric("transfer")),
    "avg": ColumnKind("Avg.", _metric("avg")),
    "last": ColumnKind("Last", _metric("last")),
    "forgetting": ColumnKind("Forgetting", _metric("forgetting"), "↓"),
    "first_task_last": ColumnKind("Last of first task", lambda run: run.matrix.accuracy[-1][0]),
    "train_seconds": ColumnKind("Training (s)", lambda run: run.seconds.get("train"), "↓"),
    "peak_memory_mb": ColumnKind("Memory (MB)", lambda run: run.peak_memory_mb, "↓", 0),
}


@dataclass(frozen=True)
class RowResult:
    """What the finished runs of a row measured, by column, and what the paper prints."""

    planned: PlannedRow
    runs: tuple[Run, ...]
    paper: Mapping[str, float | None]

    @property
    def label(self) -> str:
        return self.planned.label

    def estimate(self, column: str) -> Estimate | None:
        """Mean and sample standard deviation over the runs."""
        return Estimate.of(list(self._by_seed(column).values()))

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
    figures = entry.figures_for(benchmark)
    return tuple(
        RowResult(
            row,
            tuple(read_run(run.folder) for run in row.finished),
            _paper(figures.table, row.entry) if figures else {},
        )
        for row in planned
    )


def build_table(entry: Experiment, benchmark: str, rows: Sequence[RowResult]) -> Table:
    """One line per row: measured columns, number of runs, printed columns."""
    reference = next((row for row in rows if row.planned.entry.name == entry.difference_to), None)
    printed = [column for column in entry.columns if any(column in row.paper for row in rows)]
    misprints = _misprints(entry, benchmark, rows, printed)
    figures = entry.figures_for(benchmark)
    titles = [COLUMNS[column].title for column in printed]
    heads = [f"paper: {title}" for title in titles]
    if figures and heads:
        heads[0] = f"paper ({figures.title}): {titles[0]}"
    lines = []
    for row in rows:
        cells = [_measured(row, column, reference, entry.intervals) for column in entry.columns]
        paper = [_printed(row, column, reference, misprints) for column in printed]
        lines.append((Cell(row.label), *cells, _runs(row), *paper))
    return Table(
        name=entry.name,
        title=entry.title,
        header=("Row", *(_head(column) for column in entry.columns), "Runs", *heads),
        rows=tuple(lines),
        notes=(
            *_missing_note(rows),
            *_modified_note(rows),
            *(
                f"† Misprint: {m.printed:g} is printed, {m.expected} expected; {m.reason}."
                for m in misprints.values()
            ),
        ),
    )


def row_json(row: RowResult, columns: Sequence[str]) -> dict[str, Any]:
    """A row with all digits, for programs."""
    measured = {}
    for column in columns:
        estimate = row.estimate(column)
        measured[column] = estimate and {"mean": estimate.mean, "std": estimate.spread}
    first = row.planned.runs[0]
    return {
        "row": row.label,
        "method": row.planned.entry.method,
        "settings": {".".join(path): value for path, value in first.changes.items()},
        "planned": [str(run.folder) for run in row.planned.runs],
        "seeds": [run.seed for run in row.runs],
        "measured": measured,
        "paper": dict(row.paper),
    }


def _paper(table: str, row: Row) -> Mapping[str, float | None]:
    """What the paper prints for a row."""
    return published().tables[table][row.published] if row.published else {}


def _head(column: str) -> str:
    return f"{COLUMNS[column].title} {COLUMNS[column].arrow}"


def _measured(row: RowResult, column: str, reference: RowResult | None, intervals: bool) -> Cell:
    estimate = row.estimate(column)
    if estimate is None:
        return Cell(MISSING)
    digits = COLUMNS[column].digits
    text = f"{estimate.mean:.{digits}f}"
    if estimate.spread is not None:
        text += f" ± {estimate.spread:.{digits}f}"
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


def interval(values: Sequence[float], share: float = 0.95) -> tuple[float, float]:
    """Student's confidence interval of the mean of two or more values."""
    half = stats.t.ppf((1 + share) / 2, len(values) - 1) * stats.sem(values)
    mean = fmean(values)
    return mean - float(half), mean + float(half)


def _printed(
    row: RowResult,
    column: str,
    reference: RowResult | None,
    misprints: Mapping[tuple[str, str], Misprint],
) -> Cell:
    value = row.paper.get(column)
    if value is None:
        return Cell(MISSING)
    name = row.label
    text = f"{value:.1f}" if value == round(value, 1) else f"{value:.2f}"
    text += "†" if (name, column) in misprints else ""
    base = reference.paper.get(column) if reference and row is not reference else None
    if reference is not None and base is not None:
        # The printed difference, where the paper takes it to the same row.
        printed = row.paper.get(f"delta_{column}")
        own = printed is not None and reference.paper.get(f"delta_{column}") == 0
        mark = "†" if own and (name, f"delta_{column}") in misprints else ""
        text += f" ({_signed(printed if own and printed is not None else value - base)}{mark})"
    return Cell(text, Estimate(value))


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "−")


def _runs(row: RowResult) -> Cell:
    finished, planned = len(row.runs), len(row.planned.runs)
    if not finished:
        return Cell(MISSING)
    return Cell(str(finished) if finished == planned else f"{finished} of {planned}")


def _misprints(
    entry: Experiment, benchmark: str, rows: Sequence[RowResult], columns: Sequence[str]
) -> dict[tuple[str, str], Misprint]:
    """The misprinted figures that the table shows, by row and metric."""
    figures = entry.figures_for(benchmark)
    shown = [*columns, *(f"delta_{column}" for column in columns if entry.difference_to)]
    found = {}
    for row in rows:
        name = row.planned.entry.published
        for what in shown:
            if figures and name and (note := published().misprint(figures.table, name, what)):
                found[row.label, what] = note
    return found


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
