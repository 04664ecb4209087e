"""t-SNE scatter plots of test images, by the features that a method classifies them by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from safetensors import SafetensorError
from safetensors.numpy import load_file

from gift.metrics import Array
from gift.report.comparison import Comparison
from gift.report.figures import WIDTH, make_panels, shorten
from gift.report.style import GRID, MARKERS, SERIES
from gift.runs.read import Run

PERPLEXITY = 30  # at most; less where there are few images
_FEWEST = 4  # images in a panel
_COLUMNS = 4
_ROUNDING = 1e-3  # t-SNE would enlarge differences of this size


@dataclass(frozen=True)
class Stage:
    """The images at one stage of a run.

    Attributes:
        session: how many tasks were learned by then.
        points: where they are in the plane, [N, 2].
        tasks: the positions of their tasks, [N].
    """

    session: int
    points: Array
    tasks: np.ndarray[Any, np.dtype[np.int64]]


def embeddings(
    comparison: Comparison, sessions: Sequence[int] = ()
) -> dict[str, tuple[Stage, ...]]:
    """The images in feature space for every method that has a run with features, by its label.

    Args:
        comparison: its methods; of each the first such run counts.
        sessions: after how many tasks to look; by default after the first, the middle and the last.

    Raises:
        ValueError: no run has features, or not those of a session; or they cannot be read.
    """
    found: dict[str, tuple[Stage, ...]] = {}
    known: list[tuple[Array, Array]] = []
    for group in comparison.groups:
        with_features = (run for run in (*group.used, *group.runs) if _stored(run))
        if (run := next(with_features, None)) is not None:
            found[group.label] = tuple(_stages(run, sessions, known))
    if not found:
        raise ValueError(
            "none of these runs has features of images to draw, which are stored during a run: "
            "run it again in another folder with --set evaluation.embedding_images=20."
        )
    return found


def figure(comparison: Comparison, label: str, stages: Sequence[Stage]) -> Figure:
    """One panel per stage; a colour and a shape per task, filled once the task is learned."""
    names = [f"{i}  {shorten(name)}" for i, name in enumerate(comparison.start.tasks, start=1)]
    columns, entries = min(len(stages), _COLUMNS), min(6, len(names))
    drawn, panels = make_panels(
        len(stages),
        columns=columns,
        height=WIDTH / _COLUMNS + 0.25,
        width=WIDTH * columns / _COLUMNS,
        more=0.2 * math.ceil(len(names) / entries) + 0.5,
        share=False,
    )
    for axes, stage in zip(panels, stages, strict=True):
        _panel(axes, stage, comparison.start.tasks)
    shapes = [
        Line2D([], [], color=color, marker=marker, linestyle="none", markersize=5)
        for color, marker in map(_look, range(len(names)))
    ]
    drawn.legend(shapes, names, loc="outside lower left", ncols=entries, handletextpad=0.2)
    drawn.suptitle(label, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return drawn


def _panel(axes: Axes, stage: Stage, names: Sequence[str]) -> None:
    for task in range(len(names)):
        color, marker = _look(task)
        x, y = stage.points[stage.tasks == task].T
        axes.plot(
            x,
            y,
            color=color,
            marker=marker,
            linestyle="none",
            markersize=3.6,
            markeredgewidth=0.8,
            markerfacecolor=color if task < stage.session else "none",
        )
    last = stage.session - 1
    axes.set_title(f"after {last + 1}  {shorten(names[last])}" if stage.session else "pre-trained")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.06)
    axes.spines[:].set(visible=True, color=GRID)


def _look(task: int) -> tuple[str, str]:
    """Colour and marker of a task; 64 differ."""
    turn = task // len(SERIES)
    return SERIES[task % len(SERIES)], MARKERS[(task + turn) % len(MARKERS)]


def _stages(run: Run, sessions: Sequence[int], known: list[tuple[Array, Array]]) -> Iterator[Stage]:
    stored = _stored(run)
    learned = [session for session in stored if session]
    if missing := sorted(set(sessions) - set(learned)):
        raise ValueError(
            f"{run.folder} has no features of images after session {missing[0]}; it has those "
            f"after {', '.join(map(str, learned)) or 'none'}."
        )
    middle = learned[(len(learned) - 1) // 2 :][:1]
    wanted = {0, *(sessions or (*learned[:1], *middle, *learned[-1:]))}
    for session in sorted(wanted):
        features, tasks = _read(stored[session], len(run.matrix.tasks))
        yield Stage(session, _points(features, known), tasks)


def _stored(run: Run) -> dict[int, Path]:
    """The files of features by the number of tasks learned; none where the first is missing."""
    start = run.folder / "features.safetensors"
    if not start.is_file():
        return {}
    paths = sorted(run.folder.glob("tasks/[0-9]*-*/features.safetensors"))
    numbered = ((path.parent.name.split("-")[0], path) for path in paths)
    after = {int(number): path for number, path in numbered if number.isdecimal()}
    return {0: start} | {n: path for n, path in after.items() if 0 < n <= run.learned}


def _read(path: Path, tasks: int) -> tuple[Array, np.ndarray[Any, np.dtype[np.int64]]]:
    """Features [N, D] and the positions of their tasks [N]."""
    try:
        content = load_file(path)
        features, of = content["features"].astype(np.float64), content["task"].astype(np.int64)
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} holds no features of images: {error!r}.") from None
    fits = features.ndim == 2 and of.shape == features.shape[:1] and len(of)
    if not (fits and np.isfinite(features).all() and of.min() >= 0 and of.max() < tasks):
        raise ValueError(f"{path} holds no features of images of the run's {tasks} tasks.")
    if len(of) < _FEWEST:
        raise ValueError(
            f"{path} holds the features of {len(of)} images, too few for a figure; run it "
            "again in another folder with --set evaluation.embedding_images=20."
        )
    return features, of


def _points(features: Array, known: list[tuple[Array, Array]]) -> Array:
    """The points [N, 2] of features [N, D]; features that are known get the same points again."""
    for earlier, points in known:
        if earlier.shape == features.shape and np.allclose(earlier, features, atol=_ROUNDING):
            return points
    known.append((features, _flat(features)))
    return known[-1][1]


def _flat(features: Array) -> Array:
    """Features in the plane by t-SNE: neighbours are near each other."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if not np.ptp(features, axis=0).any():  # a model that has collapsed to one point
        return np.zeros((len(features), 2))
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):  # more threads take longer for so few points
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=0)
        points: Array = tsne.fit_transform(features)
    return points
