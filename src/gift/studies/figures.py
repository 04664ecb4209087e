"""The pictures of experiments, in the look of the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from gift.report.figures import loss_curve
from gift.report.style import GRID, MUTED, drawing, only_horizontal_grid, save, series, settle
from gift.report.tables import METRICS, WHOLE, estimates, measurements
from gift.settings import flat, identity
from gift.studies.entries import Experiment, Picture
from gift.studies.plan import PlannedRow

Drawing = Callable[[Experiment, Picture, Sequence[PlannedRow]], Figure]


def draw(entry: Experiment, rows: Sequence[PlannedRow], folder: Path) -> tuple[Path, ...]:
    """Write the experiment's picture as PNG and PDF; nothing where no run is finished."""
    shown = [row for row in rows if row.measured]
    if entry.figure is None or not shown:
        return ()
    with drawing():
        figure = DRAWINGS[entry.figure.kind](entry, entry.figure, shown)
        settle(figure)
        return save(figure, folder, entry.name)


def sweep(entry: Experiment, picture: Picture, rows: Sequence[PlannedRow]) -> Figure:
    """One panel per column: its mean and spread over a setting's values, evenly spaced by ratio."""
    assert picture.setting is not None
    settings = (flat(identity(row.runs[0].config)) for row in rows)
    x = [float(values[picture.setting]) for values in settings]
    figure = Figure(figsize=(3.2 * len(entry.columns) + 0.4, 2.7), layout="constrained")
    panels = figure.subplots(1, len(entry.columns), squeeze=False)[0]
    measured = measurements(row.measured for row in rows)
    numbers = estimates(measured, len(rows), [(column, WHOLE) for column in entry.columns])
    for index, (axes, column) in enumerate(zip(panels, entry.columns, strict=True)):
        known = numbers["mean", index + 1].dropna()
        color, marker, _ = series(index)
        axes.errorbar(
            [x[row] for row in known.index],
            known,
            yerr=numbers["std", index + 1][known.index].fillna(0.0),
            color=color,
            marker=marker,
            markersize=5,
            linewidth=1.6,
            capsize=2.5,
        )
        axes.set_title(METRICS[column].title)
        axes.set_xscale("log" if min(x) > 0 else "linear")
        axes.xaxis.set_major_locator(FixedLocator(x))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.set_xlabel(picture.label)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        only_horizontal_grid(axes)
    return figure


def loss(entry: Experiment, picture: Picture, rows: Sequence[PlannedRow]) -> Figure:
    """A logged loss over the steps of the first tasks, mean over the runs of a row."""
    tasks = rows[0].measured[0].matrix.tasks[: picture.tasks]
    figure, axes = _chart(picture)
    for index, row in enumerate(rows):
        x, y = loss_curve(row.measured, str(picture.loss), tasks)
        color, _, dash = series(index)
        axes.plot(x, y, color=color, linestyle=dash, linewidth=1.4, label=row.label)
    for boundary in range(1, len(tasks)):
        axes.axvline(boundary, color=GRID, linewidth=0.9, zorder=0)
    axes.set_xlim(0, len(tasks))
    axes.set_ylim(bottom=0)
    axes.set_xticks(np.arange(len(tasks)) + 0.5, tasks)
    axes.set_xlabel("training steps of each task")
    figure.legend(loc="outside upper left", ncols=len(rows))
    return figure


def first_task(entry: Experiment, picture: Picture, rows: Sequence[PlannedRow]) -> Figure:
    """The first task's accuracy after each task, mean and spread over the runs of a row."""
    tasks = rows[0].measured[0].matrix.tasks
    figure, axes = _chart(picture)
    x = np.arange(1, len(tasks) + 1)
    for index, row in enumerate(rows):
        rows_of = [run.matrix.accuracy for run in row.measured]
        values = np.array(rows_of, dtype=np.float64)[:, :, 0]
        color, marker, dash = series(index)
        mean = values.mean(axis=0)
        if len(values) > 1:
            spread = values.std(axis=0, ddof=1)
            axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.18, linewidth=0)
        axes.plot(
            x, mean, color=color, marker=marker, markersize=4, linestyle=dash, label=row.label
        )
    zero_shot = np.mean([run.matrix.zero_shot[0] for row in rows for run in row.measured])
    axes.axhline(
        float(zero_shot), color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)), label="Zero-shot"
    )
    axes.set_xlabel(f"tasks learned, {tasks[0]} first")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=len(rows) + 1)
    return figure


DRAWINGS: Mapping[str, Drawing] = {"sweep": sweep, "loss": loss, "first_task": first_task}


def _chart(picture: Picture) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_ylabel(picture.label)
    only_horizontal_grid(axes)
    return figure, axes
