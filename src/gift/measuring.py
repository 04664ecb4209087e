"""Measuring a learner by the rule of a benchmark: which tasks, and which classes compete."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gift.config import RunConfig
from gift.data import BenchmarkEntry, DatasetEntry, Task, rule_of
from gift.files import write_json
from gift.learner import Learner
from gift.records import Progress, silent
from gift.runs import RunFolder


def setting_of(
    benchmark: BenchmarkEntry, entries: Iterable[DatasetEntry], config: RunConfig
) -> dict[str, Any]:
    """What the numbers of a run on some of a benchmark's tasks were measured on."""
    rule = rule_of(benchmark, entries)
    return rule | {"split": config.evaluation.split, "draw": config.draw}


def measure(
    learner: Learner,
    tasks: Sequence[Task],
    rule: BenchmarkEntry,
    *,
    batch_size: int = 256,
    progress: Progress = silent,
) -> dict[str, float]:
    """Accuracy in percent on a benchmark's tasks by its rule, by task name.

    Where images are classified among the classes seen so far, tasks that the learner has not
    learned are left out.
    """
    if rule.label_space == "seen":
        learned = {labels.name for labels in learner.memory}
        tasks = [task for task in tasks if task.name in learned]
    row = learner.evaluate(
        tasks,
        candidates=None if rule.label_space == "task" else [task.labels for task in tasks],
        task_id=rule.task_id,
        batch_size=batch_size,
        progress=progress,
    )
    return dict(zip([task.name for task in tasks], row, strict=True))


@dataclass(frozen=True)
class Measuring:
    """Rows of a run's matrix, by the rule of its benchmark; the figures are kept in its folder."""

    rule: BenchmarkEntry
    batch_size: int
    folder: RunFolder
    progress: Progress

    def zero_shot(self, learner: Learner, tasks: Sequence[Task]) -> tuple[float, ...]:
        """What the model scores before the first task."""
        started = time.perf_counter()
        if self.rule.label_space == "seen":
            row = learner.evaluate_growing(
                tasks, batch_size=self.batch_size, progress=self.progress
            )
            accuracy = dict(zip([task.name for task in tasks], row, strict=True))
        else:
            accuracy = self._measured(learner, tasks)
        keep(self.folder, learner, accuracy, started)
        return tuple(accuracy.values())

    def row(self, learner: Learner, tasks: Sequence[Task]) -> list[float | None]:
        """What it scores after the latest one; None for a task that is not measured yet."""
        started = time.perf_counter()
        accuracy = self._measured(learner, tasks)
        keep(self.folder, learner, accuracy, started)
        return [accuracy.get(task.name) for task in tasks]

    def _measured(self, learner: Learner, tasks: Sequence[Task]) -> dict[str, float]:
        return measure(
            learner, tasks, self.rule, batch_size=self.batch_size, progress=self.progress
        )


def keep(
    folder: RunFolder, learner: Learner, accuracy: Mapping[str, float], started: float
) -> None:
    """Log the figures, and keep them beside the task that was just learned."""
    after = learner.memory[-1].name if learner.memory else "zero-shot"
    seconds = time.perf_counter() - started
    folder.log("evaluate", task=after, accuracy=accuracy, seconds=seconds)
    if learner.memory:
        where = folder.task(len(learner.memory), after) / "eval.json"
        write_json(where, {"after": after, "accuracy": accuracy})
