"""The figures of a report. Every function draws one figure; :mod:`gift.report.style` saves it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from gift.metrics import Array, seen_accuracy
from gift.report.comparison import Comparison, Group
from gift.report.style import ABOVE, BELOW, GRID, INK, MUTED, dashes, only_horizontal_grid, series
from gift.report.tables import ZERO_SHOT, Table
from gift.runs.read import Run

WIDTH = 10.0  # inches of a full-width figure
POINTS_PER_TASK = 40  # of a loss curve
ZERO_SHOT_LINE: Any = {"color": MUTED, "linewidth": 1.1, "linestyle": (0, (4, 3)), "zorder": 3}
CELLS_WITH_NUMBERS = 16  # above this many tasks, the numbers in a heat map cannot be read


def shorten(text: str, length: int = 18) -> str:
    """The text, cut to a length that fits an axis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def accuracy_over_sequence(comparison: Comparison) -> Figure:
    """One panel per task: its accuracy after each learned task, one line per method."""
    tasks, zero_shot = comparison.start.tasks, comparison.start.zero_shot
    figure, panels = make_panels(len(tasks), columns=_columns(len(tasks)), height=1.75)
    lowest = min(float(g.matrices.min()) for g in comparison.groups if g.matrices.size)
    for j, axes in enumerate(panels):
        accuracy_of_task(axes, tasks, j, zero_shot[j], [g.matrices for g in comparison.groups])
        axes.set_ylim(10 * math.floor(min(lowest, *zero_shot) / 10), 101.5)
    for axes in panels[-_columns(len(tasks)) :]:
        axes.tick_params(labelbottom=True)  # also above the empty places of the last row
    figure.supxlabel("tasks learned", color=MUTED, fontsize=8.5)
    figure.supylabel("accuracy (%)", color=MUTED, fontsize=8.5)
    legend(figure, [group.label for group in comparison.groups], landmarks())
    return figure


