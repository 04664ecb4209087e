"""The tables of a report, and of the documentation: metrics, metrics per task, costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gift import metrics
from gift.report.groups import Comparison, Estimate, Group, compare
from gift.report.table import MISSING, Cell, Table
from gift.runs.read import STAGES, read_run

ZERO_SHOT = "Zero-shot"
TITLES = {
    "transfer": "Transfer",
    "avg": "Avg.",
    "last": "Last",
    "forgetting": "Forgetting",
    "seen": "Accuracy over the classes seen",
}
LOWER_IS_BETTER = ("forgetting",)

PerTask = Callable[[metrics.Array, tuple[int, ...]], metrics.Array]
PER_TASK: dict[str, PerTask] = {
    "transfer": lambda accuracy, _: metrics.transfer_per_task(accuracy, partial=True),
    "avg": lambda accuracy, _: metrics.average_per_task(accuracy, partial=True),
    "last": lambda accuracy, _: metrics.last_per_task(accuracy, partial=True),
    "seen": lambda accuracy, images: metrics.seen_accuracy(accuracy, images=images, partial=True),
}
"""Numbers per task of an accuracy matrix and the tasks' numbers of test images; at most [n]."""


def per_task_metrics(comparison: Comparison) -> tuple[str, ...]:
    """The keys of :data:`PER_TASK` that say something here."""
    return ("seen", "last") if comparison.seen_only else ("transfer", "avg", "last")


def metrics_markdown(folders: Sequence[Path], labels: Sequence[str] | None = None) -> str:
    """The table of all metrics for result or run folders, as Markdown.

    Each folder needs ``matrix.json``; ``summary.json`` gives the method and the seed.
    """
    return metrics_table(compare([read_run(path) for path in folders], labels)).markdown()


def per_task_markdown(
    folders: Sequence[Path], metric: str = "last", labels: Sequence[str] | None = None
) -> str:
    """The per-task columns of one metric for result folders, as Markdown.

    ``transfer``, ``avg`` or ``last``; for class-incremental runs ``seen`` or ``last``.
    """
    comparison = compare([read_run(path) for path in folders], labels)
    if metric not in (known := per_task_metrics(comparison)):
        raise ValueError(f"metric must be one of {', '.join(known)}; got {metric!r}.")
    return per_task_table(comparison, metric).markdown()


def metrics_table(comparison: Comparison) -> Table:
    """One row per method and a zero-shot row above them. Percent; Forgetting in points."""
    names = comparison.metric_names
    columns = [_column(comparison, name) for name in names]
    zero = comparison.zero_shot_metrics
    zero_row = [
        Cell(MISSING)
        if name in LOWER_IS_BETTER
        else _number(Estimate.of([v for v in [getattr(zero, name)] if v is not None]))
        for name in names
    ]
    rows = [(Cell(ZERO_SHOT), *zero_row, Cell(MISSING))]
    for i, group in enumerate(comparison.groups):
        rows.append((_name(group), *(column[i] for column in columns), Cell(str(len(group.used)))))
    titles = [f"{TITLES[name]} {'↓' if name in LOWER_IS_BETTER else '↑'}" for name in names]
    *first, final = (TITLES[name] for name in names)
    return Table(
        name="metrics",
        title=f"{', '.join(first)} and {final}",
        header=("Method", *titles, "Runs"),
        rows=tuple(rows),
        notes=_dagger_note(comparison),
    )


def per_task_table(comparison: Comparison, metric: str) -> Table:
    """A metric of every task, and the metric of the whole run. Percent.

    Args:
        comparison: the runs.
        metric: one of :func:`per_task_metrics`. ``seen`` has a column per step: the accuracy over
            all classes seen after the task of that name.
    """
    whole = "avg" if metric == "seen" else metric
    tasks = range(len(comparison.tasks))
    estimates = []
    for group in comparison.groups:
        runs = [PER_TASK[metric](m, comparison.images) for m in group.matrices if len(m)]
        columns = [
            Estimate.of([float(run[j]) for run in runs if j < len(run) and not np.isnan(run[j])])
            for j in tasks
        ]
        estimates.append([*columns, group.metric(whole)])
    zero_mean = getattr(comparison.zero_shot_metrics, whole)
    zero_row = [
        Cell(MISSING) if v is None or np.isnan(v) else _number(Estimate(float(v)))
        for v in (*_zero_shot_per_task(comparison, metric), zero_mean)
    ]
    columns_of_cells = [
        _best([row[j] for row in estimates], comparison.groups, lower=False)
        for j in range(len(comparison.tasks) + 1)
    ]
    rows = [(Cell(ZERO_SHOT), *zero_row)]
    for i, group in enumerate(comparison.groups):
        rows.append((_name(group), *(column[i] for column in columns_of_cells)))
    return Table(
        name=f"{metric}-per-task",
        title=f"{TITLES[metric]} {'after' if metric == 'seen' else 'of'} each task",
        header=("Method", *comparison.tasks, _whole_title(comparison, metric)),
        rows=tuple(rows),
        notes=_dagger_note(comparison),
    )


