"""The accuracy matrix and its metrics: Transfer, Avg., Last, forgetting (NumPy only).

``accuracy[i][j]`` is the accuracy in percent (0..100) on task j after task i was learned, so a
finished run over n tasks gives an [n][n] array. The formulas are equations 10 to 12 of the GIFT
paper; the model before the first task (zero-shot) enters none of them, see
:func:`zero_shot_metrics`.

Class-incremental runs classify images among the classes seen so far, so tasks that are not learned
yet have no accuracy: the entries above the diagonal are None or NaN, and that is how such a matrix
is recognised. There Avg. is the mean and Last the last value of :func:`seen_accuracy`, and Transfer
does not exist. ``images`` are the numbers of test images of the tasks, which all weigh the same
without them; other matrices do not use them.

An unfinished run has k < n rows. Every function refuses such an array unless it is called with
``partial=True``, and then computes what it says under "Partial".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gift.text import one_line, shortened

Array = NDArray[np.float64]
Matrix = ArrayLike | Sequence[Sequence[float | None]]
"""Accuracies in percent; None and NaN both mean: not measured."""


@dataclass(frozen=True, repr=False)
class AccuracyMatrix:
    """What a run measured: the only stored truth, every metric is computed from it.

    Attributes:
        benchmark: name of the benchmark.
        version: of the benchmark.
        tasks: their names, in the order of learning.
        zero_shot: accuracy in percent on each task before the first one was learned. Where images
            are classified among the classes seen so far: of that model over all test images of the
            tasks 0..j, among the classes of these.
        accuracy: a row per learned task, see the module's page; fewer than ``tasks`` in an
            unfinished run. None where a task was not measured.
        setting: how and on what it was measured: ``label_space``, ``task_id``, ``split`` ...
        images: number of test images of each task; empty in files of older versions.
    """

    benchmark: str
    version: int
    tasks: tuple[str, ...]
    zero_shot: tuple[float, ...]
    accuracy: tuple[tuple[float | None, ...], ...] = ()
    setting: dict[str, Any] = field(default_factory=dict)
    images: tuple[int, ...] = ()

    def __repr__(self) -> str:
        """A table: a row for the model before the first task, and for that after each."""
        names = [one_line(name) for name in self.tasks]
        rows = [("zero-shot", self.zero_shot), *zip(names, self.accuracy, strict=False)]
        first = max(len(name) for name in ("zero-shot", *names))
        lines = [f"<AccuracyMatrix {one_line(self.benchmark)}, version {self.version}, in percent>"]
        lines.append("  ".join([" " * first, *(f"{name:>5}" for name in names)]))
        for name, row in rows:
            cells = ["-" if value is None else f"{value:.1f}" for value in row]
            padded = (f"{c:>{max(5, len(n))}}" for c, n in zip(cells, names, strict=True))
            lines.append("  ".join([f"{name:<{first}}", *padded]))
        return "\n".join(lines)

    def with_row(self, row: Sequence[float | None]) -> AccuracyMatrix:
        """The matrix after one more task; None and NaN both mean: not measured."""
        assert len(row) == len(self.tasks)
        measured = tuple(None if v is None or math.isnan(v) else v for v in row)
        return replace(self, accuracy=(*self.accuracy, measured))

    @property
    def complete(self) -> bool:
        return len(self.accuracy) == len(self.tasks)

    @property
    def seen_only(self) -> bool:
        """Whether images are classified among the classes seen so far."""
        return self.setting.get("label_space") == "seen"

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> AccuracyMatrix:
        """The matrix that :meth:`to_json` gave.

        Raises:
            ValueError: another value; says which entry is wrong, and what it should be.
        """
        _check_entries(value)
        return cls(
            benchmark=value["benchmark"],
            version=value["version"],
            tasks=tuple(value["tasks"]),
            zero_shot=tuple(value["zero_shot"]),
            accuracy=tuple(tuple(row) for row in value["accuracy"]),
            setting=dict(value.get("setting", {})),
            images=tuple(value.get("images", ())),
        )


def _check_entries(value: Any) -> None:
    """Refuse what is no accuracy matrix; whether its numbers fit together is not looked at."""

    def listed(items: Any, kinds: Any) -> bool:
        return isinstance(items, list) and all(
            isinstance(item, kinds) and not isinstance(item, bool) for item in items
        )

    if not isinstance(value, dict):
        raise ValueError("it must be one JSON object")
    wanted: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "benchmark": ("text", lambda v: isinstance(v, str)),
        "version": ("a whole number", lambda v: isinstance(v, int)),
        "tasks": ("a list of texts", lambda v: listed(v, str)),
        "zero_shot": ("a list of numbers", lambda v: listed(v, int | float)),
        "accuracy": (
            "a list of lists of numbers or null",
            lambda v: listed(v, list) and all(listed(row, int | float | None) for row in v),
        ),
        "setting": ("an object", lambda v: isinstance(v, dict)),
        "images": ("a list of whole numbers", lambda v: listed(v, int)),
    }
    for key, (words, fits) in wanted.items():
        if key not in value and key in {"setting", "images"}:
            continue  # files of older versions
        if key not in value or not fits(value[key]):
            found = "is missing" if key not in value else f"= {shortened(value[key])}"
            raise ValueError(f"{key!r} {found}; it must be {words}")


def rule_in_words(setting: Mapping[str, Any]) -> str:
    """How and on what the figures of a run were measured.

    >>> rule_in_words({"split": "test", "label_space": "task", "task_id": "given"})
    'test images, among the classes of their task, the task is given'

    Args:
        setting: of an :class:`AccuracyMatrix`.
    """
    spaces = {"seen": "the classes seen so far", "union": "the classes of all tasks"}
    parts = [
        f"{setting.get('split', 'test')} images",
        f"among {spaces.get(str(setting.get('label_space')), 'the classes of their task')}",
        f"the task is {'hidden' if setting.get('task_id') == 'hidden' else 'given'}",
    ]
    if seed := setting.get("draw", 0):
        parts.append(f"data seed {seed}")
    if metric := setting.get("metric"):
        parts.append(f"mean over the classes instead of over the images: {', '.join(metric)}")
    if counts := setting.get("counts"):
        parts.append(f"not the published images: {', '.join(counts)}")
    return ", ".join(parts)


@dataclass(frozen=True)
class Metrics:
    """All metrics of one matrix: percent, or points for the last two.

    None where one does not exist: for a single task, or Transfer in a class-incremental run.
    """

    transfer: float | None
    avg: float
    last: float
    forgetting: float | None
    backward_transfer: float | None


def summarize(
    accuracy: Matrix, *, images: Sequence[int] | None = None, partial: bool = False
) -> Metrics:
    """Compute every metric of a matrix.

    >>> summarize([[80, 60], [76, 90]])
    Metrics(transfer=60.0, avg=76.5, last=83.0, forgetting=4.0, backward_transfer=-4.0)

    The same two tasks in a class-incremental run, the second with three times as many images:

    >>> summarize([[80, None], [76, 90]], images=[10, 30])
    Metrics(transfer=None, avg=83.25, last=86.5, forgetting=4.0, backward_transfer=-4.0)
    """
    return Metrics(
        transfer=transfer(accuracy, partial=partial),
        avg=average(accuracy, images=images, partial=partial),
        last=last(accuracy, images=images, partial=partial),
        forgetting=forgetting(accuracy, partial=partial),
        backward_transfer=backward_transfer(accuracy, partial=partial),
    )


def zero_shot_metrics(zero_shot: ArrayLike, *, seen_only: bool = False) -> Metrics:
    """The metrics of a model that never changes: the zero-shot row of a table.

    Its Transfer skips the first task, so it differs from its Avg.; compare a method's with it.

    Args:
        zero_shot: its accuracy on each task; with ``seen_only``, its accuracy after each step over
            the classes seen by then.
        seen_only: whether the run is class-incremental; forgetting is not known then.
    """
    if not seen_only:
        return summarize(zero_shot_matrix(zero_shot))
    row = zero_shot_matrix(zero_shot)[0]
    return Metrics(None, float(row.mean()), float(row[-1]), None, None)


def transfer(accuracy: Matrix, *, partial: bool = False) -> float | None:
    """Mean over tasks j = 2..n of the accuracy on j before it was learned (GIFT, eq. 10).

    ``1/(n-1) * sum_{j=2..n} 1/(j-1) * sum_{i<j} a[i][j]``: the mean of column means, not of all
    entries above the diagonal. None for a single task and for a class-incremental run. Partial: the
    same over the rows that exist.
    """
    return _mean_or_none(transfer_per_task(accuracy, partial=partial))


def average(
    accuracy: Matrix, *, images: Sequence[int] | None = None, partial: bool = False
) -> float:
    """Avg.: mean of all entries (GIFT, eq. 12). Partial: of all entries that exist.

    Class-incremental: mean of :func:`seen_accuracy` over the steps.
    """
    matrix = _checked(accuracy, partial)
    if np.isnan(matrix).any():
        matrix = seen_accuracy(matrix, images=images, partial=partial)
    return float(matrix.mean())


def last(accuracy: Matrix, *, images: Sequence[int] | None = None, partial: bool = False) -> float:
    """Last: mean of the last row (GIFT, eq. 11). Partial: of the latest row, all tasks in it.

    Class-incremental: the last :func:`seen_accuracy`.
    """
    matrix = _checked(accuracy, partial)
    if np.isnan(matrix).any():
        return float(seen_accuracy(matrix, images=images, partial=partial)[-1])
    return float(matrix[-1].mean())


def seen_accuracy(
    accuracy: Matrix, *, images: Sequence[int] | None = None, partial: bool = False
) -> Array:
    """Accuracy in percent over all images of the tasks learned so far, after each step: [k].

    The mean of ``a[i][0..i]`` weighted by the tasks' numbers of test images.
    """
    matrix = _checked(accuracy, partial)
    tasks = matrix.shape[1]
    weights = np.ones(tasks) if not images else np.asarray(images, dtype=np.float64)
    if weights.shape != (tasks,) or not (weights > 0).all():
        raise ValueError(
            f"images must hold one positive number for each of the {tasks} tasks, not {images}."
        )
    steps = range(1, len(matrix) + 1)
    return np.array([np.average(matrix[k - 1, :k], weights=weights[:k]) for k in steps])


def forgetting(accuracy: Matrix, *, partial: bool = False) -> float | None:
    """Mean drop from the best accuracy a learned task ever had; positive means forgotten.

    ``1/(n-1) * sum_{j<n} (max_{i=j..n-1} a[i][j] - a[n][j])``, in points. Negative where tasks got
    better after they were learned. None for a single task. Partial: over the tasks learned before
    the latest one, at the latest row.
    """
    return _mean_or_none(forgetting_per_task(accuracy, partial=partial))


def backward_transfer(accuracy: Matrix, *, partial: bool = False) -> float | None:
    """Mean change since a task was learned, ``1/(n-1) * sum_{j<n} (a[n][j] - a[j][j])``, in points.

    Negative means forgotten. None for a single task. Partial: as in :func:`forgetting`.
    """
    matrix = _checked(accuracy, partial)
    earlier = len(matrix) - 1
    return _mean_or_none(matrix[-1, :earlier] - matrix.diagonal()[:earlier])


def transfer_per_task(accuracy: Matrix, *, partial: bool = False) -> Array:
    """Mean accuracy on each task before it was learned, [n]; NaN for the first task.

    NaN for every task of a class-incremental run. Partial: tasks that are not learned yet take the
    mean of all rows that exist.
    """
    matrix = _checked(accuracy, partial)
    columns = [matrix[:j, j].mean() for j in range(1, matrix.shape[1])]
    return np.array([np.nan, *columns])


def average_per_task(accuracy: Matrix, *, partial: bool = False) -> Array:
    """Mean accuracy on each task over all rows that measured it, [n]; NaN where none did."""
    matrix = _checked(accuracy, partial)
    measured = ~np.isnan(matrix)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is promised
        return np.array(np.nansum(matrix, axis=0) / measured.sum(axis=0))


def last_per_task(accuracy: Matrix, *, partial: bool = False) -> Array:
    """The last row, [n]. Partial: the latest row; NaN for tasks that it did not measure."""
    return np.array(_checked(accuracy, partial)[-1])


def forgetting_per_task(accuracy: Matrix, *, partial: bool = False) -> Array:
    """Drop of each task from its best earlier accuracy since it was learned, [n], in points.

    NaN for the task learned last. Partial: also NaN for the tasks not learned yet.
    """
    matrix = _checked(accuracy, partial)
    rows, tasks = matrix.shape
    drops = [matrix[j:-1, j].max() - matrix[-1, j] for j in range(rows - 1)]
    return np.array([*drops, *[np.nan] * (tasks - rows + 1)])


def zero_shot_matrix(zero_shot: ArrayLike) -> Array:
    """The matrix of a model that never changes: its row of n accuracies, n times."""
    row = np.asarray(zero_shot, dtype=np.float64)
    if row.ndim != 1 or row.size == 0:
        raise ValueError(f"Zero-shot accuracies must be a list with one per task, not {row.shape}.")
    return _checked(np.tile(row, (row.size, 1)), partial=False).copy()


def _mean_or_none(values: Array) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _checked(accuracy: Matrix, partial: bool) -> Array:
    """The accuracies as an array; ValueError where they are not percentages of k rows, n tasks.

    NaN is allowed above the diagonal, for all these entries at once.
    """
    matrix = np.asarray(accuracy, dtype=np.float64)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(
            f"An accuracy matrix has one row per learned task and one column per task; "
            f"got an array of shape {matrix.shape}."
        )
    rows, tasks = matrix.shape
    if rows > tasks or (rows < tasks and not partial):
        hint = " (partial=True allows a run that is not finished)" if rows < tasks else ""
        raise ValueError(
            f"An accuracy matrix of {tasks} tasks needs {tasks} rows, got {rows}{hint}."
        )
    wrong = ~((matrix >= 0) & (matrix <= 100))
    later = np.triu(np.ones_like(wrong), 1)
    if np.isnan(matrix[later]).all():
        wrong &= ~later
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise ValueError(
            f"Accuracies are percentages from 0 to 100; row {i}, column {j} is {matrix[i, j]}."
        )
    return matrix
