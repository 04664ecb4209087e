"""Runs of benchmarks, and learners in folders: learn and evaluate over a sequence of tasks."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import safetensors.numpy
from pydantic import Field

from gift import distributed, metrics
from gift.config import LearnerConfig, RunConfig, SynthesisSettings
from gift.data import (
    BenchmarkEntry,
    DatasetEntry,
    Paths,
    Task,
    check_images,
    dataset_names,
    few_shot,
    load_benchmark,
    load_dataset,
    measured_split,
    open_tasks,
    provenance,
    rule_of,
    with_revisions,
)
from gift.data.labels import LabelSpace
from gift.evaluate import Protocol, sample_features
from gift.files import replacing_file, write_json
from gift.learner import Learner
from gift.methods import method_class
from gift.metrics import AccuracyMatrix
from gift.progress import report
from gift.runs import RunFolder, Storage, Summary, peak_memory_mb, reset_peak_memory
from gift.runs.manifest import damage
from gift.settings import (
    Settings,
    Values,
    differences,
    flat,
    identity,
    load_recipe,
    merge,
    validate,
)
from gift.streams import open_generator
from gift.synthesis import ImageStore, SyntheticSet
from gift.train import training_device


def resolve(benchmark: str, method: str, *overrides: Mapping[str, object]) -> RunConfig:
    """The configuration of a run: the paper's defaults, the benchmark's recipe, the overrides.

    Later layers win; nothing but the configuration is looked at.

    Raises:
        ValueError: unknown benchmark, method, recipe or setting.
    """
    for named in overrides:
        if (other := named.get("benchmark", benchmark)) != benchmark:
            raise ValueError(
                f"the settings name the benchmark {other!r}, but {benchmark!r} was asked for; "
                "leave one of them out."
            )
    entry = load_benchmark(benchmark)
    recipe = load_recipe(entry.recipe, method) if entry.recipe else {}
    own = {
        "benchmark": benchmark,
        "method": method,
        "synthesis": {"base_classnames": entry.base_classnames},
    }
    return validate(RunConfig, merge(own, recipe, *overrides))


def changes(config: RunConfig, recipe: RunConfig | None = None) -> Values:
    """What a run changes of its benchmark's recipe, by dotted path; without the seed.

    Args:
        config: the run's configuration.
        recipe: the recipe's, where it is known already.
    """
    recipe = recipe or resolve(config.benchmark, config.method)
    plain = flat(recipe.model_dump(mode="json", exclude={"seed"}))
    own = flat(config.model_dump(mode="json", exclude={"seed"}))
    return {path: v for path, v in own.items() if path not in plain or plain[path] != v}


def run(
    config: RunConfig, folder: Path, *, paths: Paths | None = None, command: str | None = None
) -> Summary:
    """Learn a benchmark's tasks one after the other and evaluate all of them after each.

    Running again on the same folder continues after the last finished task.

    Args:
        config: see :func:`resolve`.
        folder: the run folder.
        paths: cache and data directories.
        command: how the run was started, for its summary.

    Raises:
        ValueError: wrong input, or the folder belongs to another configuration.
        FileNotFoundError: a data set is not where it should be.
        OSError: the folder cannot be written.
    """
    benchmark = load_benchmark(config.benchmark)
    entries = benchmark.datasets(config.tasks)
    protocol = Protocol(benchmark.label_space, benchmark.task_id, config.evaluation.batch_size)
    if protocol.task_id == "hidden" and method_class(config.method).needs_task_id:
        raise ValueError(
            f"{config.method} must be given the task of every test image, which {benchmark.name} "
            "hides; choose another method or benchmark."
        )
    run_folder = RunFolder(folder)
    distributed.initialise()
    with run_folder.writing():
        run_folder.write_config(config)
        matrix = run_folder.read_matrix()
        if matrix is not None:
            check_same_benchmark(matrix, config, folder)
        if run_folder.done:
            return run_folder.read_summary()
        learner = _open_learner(run_folder, config, paths)
        matrix = _learned_rows(matrix, learner, entries, folder)
        tasks = _prepare(benchmark, entries, config, learner, run_folder)
        features = config.evaluation.embedding_images
        if matrix is None:
            zero_shot = measure(learner, tasks, protocol, run_folder, features=features)
            matrix = _empty_matrix(benchmark, entries, config, tasks, zero_shot)
            run_folder.write_matrix(matrix)
        for position in range(len(matrix.accuracy), len(tasks)):
            report("tasks", position, len(tasks))
            if position == len(learner.memory):
                learner.learn(tasks[position], folder=run_folder)
                learner.save(folder)
            row = measure(learner, tasks, protocol, run_folder, features=features)
            matrix = matrix.with_row(row)
            run_folder.write_matrix(matrix)
        report("tasks", len(tasks), len(tasks))
        summary = summarize(matrix, config, run_folder, learner.storage, command)
        run_folder.write_summary(summary)
        run_folder.finish()
    return summary


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
        write_json(place / "eval.json", {"after": after, "accuracy": accuracy})
    if features:
        found = sample_features(learner.predictor(), learner.model, tasks, features, protocol)
        if distributed.is_main():
            with replacing_file(place / "features.safetensors") as file:
                file.write(safetensors.numpy.save(found))
    return row


@dataclass(frozen=True)
class Learned:
    """A task that a learner has just learned.

    Attributes:
        task: its name.
        before: accuracy in percent among its own classes before it was learned.
        after: the same afterwards.
        on_test_images: whether the accuracy is that on test images; else on the training images.
        tasks: the names of all tasks learned so far.
    """

    task: str
    before: float
    after: float
    on_test_images: bool
    tasks: tuple[str, ...]


def learn(
    folder: Path,
    task: Task,
    settings: Mapping[str, object] | None = None,
    *,
    paths: Paths | None = None,
) -> Learned:
    """Let the learner in a folder learn one more task.

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
    config = _learner_config(run_folder, settings or {})
    distributed.initialise()
    with run_folder.writing():
        if run_folder.has_learner:
            _refuse_damage(run_folder)
        run_folder.write_config(config)
        learner = _open_learner(run_folder, config, paths)
        learner.check()
        learner.refuse_twice(task)
        used = [images for images in (task.train, task.evaluation) if images is not None]
        check_images(*used, paths=learner.paths)
        (before,) = learner.evaluate(task)
        learner.learn(task, folder=run_folder)
        learner.save(folder)
        (after,) = measure(learner, [task], Protocol(), run_folder)
    names = tuple(labels.name for labels in learner.memory)
    return Learned(task.name, before, after, task.test is not None, names)


