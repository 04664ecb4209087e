"""Before a run: its data sets made and opened, its images checked, its settings weighed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gift.config import EvaluationSettings, unknown
from gift.data import (
    BenchmarkEntry,
    DatasetEntry,
    Task,
    dataset_names,
    load_dataset,
    open_entries,
)
from gift.learner import Learner
from gift.micro.images import make_dataset
from gift.records import Progress, silent

MAKERS: Mapping[str, Callable[..., object]] = {"micro": make_dataset}
"""Who can make a data set's folder where it is not there, by the entry's ``made_by``."""


def chosen_tasks(benchmark: BenchmarkEntry, only: Sequence[str] | None) -> list[DatasetEntry]:
    """A benchmark's data sets in its order, or those of them that are named.

    Raises:
        ValueError: a name that is not a task of the benchmark.
    """
    if only is not None:
        for name in set(only) - set(benchmark.tasks):
            raise ValueError(unknown("task", name, benchmark.tasks))
    return [entry for entry in benchmark.datasets() if only is None or entry.name in only]


def open_tasks(
    entries: Sequence[DatasetEntry], data_root: Path, draw: int = 0, *, progress: Progress = silent
) -> list[Task]:
    """Open data sets, making those that can be made and are not there.

    Args:
        entries: the data sets.
        data_root: where they are; another draw than 0 has its own folder ``draw-<k>`` in it.
        draw: which draw of data sets that are made.
        progress: called while a data set is made.

    Raises:
        ValueError: another draw than 0 of a data set that cannot be made, or a folder that does
            not hold what its entry says.
        FileNotFoundError: a data set is not where it should be.
    """
    if draw:
        if found := [entry.name for entry in entries if entry.made_by is None]:
            raise ValueError(
                f"draw = {draw} needs data sets that can be made, but {found[0]} is not one; "
                "leave draw at 0."
            )
        data_root = data_root / f"draw-{draw}"
    for entry in entries:
        target = data_root / entry.source.path
        if entry.made_by is not None and not target.exists():
            MAKERS[entry.made_by](entry.made_name, target, progress=progress, draw=draw)
    return open_entries(entries, data_root)


def make_reference(learner: Learner, *, progress: Progress = silent) -> None:
    """Make or look for the data set of real images that the learner's method needs, if any.

    Raises:
        FileNotFoundError: it is not there and cannot be made.
    """
    source = learner.config.reference.source
    if learner.needs_reference and source in dataset_names():
        open_tasks([load_dataset(source)], learner.data_root, progress=progress)


def measured_part(task: Task, settings: EvaluationSettings) -> Task:
    """The task with the images to measure as its test part.

    For validation without a validation part, some training images are set aside: the same ones
    for every method and seed, never test images.

    Raises:
        ValueError: there are no such images.
    """
    if settings.split == "validation" and task.validation is None:
        train, validation = task.split_train(
            settings.validation_fraction, _VALIDATION_SEED, "evaluation.validation_fraction"
        )
        return replace(task, train=train, validation=validation, test=validation)
    part = task.test if settings.split == "test" else task.validation
    if part is None:
        raise ValueError(
            f"task {task.name!r} has no test images; add a test folder beside train, or set "
            "evaluation.split = validation."
        )
    return replace(task, test=part)


_VALIDATION_SEED = 42


def check_exclusions(
    excluded: Sequence[str],
    benchmark: BenchmarkEntry,
    tasks: Sequence[Task],
    base_classnames: Iterable[str],
) -> None:
    """Refuse a name in ``synthesis.exclude`` that would exclude nothing.

    Raises:
        ValueError: it is no task of the benchmark, no class of its tasks and no general name; the
            nearest one is named.
    """
    classes = (name for task in tasks for name in task.labels.classnames)
    known = {*benchmark.tasks, *classes, *base_classnames}
    for name in excluded:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"synthesis.exclude: {name!r} is no task of {benchmark.name}, no class of its "
                f"tasks and no general class name.{hint}"
            )
