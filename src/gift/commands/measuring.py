"""Accuracies of a learner in a folder, and where they are kept."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import safetensors.numpy
from pydantic import Field, TypeAdapter

from gift import distributed
from gift.data import (
    SKIP_HINT,
    Paths,
    Task,
    TaskLike,
    as_tasks,
    check_images,
    load_benchmark,
    open_tasks,
    readable,
    with_revisions,
)
from gift.data.labels import LabelSpace, repeated
from gift.evaluate import Accuracy, Images, Protocol, sample_features
from gift.files import read_json, replacing_file, write_json
from gift.learner import Learner
from gift.runs import RunFolder
from gift.settings import Settings
from gift.text import one_line

log = logging.getLogger(__name__)

MEASURED = "eval.json"
"""Accuracies after a task, beside it."""


def evaluate(
    folder: Path,
    tasks: TaskLike | Sequence[TaskLike],
    benchmark: str | None = None,
    *,
    templates: Sequence[str] | None = None,
    paths: Paths | None = None,
) -> list[Accuracy]:
    """Measure the learner in a folder.

    Each task is measured among its own classes and among all classes seen. Where it is one that the
    learner has learned (by its name, or by its classes), it is measured as that task: with the
    templates that it was learned with, and told to methods that use the task.

    The tasks of a benchmark are measured by its own protocol; where that is the classes seen so
    far, those that the learner has not learned are skipped.

    Args:
        folder: the learner or run folder.
        tasks: what to measure, one or several; see :meth:`gift.learner.Learner.learn`.
        benchmark: name of a benchmark, or the path of its YAML file.
        templates: prompt templates of the tasks; by default those of the learned task, else the
            task's own.
        paths: cache and data directories.

    Raises:
        ValueError: nothing to measure, or no learner in the folder.
    """
    learner = Learner.load(folder, paths=paths)
    protocol, listed = Protocol(), []
    if benchmark is not None:
        entry = load_benchmark(benchmark)
        protocol = Protocol(entry.label_space, entry.task_id)
        learned = {labels.name for labels in learner.memory}
        if protocol.label_space == "seen" and not learned & set(entry.tasks):
            raise ValueError(
                f"the learner in {folder} has learned no task of {entry.name}, which is measured "
                "among the classes seen so far; run the benchmark first."
            )
        data, datasets = RunFolder(folder).read_config(_DataSettings), entry.datasets()
        known = {dataset.whole_name for dataset in datasets}
        revisions = {k: v for k, v in data.hub_revisions.items() if k in known}
        listed = open_tasks(with_revisions(datasets, revisions), learner.paths, data.draw)
    own = as_tasks(tasks)
    every = [*own, *listed]
    if not every:
        raise ValueError("nothing to measure: give --task FOLDER or --benchmark NAME.")
    if twice := repeated(task.name for task in every):
        raise ValueError(
            f"several tasks are called {', '.join(twice)}; measure them one by one, or rename "
            "their folders."
        )
    learner.check_labels(every)
    own = [readable(task, learner.paths) for task in own]
    used = [images for task in (*own, *listed) if (images := task.evaluation) is not None]
    check_images(*used, paths=learner.paths, hint=SKIP_HINT)
    found = [one for task in own for one in measure_as_known(learner, task, templates)]
    row = learner.evaluate(listed, protocol) if listed else []
    return found + _described(learner, listed, row, protocol)


def measure(
    learner: Learner,
    tasks: Sequence[Task],
    protocol: Protocol,
    folder: RunFolder,
    *,
    features: int = 0,
) -> list[float]:
    """A row of the accuracy matrix, logged and kept beside the task that was learned last.

    Args:
        learner: as it is after its last task.
        tasks: what to evaluate on.
        protocol: how the images are classified.
        folder: the run's.
        features: images of each task whose features are kept in ``features.safetensors``, see
            :func:`gift.evaluate.sample_features`.
    """
    started = time.perf_counter()
    row = learner.evaluate(tasks, protocol)
    found = _described(learner, tasks, row, protocol)
    place = keep(learner, found, folder, time.perf_counter() - started)
    if features:
        sample = sample_features(learner.predictor(), learner.model, tasks, features, protocol)
        if distributed.is_main():
            with replacing_file(place / "features.safetensors") as file:
                file.write(safetensors.numpy.save(sample))
    return row


def measure_as_known(
    learner: Learner, task: Task, templates: Sequence[str] | None = None
) -> list[Accuracy]:
    """The accuracies of a task, measured as the learned task that it is.

    The first is among its own classes, the second among all classes seen.
    """
    known = learner.known_task(task.labels)
    labels = known_labels(learner, task.labels, templates)
    if known is not None:
        log.info(
            "%s is measured as the learned task %s, with %s.",
            one_line(task.name),
            one_line(known.name),
            one_line(", ".join(map(repr, labels.templates[:2])))
            + ("" if len(labels.templates) <= 2 else f" and {len(labels.templates) - 2} more"),
        )
    found = learner.measure(replace(task, labels=labels))
    images = measured_images(task, known)
    return [replace(one, task=task.name, images=images) for one in found]


def known_labels(
    learner: Learner, labels: LabelSpace, templates: Sequence[str] | None = None
) -> LabelSpace:
    """A folder's classes with the name and the templates of the learned task that they are.

    Args:
        learner: knows the task, or does not: then the labels stay as they are.
        labels: of the folder.
        templates: instead of the task's.
    """
    known = learner.known_task(labels) or labels
    words = known.templates if templates is None else tuple(templates)
    return replace(known, classnames=labels.classnames, templates=words)


def measured_images(task: Task, known: LabelSpace | None) -> Images:
    """Which of a folder's images are measured, given the learned task that it is measured as."""
    is_training = task.evaluated_split == "train"
    is_whole = is_training and (known is None or known.name != task.name)
    return "all" if is_whole else task.measured_on