def evaluate(
    folder: Path,
    tasks: Sequence[Task],
    benchmark: str | None = None,
    *,
    paths: Paths | None = None,
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
        listed = _tasks_of_run(entry, RunFolder(folder), learner.paths)
    every = [*tasks, *listed]
    if not every:
        raise ValueError("nothing to measure: give --task FOLDER or --benchmark NAME.")
    names = [task.name for task in every]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"several tasks are called {', '.join(repeated)}; measure them one by one, or rename "
            "their folders."
        )
    used = [images for task in every if (images := task.evaluation) is not None]
    check_images(*used, paths=learner.paths)
    row = learner.evaluate(tasks) + learner.evaluate(listed, protocol)
    return _by_name(every, row)


def synthesize(
    out: Path,
    classnames: Sequence[str],
    settings: Mapping[str, object] | None = None,
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


def _learner_config(run_folder: RunFolder, settings: Mapping[str, object]) -> LearnerConfig:
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


def _refuse_damage(run_folder: RunFolder) -> None:
    """Refuse to train a damaged learner: resuming from the one before would lose a task."""
    problem = damage(run_folder.learner)
    if problem is not None:
        previous = run_folder.previous_learner
        hint = f"; {previous} is the learner of one task before" if previous.exists() else ""
        raise ValueError(
            f"{run_folder.learner}: {problem}{hint}. Put a whole folder in its place, and learn "
            "the tasks again that it has not learned."
        )


def _open_learner(run_folder: RunFolder, config: LearnerConfig, paths: Paths | None) -> Learner:
    """The folder's learner, or a new one, with the reference data set that it needs."""
    learner = (
        Learner.load(run_folder.path, paths=paths, config=config)
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


def _learned_rows(
    matrix: AccuracyMatrix | None, learner: Learner, entries: Sequence[DatasetEntry], folder: Path
) -> AccuracyMatrix | None:
    """The matrix as far as the learner in a folder has learned its tasks.

    Where the last learner was damaged and the one before continues, its task is learned again.

    Raises:
        ValueError: the learner has learned other tasks than the matrix says.
    """
    learned = [labels.name for labels in learner.memory]
    if matrix is not None and 0 < len(learned) == len(matrix.accuracy) - 1:
        matrix = replace(matrix, accuracy=matrix.accuracy[: len(learned)])
    measured = len(matrix.accuracy) if matrix else 0
    begins = [entry.name for entry in entries[: len(learned)]]
    # Without a matrix, the model before the first task is still to be measured.
    fits = {measured, measured + 1} if matrix else {0}
    if learned != begins or len(learned) not in fits:
        raise ValueError(
            f"the learner in {folder} has learned {', '.join(learned) or 'nothing'}, but "
            f"{measured} tasks are measured there; use another folder."
        )
    return matrix


def _prepare(
    benchmark: BenchmarkEntry,
    entries: Sequence[DatasetEntry],
    config: RunConfig,
    learner: Learner,
    folder: RunFolder,
) -> list[Task]:
    """The tasks with the split to evaluate on, every image of them checked."""
    if len(learner.memory) < len(entries):  # no generator is needed to evaluate
        learner.check()
    started = time.perf_counter()
    chosen = with_revisions(entries, config.hub_revisions)
    with distributed.main_first():  # what can be generated is generated once
        opened = open_tasks(chosen, learner.paths, config.draw)
    if excluded := config.synthesis.exclude:
        check_exclusions(excluded, benchmark, opened, learner.streams.base_classnames)
    how = config.evaluation
    tasks = [measured_split(task, how.split, how.validation_fraction) for task in opened]
    if benchmark.shots is not None:
        tasks = few_shot_tasks(tasks, benchmark.shots, benchmark.shots_seed, folder)
    described = zip(chosen, tasks, strict=True)
    folder.write_data({e.name: asdict(provenance(e, task, learner.paths)) for e, task in described})
    used = [images for task in tasks for images in (task.train, task.test) if images is not None]
    check_images(*used, paths=learner.paths)
    folder.log("prepare", seconds=time.perf_counter() - started)
    return tasks


class _DataSettings(Settings):
    """Which data a run opened; a learner that learned folders has the defaults."""

    draw: int = 0
    hub_revisions: dict[str, str] = Field({})


def _tasks_of_run(benchmark: BenchmarkEntry, folder: RunFolder, paths: Paths) -> list[Task]:
    """A benchmark's tasks on the data that a folder's learner was trained on."""
    config, entries = folder.read_config(_DataSettings), benchmark.datasets()
    known = {entry.whole_name for entry in entries}
    revisions = {k: v for k, v in config.hub_revisions.items() if k in known}
    return open_tasks(with_revisions(entries, revisions), paths, config.draw)


def _empty_matrix(
    benchmark: BenchmarkEntry,
    entries: Sequence[DatasetEntry],
    config: RunConfig,
    tasks: Sequence[Task],
    zero_shot: Sequence[float],
) -> AccuracyMatrix:
    """The matrix of a run that has learned nothing yet."""
    setting = rule_of(benchmark, entries)
    return AccuracyMatrix(
        benchmark.name,
        benchmark.version,
        tuple(task.name for task in tasks),
        tuple(zero_shot),
        setting=setting | {"split": config.evaluation.split, "draw": config.draw},
        images=tuple(len(task.evaluation or ()) for task in tasks),
    )


def _by_name(tasks: Sequence[Task], row: Sequence[float]) -> dict[str, float]:
    """A row without the tasks that were not measured."""
    named = zip([task.name for task in tasks], row, strict=True)
    return {name: accuracy for name, accuracy in named if not math.isnan(accuracy)}


def few_shot_tasks(tasks: Sequence[Task], shots: int, seed: int, folder: RunFolder) -> list[Task]:
    """The tasks with a few training images per class.

    ``tasks/<number>-<name>/train-indices.json`` in the run folder has the positions of the chosen
    images among all training images of the task.

    Raises:
        ValueError: a class with fewer training images.
    """
    found = []
    for number, task in enumerate(tasks, start=1):
        assert task.train is not None, "its tasks are learned"
        indices = few_shot(task.train, shots, seed)
        record = {"shots": shots, "seed": seed, "of": len(task.train), "indices": indices}
        if distributed.is_main():
            write_json(folder.task(number, task.name) / "train-indices.json", record)
        found.append(replace(task, train=task.train.select(indices)))
    return found


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
    known = sorted({*benchmark.tasks, *classes, *base_classnames})
    for name in excluded:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
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
    entries = benchmark.datasets(config.tasks)
    names = [entry.name for entry in entries]
    rule = {key: value for key, value in matrix.setting.items() if key not in {"split", "draw"}}
    found = {"benchmark": matrix.benchmark, "version": matrix.version, "tasks": list(matrix.tasks)}
    wanted = {"benchmark": benchmark.name, "version": benchmark.version, "tasks": names}
    if different := differences(found | rule, wanted | rule_of(benchmark, entries)):
        raise ValueError(
            f"{folder} holds a run of another benchmark: {'; '.join(different)}. Use another "
            "folder."
        )


def summarize(
    matrix: AccuracyMatrix,
    config: RunConfig,
    folder: RunFolder,
    storage: Storage,
    command: str | None,
) -> Summary:
    """The summary of a complete run; every metric is computed from the matrix."""

    def rounded(value: float | None) -> float | None:
        return None if value is None else round(float(value), 4)

    measured = metrics.summarize(matrix.accuracy, images=matrix.images)
    zero_shot = {"mean": fmean(matrix.zero_shot)} | dict(
        zip(matrix.tasks, matrix.zero_shot, strict=True)
    )
    skipped = {(event.task, event.step) for event in folder.events() if event.left_out}
    return Summary(
        method=config.method,
        benchmark=matrix.benchmark,
        version=matrix.version,
        seed=config.seed,
        setting=matrix.setting,
        transfer=rounded(measured.transfer),
        avg=round(measured.avg, 4),
        last=round(measured.last, 4),
        forgetting=rounded(measured.forgetting),
        backward_transfer=rounded(measured.backward_transfer),
        zero_shot={name: round(value, 4) for name, value in zero_shot.items()},
        seconds=folder.seconds(),
        storage=storage,
        steps_left_out=len(skipped),  # one that a resumed run took again counts once
        peak_memory_mb=peak_memory_mb(),
        command=command,
        changes=changes(config),
    )
