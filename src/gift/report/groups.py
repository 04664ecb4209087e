"""The runs of a report, grouped by method: several seeds of a method are one line in a chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gift import metrics
from gift.report.read import Run

METRICS = ("transfer", "avg", "last", "forgetting")


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds; ``spread`` is the sample standard deviation, None for a single run."""

    mean: float
    spread: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate | None:
        """None for no value."""
        if not values:
            return None
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), spread)


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
    def matrices(self) -> metrics.Array:
        """Accuracies of the used runs in percent, [runs][learned tasks][tasks]."""
        tasks = len(self.runs[0].matrix.tasks)
        rows = [run.matrix.accuracy for run in self.used]
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1, tasks)

    def metric(self, name: str) -> Estimate | None:
        """A metric of :class:`gift.metrics.Metrics` over the used runs; None if undefined."""
        if not self.used[0].learned:
            return None
        found = [getattr(metrics.summarize(m, partial=True), name) for m in self.matrices]
        return Estimate.of([value for value in found if value is not None])

    def seconds(self, stage: str) -> Estimate | None:
        return Estimate.of([r.seconds[stage] for r in self.used if stage in r.seconds])

    @property
    def peak_memory_mb(self) -> Estimate | None:
        return Estimate.of(
            [run.peak_memory_mb for run in self.used if run.peak_memory_mb is not None]
        )


@dataclass(frozen=True)
class Comparison:
    """Runs of one benchmark, grouped, in the order in which they were given."""

    benchmark: str
    version: int
    tasks: tuple[str, ...]
    zero_shot: tuple[float, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...]

    @property
    def complete(self) -> tuple[Group, ...]:
        return tuple(group for group in self.groups if group.complete)

    @property
    def zero_shot_metrics(self) -> metrics.Metrics:
        return metrics.summarize(metrics.zero_shot_matrix(self.zero_shot))


def compare(runs: Sequence[Run], labels: Sequence[str] | None = None) -> Comparison:
    """Group runs by label (by default: by method).

    Two runs of one method with the same seed are not two seeds: without labels, they are told
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
    groups = tuple(
        Group(label, tuple(r for r, own in zip(runs, labels, strict=True) if own == label))
        for label in dict.fromkeys(labels)
    )
    first = runs[0].matrix
    rows = np.array([run.matrix.zero_shot for run in runs], dtype=np.float64)
    starts = _different_starts(rows)
    return Comparison(
        benchmark=first.benchmark,
        version=first.version,
        tasks=first.tasks,
        zero_shot=tuple(rows.mean(axis=0).tolist()) if starts else first.zero_shot,
        groups=groups,
        notes=(*_unfinished(groups), *starts, *_modified(groups)),
    )


def _labels(runs: Sequence[Run]) -> list[str]:
    times = Counter((run.method, run.seed) for run in runs)
    repeated = {method for (method, _), count in times.items() if count > 1}
    return [f"{r.method} ({r.folder.name})" if r.method in repeated else r.method for r in runs]


def _refuse_different_benchmarks(runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        for what, a, b in _identity_pairs(first, run):
            if a != b:
                raise ValueError(
                    f"These runs cannot stand in one report, their {what} differs: "
                    f"{first.folder} has {a}, {run.folder} has {b}. Write one report for each."
                )


def _identity_pairs(a: Run, b: Run) -> list[tuple[str, object, object]]:
    settings = ("label_space", "task_id", "split")
    return [
        ("benchmark", a.matrix.benchmark, b.matrix.benchmark),
        ("benchmark version", a.matrix.version, b.matrix.version),
        ("list of tasks", ", ".join(a.matrix.tasks), ", ".join(b.matrix.tasks)),
        *((key, a.matrix.setting.get(key), b.matrix.setting.get(key)) for key in settings),
    ]


def _unfinished(groups: Sequence[Group]) -> list[str]:
    notes = []
    for group in groups:
        for run in group.runs:
            if run.matrix.complete:
                continue
            seed = "" if run.seed is None else f", seed {run.seed}"
            state = f"{group.label}{seed}: {run.learned} of {len(run.matrix.tasks)} tasks learned"
            if run not in group.used:
                state += "; left out of the numbers of its method"
            elif run.learned:
                state += "; its numbers are those of the tasks so far"
            notes.append(f"Unfinished run. {state}.")
    return notes


def _modified(groups: Sequence[Group]) -> list[str]:
    labels = [group.label for group in groups if any(run.modified for run in group.runs)]
    if not labels:
        return []
    return [f"Not verified: run from source code with uncommitted changes ({', '.join(labels)})."]


def _different_starts(rows: metrics.Array) -> list[str]:
    """Rounding aside, runs from one model have one zero-shot row."""
    if float(np.ptp(rows, axis=0).max()) <= 0.1:
        return []
    return [
        "These runs start from different models: their zero-shot accuracies differ by up to "
        f"{float(np.ptp(rows, axis=0).max()):.1f} points. The zero-shot row is their mean."
    ]
