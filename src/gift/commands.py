"""Learners in folders: learn one more task, evaluate, and generate images for a look."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import safetensors.numpy
from pydantic import Field

from gift import distributed
from gift.config import LearnerConfig, SynthesisSettings
from gift.data import (
    Paths,
    Task,
    check_images,
    dataset_names,
    load_benchmark,
    load_dataset,
    open_tasks,
    provenance,
    with_revisions,
)
from gift.data.labels import LabelSpace, repeated
from gift.data.output import refuse_data
from gift.evaluate import Accuracy, Protocol, sample_features
from gift.files import replacing_file, write_json
from gift.learner import Learner
from gift.runs import RunFolder, reset_peak_memory
from gift.settings import Settings, differences, identity, merge, validate
from gift.streams import open_generator
from gift.synthesis import ImageStore, SyntheticSet
from gift.text import check_list, did_you_mean, one_line
from gift.train import training_device

log = logging.getLogger(__name__)

_MEASURED = "eval.json"
"""Accuracies after a task, beside it."""


@dataclass(frozen=True)
class Learned:
    """A task that a learner has just learned.

    Attributes:
        task: its name.
        before: accuracy before it was learned: among its own classes, and among all classes seen
            and its own.
        after: the same afterwards.
        tasks: the names of all tasks learned so far.
        plain_model: what the model folder of the learner is, in words.
        one_per_task: whether every task has a model of its own, to be exported.
    """

    task: str
    before: tuple[Accuracy, Accuracy]
    after: tuple[Accuracy, Accuracy]
    tasks: tuple[str, ...]
    plain_model: str
    one_per_task: bool


def learn(
    folder: Path,
    task: Task,
    settings: Mapping[str, object] | None = None,
    *,
    paths: Paths | None = None,
) -> Learned:
    """Let the learner in a folder learn one more task.

    Where a process was killed after it had saved the learner, the same call measures what it was to
    measure.

    Args:
        folder: the learner folder; made if it is not there.
        task: what to learn.
        settings: fields of :class:`~gift.config.LearnerConfig` for a new learner; those of an
            existing one may only repeat what it has, or change what does not bear on results.
        paths: cache and data directories.

    Raises:
        ValueError: wrong input, or settings that differ from those of an existing learner.
        OSError: the folder cannot be written.
    """
    if task.place:
        refuse_data(folder, "the learner folder", Path(task.place))
    run_folder = RunFolder(folder)
    if run_folder.read_matrix() is not None:
        raise ValueError(
            f"{folder} holds the run of a benchmark; to let its learner learn more, copy "
            f"{folder}/config.yaml and {folder}/learner into a new folder and name that."
        )
    config = _config(run_folder, settings or {})
    distributed.initialise()
    with run_folder.writing():
        if run_folder.has_learner:
            run_folder.whole_learner()  # to resume from the one before would lose a task
        learner = open_learner(run_folder, config, paths)
        run_folder.write_config(config)
        learner.check()
        saved = _only_saved(run_folder, learner, task)
        if not saved:
            learner.check_task(task)
        used = [images for images in (task.train, task.evaluation) if images is not None]
        check_images(*used, paths=learner.paths)
        described = asdict(provenance(task, learner.paths))
        if saved and not run_folder.is_data(task.name, described):
            raise ValueError(
                f"a task named {task.name!r} was already learned, from other images; give this one "
                "another name."
            )
        if not saved:
            _hint_at_other_tasks(config, learner, task)
            learned = [labels.name for labels in learner.memory]
            run_folder.add_data(task.name, described, only=learned)
            run_folder.write_inputs(learner.inputs, may_change=True)
            learner.streams.begin(learner.memory)  # a generator that fails does so before all work
        earlier = _before_last(run_folder, learner) if saved else learner
        before = earlier.measure(task)
        if not saved:
            learner.learn(task, folder=run_folder)
            learner.save(folder)
        started = time.perf_counter()
        after = learner.measure(task)
        _keep(learner, after, run_folder, time.perf_counter() - started)
    names = tuple(labels.name for labels in learner.memory)
    method = learner.method
    return Learned(task.name, before, after, names, method.plain_model, method.one_per_task)


def evaluate(
    folder: Path,
    tasks: Sequence[Task],
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
        tasks: what to measure.
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
    every = [*tasks, *listed]
    if not every:
        raise ValueError("nothing to measure: give --task FOLDER or --benchmark NAME.")
    if twice := repeated(task.name for task in every):
        raise ValueError(
            f"several tasks are called {', '.join(twice)}; measure them one by one, or rename "
            "their folders."
        )
    learner.check_labels(every)
    used = [images for task in every if (images := task.evaluation) is not None]
    check_images(*used, paths=learner.paths)
    found = [one for task in tasks for one in _measured_as_known(learner, task, templates)]
    row = learner.evaluate(listed, protocol) if listed else []
    return found + _described(learner, listed, row, protocol)


def _measured_as_known(
    learner: Learner, task: Task, templates: Sequence[str] | None
) -> list[Accuracy]:
    """The accuracies of a task, measured as the learned task that it is."""
    known = learner.known_task(task.labels)
    labels = known or task.labels
    labels = replace(labels, classnames=task.labels.classnames)
    if templates is not None:
        labels = replace(labels, templates=tuple(templates))
    if known is not None:
        log.info(
            "%s is measured as the learned task %s, with %s.",
            one_line(task.name),
            one_line(known.name),
            one_line(", ".join(map(repr, labels.templates[:2])))
            + ("" if len(labels.templates) <= 2 else f" and {len(labels.templates) - 2} more"),
        )
    found = learner.measure(replace(task, labels=labels))
    is_training = task.evaluated_split == "train"
    is_whole = is_training and (known is None or known.name != task.name)
    return [replace(one, task=task.name, images="all" if is_whole else one.images) for one in found]


def export(folder: Path, out: Path, task: str | None = None, *, paths: Paths | None = None) -> None:
    """Write the model of the learner in a folder by itself, see :meth:`Learner.export`."""
    Learner.load(folder, paths=paths).export(out, task=task)


def synthesize(
    out: Path, classnames: Sequence[str], settings: Mapping[str, object] | None = None
) -> SyntheticSet:
    """Generate image-text pairs from class names into a store below ``out``.

    Args:
        out: where the sets are; what is there already is not generated again.
        classnames: what to generate, each name put into ``base_template``.
        settings: fields of :class:`~gift.config.SynthesisSettings`; those that choose the names of
            a learner's sets (``base_classnames``, ``source``, ``exclude``) have no meaning here.

    Raises:
        ValueError: a wrong setting, no class name, or a generator that cannot be loaded.
        OSError: the folder cannot be written.
    """
    refuse_data(out, "the folder of image sets")
    check_list("classnames", classnames, "['cat', 'dog']")
    wanted = validate(SynthesisSettings, settings or {})
    labels = LabelSpace("classes", tuple(classnames), (wanted.base_template,))
    return ImageStore(out).fetch(
        labels.prompts,
        generator=open_generator(wanted, training_device()),
        task_index=1,
        count=wanted.images,
        seed=42 if wanted.seed is None else wanted.seed,
    )


def open_learner(run_folder: RunFolder, config: LearnerConfig, paths: Paths | None) -> Learner:
    """The folder's learner, or a new one, with the reference data set that it needs."""
    learner = (
        Learner.load(run_folder.path, paths=paths, config=config, state="any")
        if run_folder.has_learner
        else Learner(config, paths=paths)
    )
    source = learner.config.reference.source
    if learner.streams.needs_reference and source in dataset_names():
        with distributed.main_first():  # what can be generated is generated once
            open_tasks([load_dataset(source)], learner.paths)
    run_folder.write_environment(str(learner.model.device))
    reset_peak_memory()
    return learner


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
    place = _keep(learner, found, folder, time.perf_counter() - started)
    if features:
        sample = sample_features(learner.predictor(), learner.model, tasks, features, protocol)
        if distributed.is_main():
            with replacing_file(place / "features.safetensors") as file:
                file.write(safetensors.numpy.save(sample))
    return row


