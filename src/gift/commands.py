"""Learners in folders: learn one more task, evaluate, and generate images for a look."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.numpy
from pydantic import Field

from gift import distributed
from gift.config import LearnerConfig, SynthesisSettings
from gift.data import (
    Paths,
    Split,
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
from gift.evaluate import Protocol, sample_features
from gift.files import replacing_file, write_json
from gift.learner import Learner
from gift.runs import RunFolder, reset_peak_memory
from gift.settings import Settings, differences, identity, merge, validate
from gift.streams import open_generator
from gift.synthesis import ImageStore, SyntheticSet
from gift.train import training_device

_MEASURED = "eval.json"
"""Accuracies after a task, beside it."""


@dataclass(frozen=True)
class Learned:
    """A task that a learner has just learned.

    Attributes:
        task: its name.
        before: accuracy in percent among its own classes before it was learned.
        after: the same afterwards.
        split: the split that the accuracy is measured on; ``train`` where nothing was held out.
        tasks: the names of all tasks learned so far.
    """

    task: str
    before: float
    after: float
    split: Split
    tasks: tuple[str, ...]


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
            learned = [labels.name for labels in learner.memory]
            run_folder.add_data(task.name, described, only=learned)
            run_folder.write_inputs(learner.inputs, may_change=True)
            learner.streams.begin(learner.memory)  # a generator that fails does so before all work
        earlier = _before_last(run_folder, learner) if saved else learner
        (before,) = earlier.evaluate(task)
        if not saved:
            learner.learn(task, folder=run_folder)
            learner.save(folder)
        (after,) = measure(learner, [task], Protocol(), run_folder)
    names = tuple(labels.name for labels in learner.memory)
    assert task.evaluated_split is not None
    return Learned(task.name, before, after, task.evaluated_split, names)


def evaluate(
    folder: Path, tasks: Sequence[Task], benchmark: str | None = None, *, paths: Paths | None = None
) -> dict[str, float]:
    """Accuracy in percent of the learner in a folder, by task name.

    The tasks are measured among their own classes, those of the benchmark by its own protocol;
    where that is the classes seen so far, its tasks that the learner has not learned are skipped.

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
    row = learner.evaluate(tasks) + learner.evaluate(listed, protocol)
    return _by_name(every, row)


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
    accuracy = _by_name(tasks, row)
    after = learner.memory[-1].name if learner.memory else "zero-shot"
    place = folder.task(len(learner.memory), after) if learner.memory else folder.path
    folder.log("evaluate", task=after, accuracy=accuracy, seconds=time.perf_counter() - started)
    if learner.memory and distributed.is_main():
        write_json(place / _MEASURED, {"after": after, "accuracy": accuracy})
    if features:
        found = sample_features(learner.predictor(), learner.model, tasks, features, protocol)
        if distributed.is_main():
            with replacing_file(place / "features.safetensors") as file:
                file.write(safetensors.numpy.save(found))
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


def _by_name(tasks: Sequence[Task], row: Sequence[float]) -> dict[str, float]:
    """A row without the tasks that were not measured."""
    named = zip([task.name for task in tasks], row, strict=True)
    return {name: accuracy for name, accuracy in named if not math.isnan(accuracy)}
