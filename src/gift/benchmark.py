"""Names in a configuration become objects; the only file that knows every room."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gift import distributed
from gift.config import LearnerConfig, RunConfig, SynthesisSettings
from gift.data import (
    BenchmarkEntry,
    DatasetEntry,
    ImageSet,
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
from gift.files import as_json, damage, read_json, restore, write_json, write_with_copy
from gift.learner import Learner
from gift.learner_folder import stored_config
from gift.measuring import Measuring, keep, measure, setting_of, summarize
from gift.methods import method_class
from gift.metrics import AccuracyMatrix
from gift.progress import report
from gift.runs import RunFolder, reset_peak_memory
from gift.settings import differences, flat, identity, load_recipe, merge, validate
from gift.streams import open_generator
from gift.synthesis import ImageStore, SyntheticSet
from gift.train import training_device


def resolve(benchmark: str, method: str, *overrides: Mapping[str, Any]) -> RunConfig:
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


def changes(config: RunConfig, recipe: RunConfig | None = None) -> dict[str, Any]:
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
    config: RunConfig,
    folder: Path,
    *,
    home: Path | None = None,
    data_root: Path | None = None,
    command: str | None = None,
) -> dict[str, Any]:
    """Learn a benchmark's tasks one after the other and evaluate all of them after each.

    Running again on the same folder goes on after the last finished task.

    Args:
        config: see :func:`resolve`.
        folder: the run folder.
        home: cache folder; ``$GIFT_HOME`` or the platform's cache folder by default.
        data_root: where the data sets are; ``home/data`` by default.
        command: how the run was started, for its summary.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        ValueError: wrong input, or the folder belongs to another configuration.
        FileNotFoundError: a data set is not where it should be.
        OSError: the folder cannot be written.
    """
    run_folder = RunFolder(folder)
    benchmark = load_benchmark(config.benchmark)
    entries = benchmark.datasets(config.tasks)
    if benchmark.task_id == "hidden" and method_class(config.method).needs_task_id:
        raise ValueError(
            f"{config.method} must be told the task of every test image, which {benchmark.name} "
            "hides; choose another method or benchmark."
        )
    distributed.initialise()
    with run_folder.writing():
        run_folder.write_config(config)
        matrix = run_folder.read_matrix()
        if matrix is not None:
            check_same_benchmark(matrix, config, folder)
        if run_folder.done:
            return run_folder.read_summary()
        learner = (
            Learner.load(folder, home=home, data_root=data_root)
            if run_folder.has_learner
            else Learner(config, home=home, data_root=data_root)
        )
        if matrix is not None and 0 < len(learner.memory) == len(matrix.accuracy) - 1:
            # The last learner is damaged and the one before goes on: its task is learned again.
            matrix = replace(matrix, accuracy=matrix.accuracy[: len(learner.memory)])
        with distributed.main_first():
            make_reference(learner)
        if len(learner.memory) < len(entries):  # the generator is not needed to measure
            learner.check()
        _check_memory(learner, matrix, entries, folder)
        run_folder.write_environment(str(learner.model.device))
        reset_peak_memory()
        tasks = _prepare(benchmark, entries, config, learner, run_folder)
        how = config.evaluation
        measuring = Measuring(
            benchmark, how.batch_size, run_folder, embedding_images=how.embedding_images
        )
        if matrix is None:
            matrix = AccuracyMatrix(
                benchmark.name,
                benchmark.version,
                tuple(task.name for task in tasks),
                measuring.zero_shot(learner, tasks),
                setting=setting_of(benchmark, entries, config),
                images=tuple(len(task.evaluation or ()) for task in tasks),
            )
            run_folder.write_matrix(matrix)
        done = len(matrix.accuracy)
        for position, task in enumerate(tasks[done:], start=done):
            report("tasks", position, len(tasks))
            if len(learner.memory) == position:
                learner.learn(task, folder=run_folder)
                learner.save(folder)
            matrix = matrix.with_row(measuring.row(learner, tasks))
            run_folder.write_matrix(matrix)
        report("tasks", len(tasks), len(tasks))
        summary = summarize(matrix, config, run_folder, command, learner.storage)
        summary["changes"] = changes(config)
        run_folder.write_summary(summary)
        run_folder.finish()
    return summary


def learn(
    folder: Path,
    task: Task,
    settings: Mapping[str, Any] | None = None,
    *,
    home: Path | None = None,
    data_root: Path | None = None,
) -> dict[str, Any]:
    """Teach the learner in a folder one more task; the first time, ``settings`` start it.

    ``data_root`` is where a method's reference data set lies, ``home/data`` by default.

    Returns:
        The accuracy on the task before and after, and the tasks learned so far.

    Raises:
        ValueError: wrong input, or settings that differ from those of an existing learner.
        OSError: the folder cannot be written.
    """
    run_folder = RunFolder(folder)
    if not run_folder.has_learner:
        validate(LearnerConfig, settings or {})
    if run_folder.read_matrix() is not None:
        raise ValueError(
            f"{folder} holds the run of a benchmark; to teach its learner more, copy "
            f"{folder}/config.yaml and {folder}/learner into a new folder and name that."
        )
    distributed.initialise()
    with run_folder.writing():
        learner = _open_learner(run_folder, settings or {}, home, data_root)
        make_reference(learner)
        learner.check()
        learner.refuse_twice(task)
        used = [part for part in (task.train, task.evaluation) if part is not None]
        check_images(*used, paths=Paths(learner.home, learner.data_root))
        run_folder.write_environment(str(learner.model.device))
        (before,) = learner.evaluate(task)
        learner.learn(task, folder=run_folder)
        learner.save(folder)
        started = time.perf_counter()
        (after,) = learner.evaluate(task)
        keep(run_folder, learner, {task.name: after}, started)
    return {
        "folder": str(folder),
        "accuracy": {f"{task.name}, before": before, f"{task.name}, after": after},
        "measured_on": "test images" if task.test is not None else "training images",
        "tasks": [labels.name for labels in learner.memory],
    }


def evaluate(
    folder: Path,
    tasks: Sequence[Task],
    benchmark: str | None = None,
    *,
    home: Path | None = None,
    data_root: Path | None = None,
) -> dict[str, float]:
    """Accuracy in percent of the learner in a folder, by task name.

    The tasks are measured among their own classes, those of the benchmark by its own rule; where
    that is the classes seen so far, its tasks that the learner has not learned are left out.

    Raises:
        ValueError: nothing to measure, or no learner in the folder.
    """
    learner = Learner.load(folder, home=home, data_root=data_root)
    rule = load_benchmark(benchmark) if benchmark is not None else None
    entries = rule.datasets() if rule else ()
    learned = {labels.name for labels in learner.memory}
    if rule and rule.label_space == "seen" and not learned & set(rule.tasks):
        raise ValueError(
            f"the learner in {folder} has learned no task of {rule.name}, which is measured among "
            "the classes seen so far; run the benchmark first."
        )
    config = RunFolder(folder).read_config()
    known = {entry.whole_name for entry in entries}
    revisions = {k: v for k, v in config.get("hub_revisions", {}).items() if k in known}
    chosen = with_revisions(entries, revisions)
    paths = Paths(learner.home, learner.data_root)
    listed = open_tasks(chosen, paths, config.get("draw", 0))
    every = [*tasks, *listed]
    if not every:
        raise ValueError("nothing to measure: give --task FOLDER or --benchmark NAME.")
    names = [task.name for task in every]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"several tasks are called {', '.join(repeated)}; measure them one by one, or rename "
            "their folders."
        )
    used = [part for task in every if (part := task.evaluation) is not None]
    check_images(*used, paths=Paths(learner.home, learner.data_root))
    row = learner.evaluate(tasks)
    found = dict(zip([task.name for task in tasks], row, strict=True))
    return found | (measure(learner, listed, rule) if rule else {})


def synthesize(
    out: Path,
    classnames: Sequence[str],
    settings: Mapping[str, Any] | None = None,
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


def _open_learner(
    run_folder: RunFolder, settings: Mapping[str, Any], home: Path | None, data_root: Path | None
) -> Learner:
    """The learner of a folder, which further settings may not contradict, or a new one."""
    if not run_folder.has_learner:
        config = validate(LearnerConfig, settings)
        learner = Learner(config, home=home, data_root=data_root)
        run_folder.write_config(learner.config)
        return learner
    stored = stored_config(run_folder)
    wanted = validate(LearnerConfig, merge(stored.model_dump(mode="json"), settings))
    if different := differences(identity(stored), identity(wanted)):
        raise ValueError(
            f"the learner in {run_folder.path} has other settings: {'; '.join(different)}. Leave "
            "them out to go on, or start another learner in another folder."
        )
    _refuse_damage(run_folder)
    run_folder.write_config(wanted)
    return Learner.load(run_folder.path, home=home, data_root=data_root)


def _refuse_damage(run_folder: RunFolder) -> None:
    """Refuse to teach a damaged learner: going on from the one before would lose a task."""
    problem = damage(run_folder.learner)
    if problem is not None:
        previous = run_folder.previous_learner
        cure = f"; {previous} is the learner of one task before" if previous.exists() else ""
        raise ValueError(
            f"{run_folder.learner}: {problem}{cure}. Put a whole folder in its place, and learn "
            "the tasks again that it has not learned."
        )


def _check_memory(
    learner: Learner,
    matrix: AccuracyMatrix | None,
    entries: Sequence[DatasetEntry],
    folder: Path,
) -> None:
    """Refuse to go on with a learner that has not learned what the matrix says."""
    learned = [labels.name for labels in learner.memory]
    measured = len(matrix.accuracy) if matrix else 0
    begins = [entry.name for entry in entries[: len(learned)]]
    # Without a matrix, the model before the first task is still to be measured.
    fits = {measured, measured + 1} if matrix else {0}
    if learned != begins or len(learned) not in fits:
        raise ValueError(
            f"the learner in {folder} has learned {', '.join(learned) or 'nothing'}, but "
            f"{measured} tasks are measured there; use another folder."
        )


def _prepare(
    benchmark: BenchmarkEntry,
    entries: Sequence[DatasetEntry],
    config: RunConfig,
    learner: Learner,
    folder: RunFolder,
) -> list[Task]:
    """The tasks with the part to evaluate on, every image of them checked."""
    started = time.perf_counter()
    paths = Paths(learner.home, learner.data_root)
    chosen = with_revisions(entries, config.hub_revisions)
    with distributed.main_first():  # what can be made is made once
        opened = open_tasks(chosen, paths, config.draw)
    if excluded := config.synthesis.exclude:
        check_exclusions(excluded, benchmark, opened, learner.base_classnames)
    how = config.evaluation
    tasks = [measured_split(task, how.split, how.validation_fraction) for task in opened]
    if benchmark.shots is not None:
        tasks = few_shot_tasks(tasks, benchmark.shots, benchmark.shots_seed, folder)
    keep_provenance(chosen, tasks, paths, folder)
    used = [part for task in tasks for part in (task.train, task.test) if part is not None]
    check_images(*used, paths=Paths(learner.home, learner.data_root))
    folder.log("prepare", seconds=time.perf_counter() - started)
    return tasks


def make_reference(learner: Learner) -> None:
    """Generate or look for the data set of real images that the learner's method needs, if any.

    Raises:
        FileNotFoundError: it is not there and cannot be generated.
    """
    source = learner.config.reference.source
    if learner.needs_reference and source in dataset_names():
        open_tasks([load_dataset(source)], Paths(learner.home, learner.data_root))


def few_shot_tasks(tasks: Sequence[Task], shots: int, seed: int, folder: RunFolder) -> list[Task]:
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
        _few_shot_task(task, shots, seed, folder.task(number, task.name))
        for number, task in enumerate(tasks, start=1)
    ]


def _few_shot_task(task: Task, shots: int, seed: int, folder: Path) -> Task:
    assert isinstance(task.train, ImageSet), "images of a data set can be selected"
    try:
        indices = few_shot(task.train, shots, seed)
    except ValueError as error:
        raise ValueError(f"{task.name}: {error}") from None
    chosen = {"shots": shots, "seed": seed, "of": len(task.train), "indices": indices}
    if distributed.is_main():
        write_json(folder / "train-indices.json", chosen)
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


def keep_provenance(
    entries: Sequence[DatasetEntry], tasks: Sequence[Task], paths: Paths, folder: RunFolder
) -> None:
    """Write what the tasks are made of to ``data.json``, or compare it with what is there.

    Another place of the same images is no difference. Before anything is learned or measured, the
    file is written anew.

    Raises:
        ValueError: something was learned or measured there on other images or class names; tells
            what differs.
    """
    found = {
        entry.name: provenance(entry, task, paths)
        for entry, task in zip(entries, tasks, strict=True)
    }
    path = folder.path / "data.json"
    begun = folder.has_learner or folder.read_matrix() is not None
    if begun and path.exists():
        if distributed.is_main():
            restore(path)
        distributed.barrier()
        known = {name: kept | {"place": None} for name, kept in read_json(path).items()}
        now = {name: own | {"place": None} for name, own in found.items()}
        if different := differences(known, now):
            raise ValueError(
                f"{folder.path} was begun on other data: {'; '.join(different)}. Bring the data "
                "back as they were, or use another folder."
            )
        return
    if distributed.is_main():
        write_with_copy(path, as_json(found))


def check_same_benchmark(matrix: AccuracyMatrix, config: RunConfig, folder: Path) -> None:
    """Refuse a matrix that was measured on something else than a configuration asks for.

    Raises:
        ValueError: another benchmark, version, tasks or rule of evaluation.
    """
    benchmark = load_benchmark(config.benchmark)
    entries = benchmark.datasets(config.tasks)
    rule = {key: matrix.setting.get(key) for key in _RULE}
    now = {key: rule_of(benchmark, entries).get(key) for key in _RULE}
    found = _described(matrix.benchmark, matrix.version, matrix.tasks, rule)
    names = [entry.name for entry in entries]
    wanted = _described(benchmark.name, benchmark.version, names, now)
    if found != wanted:
        raise ValueError(
            f"{folder} holds a run of {found}; the benchmark now is {wanted}. Use another folder."
        )


_RULE = ("label_space", "task_id", "metric", "counts")


def _described(name: str, version: int, tasks: Sequence[str], rule: Mapping[str, Any]) -> str:
    """A benchmark in words: all that has to agree for a run to resume."""
    parts = [f"{key} {value}" for key, value in rule.items() if value is not None]
    return f"{name} version {version} with the tasks {', '.join(tasks)} and {', '.join(parts)}"
