"""Transfer, Avg., Last and forgetting of an accuracy matrix. Only NumPy: no model, data or config.

``accuracy[i][j]`` is the accuracy in percent (0..100) on task j after task i was learned, so a
finished run over n tasks gives an [n][n] array. The formulas are equations 10 to 12 of the GIFT
paper; the zero-shot model (before the first task) enters none of them, see
:func:`zero_shot_matrix` for its own row in a table.

A run that is still going on has k < n rows. Every function refuses such an array unless it is
called with ``partial=True``, and then computes what it says under "Partial".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Metrics:
    """All numbers of one matrix: percent, or points for the last two.

    ``transfer``, ``forgetting`` and ``backward_transfer`` are None where they do not exist, as for
    a single task.
    """

    transfer: float | None
    avg: float
    last: float
    forgetting: float | None
    backward_transfer: float | None


def summarize(accuracy: ArrayLike, *, partial: bool = False) -> Metrics:
    """Compute every metric of a matrix.

    >>> summarize([[80, 60], [76, 90]])
    Metrics(transfer=60.0, avg=76.5, last=83.0, forgetting=4.0, backward_transfer=-4.0)
    """
    return Metrics(
        transfer=transfer(accuracy, partial=partial),
        avg=average(accuracy, partial=partial),
        last=last(accuracy, partial=partial),
        forgetting=forgetting(accuracy, partial=partial),
        backward_transfer=backward_transfer(accuracy, partial=partial),
    )


def transfer(accuracy: ArrayLike, *, partial: bool = False) -> float | None:
    """Mean over tasks j = 2..n of the accuracy on j before it was learned (GIFT, eq. 10).

    ``1/(n-1) * sum_{j=2..n} 1/(j-1) * sum_{i<j} a[i][j]``: the mean of column means, not of all
    entries above the diagonal. None for a single task. Partial: the same over the rows that exist.
    """
    columns = transfer_per_task(accuracy, partial=partial)[1:]
    return float(columns.mean()) if columns.size else None


def average(accuracy: ArrayLike, *, partial: bool = False) -> float:
    """Avg.: mean of all entries (GIFT, eq. 11). Partial: of all entries that exist."""
    return float(_checked(accuracy, partial).mean())


def last(accuracy: ArrayLike, *, partial: bool = False) -> float:
    """Last: mean of the last row (GIFT, eq. 12). Partial: of the latest row, all tasks in it."""
    return float(_checked(accuracy, partial)[-1].mean())


def forgetting(accuracy: ArrayLike, *, partial: bool = False) -> float | None:
    """Mean drop from the best accuracy a learned task ever had; positive means forgotten.

    ``1/(n-1) * sum_{j<n} (max_{i=j..n-1} a[i][j] - a[n][j])``, in points. Negative where tasks got
    better after they were learned. None for a single task. Partial: over the tasks learned before
    the latest one, at the latest row.
    """
    drops = forgetting_per_task(accuracy, partial=partial)
    return _mean_or_none(drops)


def backward_transfer(accuracy: ArrayLike, *, partial: bool = False) -> float | None:
    """Mean change since a task was learned, ``1/(n-1) * sum_{j<n} (a[n][j] - a[j][j])``, in points.

    Negative means forgotten. None for a single task. Partial: as in :func:`forgetting`.
    """
    changes = backward_transfer_per_task(accuracy, partial=partial)
    return _mean_or_none(changes)


def transfer_per_task(accuracy: ArrayLike, *, partial: bool = False) -> Array:
    """Mean accuracy on each task before it was learned, [n]; NaN for the first task.

    Partial: tasks that are not learned yet take the mean of all rows that exist.
    """
    matrix = _checked(accuracy, partial)
    columns = [matrix[:j, j].mean() for j in range(1, matrix.shape[1])]
    return np.array([np.nan, *columns])


def average_per_task(accuracy: ArrayLike, *, partial: bool = False) -> Array:
    """Mean accuracy on each task over all rows, [n]."""
    mean: Array = _checked(accuracy, partial).mean(axis=0)
    return mean


def last_per_task(accuracy: ArrayLike, *, partial: bool = False) -> Array:
    """The last row, [n]. Partial: the latest row."""
    row: Array = _checked(accuracy, partial)[-1].copy()
    return row


def forgetting_per_task(accuracy: ArrayLike, *, partial: bool = False) -> Array:
    """Drop of each task from its best earlier accuracy since it was learned, [n], in points.

    NaN for the task learned last. Partial: also NaN for the tasks not learned yet.
    """
    matrix = _checked(accuracy, partial)
    learned = len(matrix) - 1
    drops = np.full(matrix.shape[1], np.nan)
    for j in range(learned):
        drops[j] = matrix[j:learned, j].max() - matrix[-1, j]
    return drops


def backward_transfer_per_task(accuracy: ArrayLike, *, partial: bool = False) -> Array:
    """Change of each task since it was learned, [n], in points; NaN as in forgetting_per_task."""
    matrix = _checked(accuracy, partial)
    learned = len(matrix) - 1
    changes = np.full(matrix.shape[1], np.nan)
    changes[:learned] = matrix[-1, :learned] - matrix.diagonal()[:learned]
    return changes


def zero_shot_matrix(zero_shot: ArrayLike) -> Array:
    """The matrix of a model that never changes: its row of n accuracies, n times.

    The metrics of this matrix are the zero-shot row of a table. Its Transfer leaves out the first
    task, so it differs from its Avg.; compare the Transfer of a method with this one.
    """
    row = np.asarray(zero_shot, dtype=np.float64)
    if row.ndim != 1 or row.size == 0:
        raise ValueError(f"Zero-shot accuracies must be a list with one per task, not {row.shape}.")
    return _checked(np.tile(row, (row.size, 1)), partial=False).copy()


def _mean_or_none(values: Array) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _checked(accuracy: ArrayLike, partial: bool) -> Array:
    """The accuracies as an array; ValueError where they are not percentages of k rows, n tasks."""
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
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise ValueError(
            f"Accuracies are percentages from 0 to 100; row {i}, column {j} is {matrix[i, j]}."
        )
    return matrix
