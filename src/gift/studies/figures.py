"""The pictures of experiments, in the look of the reports."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from gift.data import short_name
from gift.report.figures import (
    accuracy_of_task,
    landmarks,
    legend,
    loss_curve,
    make_panels,
    name_tasks,
    shorten,
)
from gift.report.gallery import is_pixelated, opened
from gift.report.style import (
    GRID,
    INK,
    MUTED,
    SERIES,
    drawing,
    only_horizontal_grid,
    save,
    series,
    settle,
)
from gift.report.tables import METRICS, WHOLE, estimates, measurements
from gift.settings import flat, identity
from gift.studies.entries import Experiment
from gift.studies.figure_data import read_data
from gift.studies.landscape import LossLandscape
from gift.studies.pictures import Accuracy, Loss, Sweep
from gift.studies.plan import PlannedRow
from gift.studies.samples import GeneratedSamples

_MODELS: Sequence[Any] = (
    {"color": INK, "marker": "o", "linestyle": "", "markersize": 8},
    {"color": SERIES[1], "marker": "s", "linestyle": "", "markersize": 8},
    {"color": SERIES[2], "marker": "^", "linestyle": "", "markersize": 9},
)
_ON_COLORS: Any = {
    "textcoords": "offset points",
    "bbox": {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.8, "linewidth": 0},
}
_SHADES = LinearSegmentedColormap.from_list("losses", [SERIES[0], "#eaf1fb"])


def draw(
    entry: Experiment, rows: Sequence[PlannedRow], data: Path | None, folder: Path
) -> tuple[Path, ...]:
    """Write the experiment's picture as PNG and PDF; nothing where there is nothing to show.

    Args:
        entry: the experiment.
        rows: with what their finished runs measured.
        data: the file of what the picture shows beside that, if it needs one.
        folder: where the picture goes.
    """
    with drawing():
        figure = _figure(entry, rows, data)
        if figure is None:
            return ()
        settle(figure)
        return save(figure, folder, entry.name)


def _figure(entry: Experiment, rows: Sequence[PlannedRow], data: Path | None) -> Figure | None:
    found = read_data(entry, data)
    if isinstance(found, LossLandscape):
        return landscape(found, [row.name for row in rows])
    if isinstance(found, GeneratedSamples):
        return samples(found, [row.name for row in rows])
    shown = [row for row in rows if row.measured]
    if not shown:
        return None
    if isinstance(entry.figure, Sweep):
        return sweep(entry.figure, entry.columns, shown)
    if isinstance(entry.figure, Loss):
        logged = [row for row in shown if _logged(row, entry.figure.loss)]
        return loss(entry.figure, logged) if logged else None
    if isinstance(entry.figure, Accuracy):
        return accuracy(entry.figure, shown)
    return None


def _logged(row: PlannedRow, loss: str) -> bool:
    """Whether the row's runs say what the loss was; results of other experiments may not."""
    return any(loss in step.losses for run in row.measured for step in run.steps)


def sweep(picture: Sweep, columns: Sequence[str], rows: Sequence[PlannedRow]) -> Figure:
    """One panel per column: its mean and spread over a setting's values, evenly spaced by ratio."""
    x = [float(flat(identity(row.config))[picture.setting]) for row in rows]
    figure = Figure(figsize=(3.2 * len(columns) + 0.4, 2.7), layout="constrained")
    panels = figure.subplots(1, len(columns), squeeze=False)[0]
    measured = measurements(row.measured for row in rows)
    numbers = estimates(measured, len(rows), [(column, WHOLE) for column in columns])
    for index, (axes, column) in enumerate(zip(panels, columns, strict=True)):
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


