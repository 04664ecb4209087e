"""Before a run: its data sets made and opened, its images checked, its settings weighed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gift.config import EvaluationSettings, RunConfig, unknown
from gift.data import (
    BenchmarkEntry,
    DatasetEntry,
    ImageSet,
    Task,
    dataset_names,
    few_shot,
    load_benchmark,
    load_dataset,
    open_entries,
)
from gift.files import write_json
from gift.learner import Learner
from gift.micro.images import make_dataset
from gift.records import AccuracyMatrix, Progress, silent
from gift.runs import RunFolder

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


def with_revisions(
    entries: Sequence[DatasetEntry], revisions: Mapping[str, str]
) -> list[DatasetEntry]:
    """Data sets with the chosen commits of their hub copies.

    Args:
        entries: the data sets.
        revisions: commit by the data set's name.

    Raises:
        ValueError: a name that is none of theirs, or a data set without a hub copy.
    """
    copies = {entry.whole_name for entry in entries if entry.hub is not None}
    for name in set(revisions) - copies:
        raise ValueError(f"hub_revisions: {unknown('hub copy', name, copies)}")
    return [
        entry.model_copy(update={"hub": entry.hub.model_copy(update={"revision": revision})})
        if entry.hub is not None and (revision := revisions.get(entry.whole_name))
        else entry
        for entry in entries
    ]


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
        if entry.made_by is None or entry.source is None:
            continue
        target = data_root / entry.source.path
        if not target.exists():
            MAKERS[entry.made_by](entry.whole_name, target, progress=progress, draw=draw)
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


def few_shot_parts(tasks: Sequence[Task], shots: int, seed: int, folder: RunFolder) -> list[Task]:
    """The tasks with a few training images per class.

    Which ones is kept in the run folder: ``tasks/<number>-<name>/train-indices.json`` has their
    positions among all training images of the task.

    Args:
        tasks: the tasks in the order of learning.
        shots: training images per class.
        seed: seed of their choice.
        folder: the run folder.

    Raises:
        ValueError: a class with fewer training images.
    """
    return [
        _few_shot_part(task, shots, seed, folder.task(number, task.name))
        for number, task in enumerate(tasks, start=1)
    ]


def _few_shot_part(task: Task, shots: int, seed: int, folder: Path) -> Task:
    assert isinstance(task.train, ImageSet), "images of a data set can be drawn"
    try:
        indices = few_shot(task.train, shots, seed)
    except ValueError as error:
        raise ValueError(f"{task.name}: {error}") from None
    drawn = {"shots": shots, "seed": seed, "of": len(task.train), "indices": indices}
    write_json(folder / "train-indices.json", drawn)
    return replace(task, train=task.train.select(indices))


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


def check_same_benchmark(matrix: AccuracyMatrix, config: RunConfig, folder: Path) -> None:
    """Refuse a matrix that was measured on something else than a configuration asks for.

    Raises:
        ValueError: another benchmark, version, tasks or rule of evaluation.
    """
    benchmark = load_benchmark(config.benchmark)
    tasks = [entry.name for entry in chosen_tasks(benchmark, config.tasks)]
    rule = {key: matrix.setting.get(key) for key in ("label_space", "task_id")}
    now = {"label_space": benchmark.label_space, "task_id": benchmark.task_id}
    found = _described(matrix.benchmark, matrix.version, matrix.tasks, rule)
    wanted = _described(benchmark.name, benchmark.version, tasks, now)
    if found != wanted:
        raise ValueError(
            f"{folder} holds a run of {found}; the benchmark now is {wanted}. Use another folder."
        )


def _described(name: str, version: int, tasks: Sequence[str], rule: Mapping[str, Any]) -> str:
    """A benchmark in words, all that has to agree for a run to go on."""
    parts = [f"{key} {value}" for key, value in rule.items()]
    return f"{name} version {version} with the tasks {', '.join(tasks)} and {', '.join(parts)}"