def _only_saved(folder: RunFolder, learner: Learner, task: Task) -> bool:
    """Whether a task like this was learned and saved last, but not measured."""
    measured = folder.task(len(learner.memory), task.name) / _MEASURED
    return learner.memory[-1:] == (task.labels,) and not measured.exists()


def _before_last(folder: RunFolder, learner: Learner) -> Learner:
    """The learner as it was before its last task."""
    if len(learner.memory) == 1:
        return Learner(learner.config, paths=learner.paths)
    return Learner.load(folder.path, paths=learner.paths, config=learner.config, state="previous")


def _keep(learner: Learner, found: Sequence[Accuracy], folder: RunFolder, seconds: float) -> Path:
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
        write_json(place / _MEASURED, {"after": after, "accuracy": list(map(asdict, found))})
    return place


def _hint_at_other_tasks(config: LearnerConfig, learner: Learner, task: Task) -> None:
    """Say which names of tasks in the settings are none so far: they may be misspelt."""
    known = {task.name, *(labels.name for labels in learner.memory)}
    spaces = (task.labels, *learner.memory)
    classes = {name for labels in spaces for name in labels.classnames}
    excluded = set(config.synthesis.exclude)
    if excluded:
        excluded -= {*classes, *learner.streams.base_classnames}
    for setting, names in (
        ("training.learning_rates", config.training.learning_rates),
        ("synthesis.exclude", sorted(excluded)),
    ):
        for name in (name for name in names if name not in known):
            log.warning(
                "%s names %s, which is no task so far (%s).%s",
                setting,
                one_line(name),
                one_line(", ".join(sorted(known))),
                did_you_mean(name, known),
            )


class _DataSettings(Settings):
    """Which data a run opened; a learner that learned folders has the defaults."""

    draw: int = 0
    hub_revisions: dict[str, str] = Field({})


def _config(run_folder: RunFolder, settings: Mapping[str, object]) -> LearnerConfig:
    """The configuration of a new learner, or that of a folder's, which settings may not contradict.

    Raises:
        ValueError: a wrong setting, or one that differs from the folder's.
    """
    if not run_folder.has_learner:
        return validate(LearnerConfig, settings)
    stored = run_folder.read_config(LearnerConfig)
    wanted = validate(LearnerConfig, merge(stored.model_dump(mode="json"), settings))
    if different := differences(identity(stored), identity(wanted)):
        raise ValueError(
            f"the learner in {run_folder.path} has other settings: {'; '.join(different)}. Leave "
            "them out to continue, or start another learner in another folder."
        )
    return wanted


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
