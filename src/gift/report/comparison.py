"""Runs side by side: those of one benchmark, grouped by method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gift.metrics import AccuracyMatrix, Array, rule_in_words
from gift.runs.read import Run, printable


@dataclass(frozen=True)
class Group:
    """All runs of one method.

    ``used`` are the runs that the numbers come from: the finished ones; where none is finished,
    those that learned most tasks.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def used(self) -> tuple[Run, ...]:
        most = max(run.learned for run in self.runs)
        return tuple(run for run in self.runs if run.learned == most)

    @property
    def complete(self) -> bool:
        return self.used[0].matrix.complete

    @property
    def matrices(self) -> Array:
        """Percentages of the used runs, [runs][learned tasks][tasks]; NaN where not measured."""
        tasks = len(self.runs[0].matrix.tasks)
        rows = [run.matrix.accuracy for run in self.used]
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1, tasks)


@dataclass(frozen=True)
class Comparison:
    """Runs of one benchmark, grouped, in the order in which they were given.

    Attributes:
        start: what all runs have in common: tasks, setting and zero-shot accuracies (their mean,
            where runs start from different models); no task is learned.
        groups: the methods with their runs.
        notes: what a reader has to know about the runs.
    """

    start: AccuracyMatrix
    groups: tuple[Group, ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(run for group in self.groups for run in group.runs)

    @property
    def several(self) -> bool:
        """Whether numbers of some method are means over runs."""
        return any(len(group.used) > 1 for group in self.groups)

    @property
    def rule(self) -> str:
        """How images were classified, in words."""
        return printable(rule_in_words(self.start.setting))

    @property
    def data(self) -> str | None:
        """The data in words, where some run tells."""
        for data in (run.data for run in self.runs if run.data):
            images = f"{data.train:,} training and {data.test:,} measured images"
            return f"{images}, checksum {data.checksum}"
        return None


def compare(runs: Sequence[Run], labels: Sequence[str] | None = None) -> Comparison:
    """Group runs by label (by default: by method).

    Two runs of one method with the same seed are not two seeds: without labels, they are kept
    apart by the names of their folders.

    Raises:
        ValueError: no run, as many labels as runs are not given, or the runs measured different
            things, so that their numbers must not stand side by side.
    """
    if not runs:
        raise ValueError("A report needs at least one run folder, none was given.")
    if labels is None:
        labels = _labels(runs)
    if len(labels) != len(runs):
        raise ValueError(f"Give one label per run: {len(runs)} runs, {len(labels)} labels.")
    _refuse_different_benchmarks(runs)
    labels = [printable(label) for label in labels]
    groups = tuple(
        Group(label, tuple(r for r, own in zip(runs, labels, strict=True) if own == label))
        for label in dict.fromkeys(labels)
    )
    start = replace(runs[0].matrix, accuracy=())
    notes = list(_unfinished(groups))
    zero_shot = np.array([run.matrix.zero_shot for run in runs])
    if (widest := float(np.ptp(zero_shot, axis=0).max())) > 0.1:  # more than rounding
        start = replace(start, zero_shot=tuple(zero_shot.mean(axis=0).tolist()))
        notes.append(
            "These runs start from different models: their zero-shot accuracies differ by up to "
            f"{widest:.1f} points. The zero-shot row is their mean."
        )
    if modified := [g.label for g in groups if any(run.modified for run in g.runs)]:
        notes.append(
            f"Not verified: run from source code with uncommitted changes ({', '.join(modified)})."
        )
    return Comparison(start, groups, tuple(notes))


def _labels(runs: Sequence[Run]) -> list[str]:
    times = Counter((run.method, run.seed) for run in runs)
    repeated = {method for (method, _), count in times.items() if count > 1}
    return [f"{r.method} ({r.folder_name})" if r.method in repeated else r.method for r in runs]


def _refuse_different_benchmarks(runs: Sequence[Run]) -> None:
    expected = _measured(runs[0])
    for run in runs[1:]:
        found = expected | _measured(run)
        for what, value in expected.items():
            if found[what] != value:
                raise ValueError(
                    f"These runs cannot stand in one report, their {what} differs: "
                    f"{runs[0].folder} has {value}, {run.folder} has {found[what]}. Write one "
                    "report for each."
                )


def _measured(run: Run) -> dict[str, object]:
    """What a run measured, as far as it tells."""
    matrix, setting = run.matrix, {"draw": 0} | run.matrix.setting
    found: dict[str, object] = {
        "benchmark": matrix.benchmark,
        "benchmark version": matrix.version,
        "list of tasks": ", ".join(matrix.tasks),
    }
    if matrix.images:
        found["number of test images"] = matrix.images
    for key in ("label_space", "task_id", "split", "draw", "metric", "counts"):
        found[key] = setting.get(key)
    if run.data:
        found["checksum of the data"] = run.data.checksum
    return found


def _unfinished(groups: Sequence[Group]) -> Iterator[str]:
    for group in groups:
        for run in group.runs:
            if run.matrix.complete:
                continue
            seed = "" if run.seed is None else f", seed {run.seed}"
            state = f"{group.label}{seed}: {run.learned} of {len(run.matrix.tasks)} tasks learned"
            if run not in group.used:
                state += "; not in the numbers of its method"
            elif run.learned:
                state += "; its numbers are those of the tasks so far"
            yield f"Unfinished run. {state}."