def accuracy_of_task(
    axes: Axes, tasks: Sequence[str], j: int, zero_shot: float, matrices: Sequence[Array]
) -> None:
    """A task's accuracy after each learned task, one line per method; marked where it is learned.

    Args:
        axes: a panel.
        tasks: all of them.
        j: position of the task.
        zero_shot: its accuracy before the first task.
        matrices: accuracies of each method's runs, [runs, tasks learned, tasks].
    """
    axes.axvline(j + 1, color=GRID, linewidth=5, zorder=0)
    axes.axhline(zero_shot, **ZERO_SHOT_LINE)
    for index, mean in enumerate(_lines_with_spread(axes, [own[:, :, j] for own in matrices])):
        if j < len(mean):
            color, marker, _ = series(index)
            axes.plot(j + 1, mean[j], color=color, marker=marker, markersize=5, clip_on=False)
    axes.set_title(f"{j + 1}  {shorten(tasks[j])}")
    axes.set_xlim(0.6, len(tasks) + 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(min(len(tasks), 6), integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    only_horizontal_grid(axes)


def landmarks() -> dict[str, Line2D]:
    """What a panel of :func:`accuracy_of_task` shows beside the methods, for its legend."""
    learned = Line2D([], [], color=GRID, linewidth=5)
    return {ZERO_SHOT: Line2D([], [], **ZERO_SHOT_LINE), "task is learned here": learned}


def accuracy_of_classes_seen(comparison: Comparison) -> Figure:
    """Accuracy over all classes seen after each learned task, one line per method."""
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.add_subplot()
    start = comparison.start
    steps = np.arange(1, len(start.tasks) + 1)
    axes.plot(steps, start.zero_shot, **ZERO_SHOT_LINE)
    seen = [
        np.array([_seen(matrix, start.images) for matrix in group.matrices])
        for group in comparison.groups
    ]
    _lines_with_spread(axes, seen, markers=True)
    lowest = min(*start.zero_shot, *(float(values.min()) for values in seen if values.size))
    axes.set_xlim(0.6, len(steps) + 0.4)
    axes.set_ylim(10 * math.floor(lowest / 10), 101.5)
    axes.xaxis.set_major_locator(MaxNLocator(min(len(steps), 10), integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("tasks learned")
    axes.set_ylabel("accuracy over the classes seen (%)")
    only_horizontal_grid(axes)
    legend(
        figure,
        [group.label for group in comparison.groups],
        {ZERO_SHOT: Line2D([], [], **ZERO_SHOT_LINE)},
    )
    return figure


def accuracy_matrix(comparison: Comparison, group: Group, scale: float) -> Figure:
    """A method's accuracy matrix (mean over seeds) with its distance from zero-shot as colour.

    Of a class-incremental run, the colour is the distance from when the task was just learned.

    Args:
        comparison: for the task names and the zero-shot row.
        group: the method; it has learned at least one task.
        scale: distance in points that gets the full colour, see :func:`heat_scale`.
    """
    names = [shorten(name, 15) for name in comparison.start.tasks]
    reference = _reference(comparison, group)
    rows = group.matrices.mean(axis=0)
    after = [f"{i + 1}  {names[i]}" for i in range(len(rows))]
    if not comparison.start.seen_only:
        rows, after = np.vstack([reference, rows]), [ZERO_SHOT, *after]
    n, before = len(names), len(rows) - len(group.matrices[0])
    cell = min(0.62, 3.55 / n) if n <= CELLS_WITH_NUMBERS else 8.0 / n
    figure = Figure(
        figsize=(cell * n + 1.4, max(0.24, cell * 0.72) * len(rows) + 1.25), layout="constrained"
    )
    axes = figure.add_subplot()
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            if not np.isnan(value):
                _heat_cell(axes, i, j, value, (value - reference[j]) / scale, n, i - before == j)
    axes.set_xlim(0, n)
    axes.set_ylim(len(rows), 0)
    axes.set_xticks(np.arange(n) + 0.5, names, rotation=55, ha="left", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(rows)) + 0.5, after)
    axes.xaxis.tick_top()
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("after learning")
    axes.set_xlabel("accuracy on (%)")
    axes.xaxis.set_label_position("top")
    figure.suptitle(group.label, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def heat_scale(comparison: Comparison) -> float:
    """The distance from the reference (zero-shot) that gets the full colour, in points.

    Nine of ten accuracies lie within it, so that one extreme task does not pale all others.
    """
    used = [group for group in comparison.groups if group.matrices.size]
    distances = [
        np.abs(group.matrices.mean(axis=0) - _reference(comparison, group)).ravel()
        for group in used
    ]
    typical = float(np.nanquantile(np.concatenate(distances), 0.9)) if distances else 0.0
    return max(5.0, 5.0 * math.ceil(typical / 5))


def _reference(comparison: Comparison, group: Group) -> Array:
    """What the colours of a matrix are relative to, [n]; NaN where it is not known yet."""
    if not comparison.start.seen_only:
        return np.array(comparison.start.zero_shot)
    just_learned = group.matrices.mean(axis=0).diagonal()
    return np.append(just_learned, np.full(len(comparison.start.tasks) - len(just_learned), np.nan))


def loss_names(comparison: Comparison) -> tuple[str, ...]:
    """Every loss that some run logged, the task's own first."""
    names = dict.fromkeys(
        name for group in comparison.groups for step in group.used[0].steps for name in step.losses
    )
    return tuple(sorted(names, key=lambda name: name != "task"))


def losses(comparison: Comparison) -> Figure:
    """One panel per logged value, the steps of the tasks one after the other; first run each."""
    names, tasks = loss_names(comparison), comparison.start.tasks
    figure, panels = make_panels(len(names), columns=1, height=1.6, share=False)
    for axes, name in zip(panels, names, strict=True):
        curves = [loss_curve(group.used[:1], name, tasks) for group in comparison.groups]
        for index, ((x, y), dash) in enumerate(
            zip(curves, dashes([y for _, y in curves]), strict=True)
        ):
            axes.plot(x, y, color=series(index)[0], linestyle=dash, linewidth=1.4)
        axes.set_title(shorten(name, 40))
        axes.set_xlim(0, len(tasks))
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        only_horizontal_grid(axes)
        for boundary in range(1, len(tasks)):
            axes.axvline(boundary, color=GRID, linewidth=0.9, zorder=0)
        axes.set_xticks([])
    name_tasks(panels[-1], tasks)
    legend(figure, [group.label for group in comparison.groups], {})
    return figure


def name_tasks(axes: Axes, tasks: Sequence[str]) -> None:
    """Name the tasks below the curves of :func:`loss_curve`."""
    labels = [shorten(name, 14) for name in tasks]
    crowded = len(labels) > 8
    axes.set_xticks(
        np.arange(len(labels)) + 0.5,
        labels,
        rotation=30 if crowded else 0,
        ha="right" if crowded else "center",
    )
    axes.set_xlabel("training steps of each task")


def costs(table: Table) -> Figure:
    """The table of costs as bars: one panel per column, one bar per method."""
    assert table.numbers is not None
    names = [shorten(name) for name in table.text[0]]
    titles = table.header[1:]
    figure, panels = make_panels(
        len(titles), columns=3, height=0.24 * len(names) + 0.35, share=False
    )
    for position, (axes, title) in enumerate(zip(panels, titles, strict=True), start=1):
        values = table.numbers["mean", position].fillna(0.0)
        colors = [series(index)[0] for index in range(len(values))]
        bars = axes.barh(values.index, values, height=0.62, color=colors)
        axes.bar_label(bars, table.text[position], padding=4, color=INK)
        axes.set_title(shorten(title, 28))
        axes.set_yticks(values.index, names)
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.set_xlim(0, max(values.max() * 1.3, 1e-9))
        axes.set_xticks([])
        axes.grid(False)
        axes.spines["bottom"].set_visible(False)
    return figure


def _lines_with_spread(axes: Axes, runs: Sequence[Array], *, markers: bool = False) -> list[Array]:
    """Draw means over runs [runs][steps] with a band of one standard deviation; returns them."""
    means: list[Array] = [values.mean(axis=0) for values in runs]
    for index, (values, mean, dash) in enumerate(zip(runs, means, dashes(means), strict=True)):
        color, marker, _ = series(index)
        x = np.arange(1, len(mean) + 1)
        if len(values) > 1:
            spread = values.std(axis=0, ddof=1)
            top = np.minimum(mean + spread, 100)
            axes.fill_between(x, mean - spread, top, color=color, alpha=0.18, linewidth=0)
        shape = marker if markers else None
        axes.plot(x, mean, color=color, linestyle=dash, linewidth=1.6, marker=shape, markersize=5)
    return means


def _seen(matrix: Array, images: Sequence[int]) -> Array:
    """The accuracies over the classes seen after each learned task."""
    return seen_accuracy(matrix, images=images, partial=True) if matrix.size else matrix[:, 0]


def _heat_cell(
    axes: Axes, i: int, j: int, value: float, distance: float, n: int, learned_here: bool
) -> None:
    color = ABOVE if distance >= 0 else BELOW
    numbers = n <= CELLS_WITH_NUMBERS
    gap = 0.04 if numbers else 0.0
    corner, side, alpha = (j + gap / 2, i + gap / 2), 1 - gap, min(1.0, abs(distance))
    axes.add_patch(Rectangle(corner, side, side, facecolor=color, alpha=alpha, linewidth=0))
    if learned_here:
        corner, side = (j + 0.03, i + 0.03), 0.94
        axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=INK, linewidth=1.1))
    if numbers:
        text = f"{value:.1f}" if n <= 12 else f"{value:.0f}"
        size, weight = 8 if n <= 8 else 7, "bold" if learned_here else "normal"
        where: Any = {"x": j + 0.5, "y": i + 0.5, "ha": "center", "va": "center"}
        axes.text(s=text, color=INK, fontsize=size, fontweight=weight, **where)


def loss_curve(runs: Sequence[Run], name: str, tasks: Sequence[str]) -> tuple[Array, Array]:
    """Means over runs and up to POINTS_PER_TASK groups of steps; x counts tasks. NaN parts them."""
    by_step: dict[tuple[str, int], list[float]] = {}
    for run in runs:
        for step in run.steps:
            if name in step.losses:
                by_step.setdefault((step.task, step.step), []).append(step.losses[name])
    xs: list[float] = []
    ys: list[float] = []
    for position, task in enumerate(tasks):
        own = sorted((at, float(np.mean(v))) for (of, at), v in by_step.items() if of == task)
        for chunk in np.array_split(np.array(own), min(POINTS_PER_TASK, len(own))) if own else ():
            xs.append(position + float(chunk[:, 0].mean()) / (own[-1][0] + 1))
            ys.append(float(chunk[:, 1].mean()))
        xs.append(position + 1.0)
        ys.append(math.nan)
    return np.array(xs), np.array(ys)


def make_panels(
    count: int,
    *,
    columns: int,
    height: float,
    width: float = WIDTH,
    more: float = 0.55,
    share: bool = True,
) -> tuple[Figure, list[Axes]]:
    """Axes for small multiples: inches of a row, of the figure, and above and below the panels."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width, height * rows + more), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False)
    axes: list[Axes] = list(grid.flat)
    for empty in axes[count:]:
        empty.remove()
    return figure, axes[:count]


def _columns(count: int) -> int:
    return count if count <= 4 else 3 if count <= 6 else 4


def legend(figure: Figure, labels: Sequence[str], others: dict[str, Line2D]) -> None:
    """A legend above the panels: the methods in their order, then other lines."""
    handles = {}
    for index, label in enumerate(labels):
        color, marker, dash = series(index)
        handles[shorten(label, 40)] = Line2D(
            [], [], color=color, marker=marker, linestyle=dash, markersize=5
        )
    handles |= others
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper left",
        ncols=len(handles) if sum(map(len, handles)) < 90 else 5,
        handlelength=1.8,
        columnspacing=1.6,
        fontsize=9,
    )