def loss(picture: Loss, rows: Sequence[PlannedRow]) -> Figure:
    """A logged loss over the steps of the first tasks, mean over a row's runs."""
    tasks = rows[0].measured[0].matrix.tasks[: picture.tasks]
    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    axes = figure.add_subplot()
    for index, row in enumerate(rows):
        x, y = loss_curve(row.measured, picture.loss, tasks)
        color, _, dash = series(index)
        axes.plot(x, y, color=color, linestyle=dash, linewidth=1.4, label=row.label)
    for boundary in range(1, len(tasks)):
        axes.axvline(boundary, color=GRID, linewidth=0.9, zorder=0)
    axes.set_xlim(0, len(tasks))
    name_tasks(axes, tasks)
    axes.set_ylabel(picture.label)
    only_horizontal_grid(axes)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def accuracy(picture: Accuracy, rows: Sequence[PlannedRow]) -> Figure:
    """Some tasks' accuracy after each learned task, one line per row of the table.

    Of several orders each has its own panels: those in which all rows of the first are measured.
    """
    by_order: dict[str, dict[str, PlannedRow]] = {}
    for row in rows:
        by_order.setdefault(row.benchmark, {})[row.name] = row
    names = list(by_order[rows[0].benchmark])
    orders = [order for order, own in by_order.items() if own.keys() >= set(names)]
    every = rows[0].measured[0].matrix.tasks
    chosen = np.unique(np.linspace(0, len(every) - 1, picture.tasks).round().astype(int)).tolist()
    figure, panels = make_panels(
        len(orders) * len(chosen),
        columns=len(chosen) if len(chosen) > 1 else len(orders),
        height=2.1 if len(chosen) > 1 else 2.6,
    )
    for axes, (order, j) in zip(panels, product(orders, chosen), strict=True):
        runs = [by_order[order][name].measured for name in names]
        tasks = runs[0][0].matrix.tasks
        zero_shot = np.mean([run.matrix.zero_shot[j] for own in runs for run in own])
        matrices = [np.array([run.matrix.accuracy for run in own], dtype=float) for own in runs]
        accuracy_of_task(axes, tasks, j, float(zero_shot), matrices)
        if len(orders) > 1:
            axes.set_title(f"{short_name(order)}: {j + 1}  {shorten(tasks[j])}")
    figure.supxlabel("tasks learned", color=MUTED, fontsize=8.5)
    figure.supylabel(picture.label, color=MUTED, fontsize=8.5)
    legend(figure, names, landmarks())
    return figure


def landscape(found: LossLandscape, names: Sequence[str]) -> Figure:
    """The losses as contours, one panel per data set; dots where the three models lie."""
    figure = Figure(figsize=(9.0, 4.8), layout="compressed")
    panels = figure.subplots(1, len(found.surfaces), squeeze=False, sharey=True)[0]
    handles: dict[int, Line2D] = {}
    for axes, surface in zip(panels, found.surfaces, strict=True):
        losses = np.array(surface.losses)
        levels = np.geomspace(losses.min(), losses.max(), 13)
        norm = LogNorm(levels[0], levels[-1])
        axes.contourf(found.x, found.y, losses, levels, cmap=_SHADES, norm=norm)
        axes.contour(found.x, found.y, losses, levels, colors="white", linewidths=0.6)
        for index, ((x, y), value) in enumerate(zip(found.models, surface.models, strict=True)):
            handles[index] = axes.plot(x, y, **_MODELS[index], markeredgecolor="white")[0]
            axes.annotate(f"{value:.2f}", (x, y), (8, 0), va="center", **_ON_COLORS)
        bar = figure.colorbar(ScalarMappable(norm, _SHADES), ax=axes, shrink=0.85, aspect=30)
        bar.set_ticks(levels[::3].tolist(), labels=[f"{level:.2g}" for level in levels[::3]])
        bar.ax.minorticks_off()
        bar.outline.set_visible(False)
        axes.set_title(shorten(surface.title, 44))
        axes.set_aspect("equal")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(f"towards the model {names[0]}")
    panels[0].set_ylabel(f"towards the model {names[1]}, orthogonal")
    figure.legend(handles.values(), ("pre-trained", *names), loc="outside upper left", ncols=3)
    return figure


def samples(found: GeneratedSamples, names: Sequence[str]) -> Figure:
    """The images, a line per prompt and a column per row of the table."""
    lines, side = len(found.prompts), 0.72
    figure = Figure(figsize=(side * len(names) + 2.4, side * lines + 0.3), layout="constrained")
    panels = figure.subplots(lines, len(names), squeeze=False)
    for (line, column), axes in np.ndenumerate(panels):
        image = opened(found.images[column][line])
        axes.imshow(image, interpolation="nearest" if is_pixelated(image) else "antialiased")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if line == 0:
            axes.set_title(names[column], fontsize=8.5)
        if column == 0:
            prompt = textwrap.fill(shorten(found.prompts[line], 90), 30)
            axes.set_ylabel(prompt, rotation=0, ha="right", va="center", color=INK)
    return figure
