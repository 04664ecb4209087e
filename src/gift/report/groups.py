"""The runs of a report, grouped by method: several seeds of a method are one line in a chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gift import metrics
from gift.runs.read import Run, printable

METRICS = ("transfer", "avg", "last", "forgetting")
METRICS_SEEN_ONLY = ("avg", "last", "forgetting")
"""Of a class-incremental comparison: a class has no accuracy before it is among the candidates."""


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
        """Percentages of the used runs, [runs][learned tasks][tasks]; NaN where not measured."""
        tasks = len(self.runs[0].matrix.tasks)
        rows = [run.matrix.accuracy for run in self.used]
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1, tasks)

    def metric(self, name: str) -> Estimate | None:
        """A metric of :class:`gift.metrics.Metrics` over the used runs; None if undefined."""
        if not self.used[0].learned:
            return None
        images = self.runs[0].matrix.images
        found = [
            getattr(metrics.summarize(m, images=images, partial=True), name) for m in self.matrices
        ]
        return Estimate.of([value for value in found if value is not None])

    def seconds(self, stage: str) -> Estimate | None:
        return Estimate.of([r.seconds[stage] for r in self.used if stage in r.seconds])

    @property
    def peak_memory_mb(self) -> Estimate | None:
        return Estimate.of(
            [run.peak_memory_mb for run in self.used if run.peak_memory_mb is not None]
        )

    def stored(self, what: str) -> Estimate | None:
        """A number of :class:`gift.runs.read.Storage` over the used runs."""
        return Estimate.of([float(getattr(r.storage, what)) for r in self.used if r.storage])


@dataclass(frozen=True)
class Comparison:
    """Runs of one benchmark, grouped, in the order in which they were given.

    ``zero_shot`` and ``images`` are those of :class:`gift.records.AccuracyMatrix`, and so is
    ``seen_only``; ``rule`` says in words how images were classified, ``data`` which (None where no
    run tells).
    """

    benchmark: str
    version: int
    tasks: tuple[str, ...]
    zero_shot: tuple[float, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...]
    images: tuple[int, ...]
    seen_only: bool
    rule: str
    data: str | None = None

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics that exist here."""
        return METRICS_SEEN_ONLY if self.seen_only else METRICS

    @property
    def complete(self) -> tuple[Group, ...]:
        return tuple(group for group in self.groups if group.complete)

    @property
    def zero_shot_metrics(self) -> metrics.Metrics:
        return metrics.zero_shot_metrics(self.zero_shot, seen_only=self.seen_only)


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
    labels = [printable(label) for label in labels]
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
        images=first.images,
        seen_only=first.seen_only,
        rule=_rule(first.setting),
        data=_data(runs),
    )


def _labels(runs: Sequence[Run]) -> list[str]:
    times = Counter((run.method, run.seed) for run in runs)
    repeated = {method for (method, _), count in times.items() if count > 1}
    return [f"{r.method} ({r.folder_name})" if r.method in repeated else r.method for r in runs]


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
    settings = {
        "label_space": None,
        "task_id": None,
        "split": None,
        "draw": 0,
        "metric": None,
        "counts": None,
    }
    known = a.matrix.images and b.matrix.images
    data = (a.data.checksum, b.data.checksum) if a.data and b.data else (None, None)
    return [
        ("benchmark", a.matrix.benchmark, b.matrix.benchmark),
        ("benchmark version", a.matrix.version, b.matrix.version),
        ("list of tasks", ", ".join(a.matrix.tasks), ", ".join(b.matrix.tasks)),
        ("number of test images", known and a.matrix.images, known and b.matrix.images),
        *(
            (key, a.matrix.setting.get(key, default), b.matrix.setting.get(key, default))
            for key, default in settings.items()
        ),
        ("checksum of the data", *data),
    ]


def _rule(setting: Mapping[str, Any]) -> str:
    """How images were classified, in words."""
    spaces = {"seen": "the classes seen so far", "union": "the classes of all tasks"}
    told = "not told" if setting.get("task_id") == "hidden" else "told"
    parts = [
        f"{setting.get('split', 'test')} images",
        f"among {spaces.get(str(setting.get('label_space')), 'the classes of their task')}",
        f"the task is {told}",
    ]
    if draw := setting.get("draw", 0):
        parts.append(f"draw {draw} of the data")
    if metric := setting.get("metric"):
        parts.append(f"mean over the classes instead of over the images: {', '.join(metric)}")
    if counts := setting.get("counts"):
        parts.append(f"not the published images: {', '.join(counts)}")
    return printable(", ".join(parts))


def _data(runs: Sequence[Run]) -> str | None:
    """The data in words, where the runs tell."""
    data = next((run.data for run in runs if run.data is not None), None)
    if data is None:
        return None
    images = f"{data.train:,} training and {data.test:,} measured images"
    return f"{images}, checksum {data.checksum}"


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