def _zero_shot_per_task(comparison: Comparison, metric: str) -> metrics.Array:
    """What the model scores that never changes, [n]; NaN where it was not measured."""
    zero_shot = np.array(comparison.zero_shot)
    if comparison.seen_only:
        return zero_shot if metric == "seen" else np.full(len(zero_shot), np.nan)
    return PER_TASK[metric](metrics.zero_shot_matrix(zero_shot), comparison.images)


def _whole_title(comparison: Comparison, metric: str) -> str:
    """The last column: over tasks a mean; over the classes seen at the end, all their images."""
    return "All" if comparison.seen_only and metric == "last" else "Mean"


def matrix_table(comparison: Comparison, group: Group, name: str) -> Table:
    """A method's accuracy matrix, mean over its runs, in percent; one row per learned task."""
    zero_row = [_number(Estimate(value)) for value in comparison.zero_shot]
    rows = [] if comparison.seen_only else [(Cell(ZERO_SHOT), *zero_row)]
    for i in range(group.used[0].learned):
        columns = (group.matrices[:, i, j] for j in range(len(comparison.tasks)))
        cells = (_number(Estimate.of(column[~np.isnan(column)].tolist())) for column in columns)
        rows.append((Cell(comparison.tasks[i]), *cells))
    title = f"Accuracy matrix of {group.label}"
    return Table(name, title, ("After learning", *comparison.tasks), tuple(rows))


def costs_table(comparison: Comparison) -> Table:
    """Time per stage and the largest memory of every method; what it stores, where runs tell."""
    stages = stages_of(comparison)
    stored = any(group.stored("method_bytes") for group in comparison.groups)
    rows = tuple(
        (
            _name(group),
            *(_quantity(group.seconds(stage), duration) for stage in stages),
            _quantity(group.peak_memory_mb, megabytes),
            *(_quantity(group.stored(what), show) for what, (_, show) in STORED.items() if stored),
        )
        for group in comparison.groups
    )
    header = ["Method", *(stage.capitalize() for stage in stages), "Peak memory"]
    header += [title for title, _ in STORED.values() if stored]
    units = f"times are seconds, memory is megabytes{', storage is bytes' if stored else ''}"
    return Table("costs", "Time and memory", tuple(header), rows, (f"In CSV, {units}.",))


def stages_of(comparison: Comparison) -> tuple[str, ...]:
    """Every stage that some run has a time for."""
    runs = [run for group in comparison.groups for run in group.used]
    found = dict.fromkeys(stage for run in runs for stage in run.seconds)
    others = tuple(stage for stage in found if stage not in STAGES)
    return (*others, *(stage for stage in STAGES if stage in found))


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(0.25), duration(42), duration(600), duration(9000)
    ('0.25 s', '42.0 s', '10.0 min', '2.5 h')
    """
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def megabytes(value: float) -> str:
    """Megabytes for people.

    >>> megabytes(612.3), megabytes(20480)
    ('612 MB', '20.0 GB')
    """
    return f"{value:.0f} MB" if value < 10_000 else f"{value / 1024:.1f} GB"


def size(value: float) -> str:
    """Bytes for people, a megabyte being a million.

    >>> size(0), size(1_234_567), size(598_483_000), size(6_583_313_000)
    ('0.00 MB', '1.23 MB', '598 MB', '6.6 GB')
    """
    if value < 10e6:
        return f"{value / 1e6:.2f} MB"
    return f"{value / 1e6:.0f} MB" if value < 1e9 else f"{value / 1e9:.1f} GB"


STORED: dict[str, tuple[str, Callable[[float], str]]] = {
    "method_bytes": ("Stored beside the model", size),
    "extra_parameters": ("Extra parameters", "{:,.0f}".format),
}
"""Numbers of :class:`gift.runs.read.Storage` that are shown: a title, and how."""


def _column(comparison: Comparison, name: str) -> list[Cell]:
    estimates = [group.metric(name) for group in comparison.groups]
    return _best(estimates, comparison.groups, lower=name in LOWER_IS_BETTER)


def _best(
    estimates: Sequence[Estimate | None], groups: Sequence[Group], *, lower: bool
) -> list[Cell]:
    """The cells of a column; best among finished methods, ties at the printed digit included."""
    known = [
        round(e.mean, 1) for e, group in zip(estimates, groups, strict=True) if e and group.complete
    ]
    best = (min(known) if lower else max(known)) if len(known) > 1 else None
    return [
        Cell(
            _number(e).text,
            e,
            best=group.complete and e is not None and round(e.mean, 1) == best,
        )
        for e, group in zip(estimates, groups, strict=True)
    ]


def _number(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(MISSING)
    text = f"{estimate.mean:.1f}"
    if estimate.spread is not None:
        text += f" ± {estimate.spread:.1f}"
    return Cell(text.replace("-0.0", "0.0"), estimate)


def _quantity(estimate: Estimate | None, show: Callable[[float], str]) -> Cell:
    return Cell(show(estimate.mean) if estimate else MISSING, estimate)


def _name(group: Group) -> Cell:
    return Cell(group.label if group.complete else f"{group.label} †")


def _dagger_note(comparison: Comparison) -> tuple[str, ...]:
    if len(comparison.complete) == len(comparison.groups):
        return ()
    return ("† unfinished: the numbers are those of the tasks learned so far.",)