def keep(learner: Learner, found: Sequence[Accuracy], folder: RunFolder, seconds: float) -> Path:
    """Log accuracies and keep them beside the task that was learned last; returns that folder."""
    after = learner.memory[-1].name if learner.memory else "zero-shot"
    place = folder.task(len(learner.memory), after) if learner.memory else folder.path
    for among in dict.fromkeys(one.among for one in found):
        own = [one for one in found if one.among == among]
        folder.log(
            "evaluate",
            task=after,
            accuracy={one.task: one.value for one in own},
            among=among,
            measured_on={one.task: one.images for one in own},
            model=learner.state,
            seconds=seconds,
        )
        seconds = 0.0
    if learner.memory and distributed.is_main():
        write_json(place / MEASURED, {"after": after, "accuracy": list(map(asdict, found))})
    return place


def read_measured(path: Path) -> list[Accuracy]:
    """What :func:`keep` wrote; nothing where there is none, or another version wrote it."""
    if not path.is_file():
        return []
    try:
        return _Measured.validate_python(read_json(path)).accuracy
    except ValueError as error:
        log.warning("%s is not read: %s", path, one_line(error))
        return []


@dataclass(frozen=True)
class _EvalFile:
    """The content of ``eval.json``."""

    after: str
    accuracy: list[Accuracy]


_Measured = TypeAdapter(_EvalFile)


class _DataSettings(Settings):
    """Which data a run opened; a learner that learned folders has the defaults."""

    draw: int = 0
    hub_revisions: dict[str, str] = Field({})


def _described(
    learner: Learner, tasks: Sequence[Task], row: Sequence[float], protocol: Protocol
) -> list[Accuracy]:
    """A row of accuracies with what they are of, without the tasks that were not measured."""
    told = protocol.task_id == "given" and learner.method.uses_task_id()
    model = learner.state + (", told the task" if told else "")
    return [
        Accuracy(task.name, value, protocol.label_space, task.measured_on, model, task.metric)
        for task, value in zip(tasks, row, strict=True)
        if not math.isnan(value)
    ]
