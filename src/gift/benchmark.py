"""Runs of benchmarks: learn and evaluate over a sequence of tasks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean

from gift import distributed, metrics
from gift.commands.measuring import measure
from gift.commands.opening import open_learner
from gift.commands.planning import (
    Confirm,
    missing_downloads,
    plan_tasks,
    unloaded,
    with_timings,
    worth_timing,
)
from gift.config import RunConfig
from gift.data import (
    BenchmarkEntry,
    DatasetEntry,
    Paths,
    Task,
    check_images,
    few_shot,
    load_benchmark,
    measured_split,
    open_tasks,
    provenance,
    rule_of,
    with_revisions,
)
from gift.data.output import refuse_data
from gift.estimate import Plan
from gift.evaluate import Protocol
from gift.files import write_json
from gift.learner import Learner
from gift.methods import method_class
from gift.metrics import AccuracyMatrix
from gift.progress import report
from gift.runs import RunFolder, Storage, Summary, peak_memory_mb
from gift.settings import Values, differences, flat, load_recipe, merge, validate
from gift.text import did_you_mean, unknown
from gift.tracking import tracked


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
    for layer in overrides:
        _check_rates(layer, entry)
    recipe = load_recipe(entry.recipe, method) if entry.recipe else {}
    own = {
        "benchmark": benchmark,
        "method": method,
        "synthesis": {"base_classnames": entry.base_classnames},
    }
    return validate(RunConfig, merge(own, recipe, *overrides))


def _check_rates(settings: Mapping[str, object], benchmark: BenchmarkEntry) -> None:
    """Refuse the learning rate of a task that the benchmark does not have.

    A recipe may name tasks that only other benchmarks have.

    Raises:
        ValueError: such a name, with the nearest.
    """
    training = settings.get("training")
    rates = training.get("learning_rates") if isinstance(training, Mapping) else None
    for name in rates if isinstance(rates, Mapping) else ():
        if name not in benchmark.tasks:
            raise ValueError(
                f"training.learning_rates: {unknown('task', str(name), benchmark.tasks)}"
            )


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
    config: RunConfig,
    folder: Path,
    *,
    paths: Paths | None = None,
    command: str | None = None,
    confirm: Confirm | None = None,
) -> Summary:
    """Learn a benchmark's tasks one after the other and evaluate all of them after each.

    Running again on the same folder continues after the last finished task.

    Args:
        config: see :func:`resolve`.
        folder: the run folder.
        paths: cache and data directories.
        command: how the run was started, for its summary.
        confirm: see :data:`gift.commands.planning.Confirm`.

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
    refuse_data(folder, "the run folder")
    run_folder = RunFolder(folder)
    distributed.initialise()
    with run_folder.writing(), tracked(run_folder, config):
        run_folder.write_config(config)
        matrix = run_folder.read_matrix()
        if matrix is not None:
            check_same_benchmark(matrix, config, folder)
        if run_folder.done:
            run_folder.check_finished()
            return run_folder.read_summary()
        learner = open_learner(run_folder, config, paths)
        matrix = _learned_rows(matrix, learner, entries, folder)
        tasks = _prepare(benchmark, entries, config, learner, run_folder)
        if left := tasks[len(learner.memory) :]:
            if confirm is not None:
                confirm(worth_timing(_plan(learner, tasks, matrix), learner, left[0]))
            learner.streams.begin(learner.memory)  # it fails before all work, if it does
        features = config.evaluation.embedding_images
        if matrix is None:
            zero_shot = measure(learner, tasks, protocol, run_folder, features=features)
            setting = {"split": config.evaluation.split, "draw": config.draw}
            matrix = AccuracyMatrix(
                benchmark.name,
                benchmark.version,
                tuple(task.name for task in tasks),
                tuple(zero_shot),
                setting=rule_of(benchmark, entries) | setting,
                images=tuple(len(task.evaluation or ()) for task in tasks),
            )
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
    learns = len(learner.memory) < len(entries)
    if learns:  # no generator is needed to evaluate
        learner.check()
    folder.write_inputs(learner.inputs if learns else {}, may_change=False)
    started = time.perf_counter()
    chosen = with_revisions(entries, config.hub_revisions)
    with distributed.main_first():  # what can be generated is generated once
        opened = open_tasks(chosen, learner.paths, config.draw)
    check_templates(config.synthesis.templates, benchmark)
    if excluded := config.synthesis.exclude:
        check_exclusions(excluded, benchmark, opened, learner.streams.base_classnames)
    how = config.evaluation
    tasks = [measured_split(task, how.split, how.validation_fraction) for task in opened]
    learner.check_labels(tasks)
    for number, task in enumerate(tasks[len(learner.memory) :], start=len(learner.memory)):
        learner.check_task(task, after=[earlier.labels for earlier in tasks[:number]])
    if benchmark.shots is not None:
        tasks = few_shot_tasks(tasks, benchmark.shots, benchmark.shots_seed, folder)
    used = [images for task in tasks for images in (task.train, task.test) if images is not None]
    check_images(*used, paths=learner.paths)
    described = zip(chosen, tasks, strict=True)
    folder.write_data({e.name: asdict(provenance(task, learner.paths, e)) for e, task in described})
    folder.log("prepare", seconds=time.perf_counter() - started)
    return tasks


def _plan(learner: Learner, tasks: Sequence[Task], matrix: AccuracyMatrix | None) -> Plan:
    """What is left of a run: rows of the matrix, the one of the zero-shot accuracies included."""
    rows = len(tasks) - len(matrix.accuracy) if matrix else len(tasks) + 1
    left = tasks[len(learner.memory) :]
    return plan_tasks(
        learner, left, classified=rows * sum(len(task.evaluation or ()) for task in tasks)
    )


def preview(config: RunConfig, *, paths: Paths | None = None) -> Plan:
    """What :func:`run` would do in a new folder; nothing is written but data sets made by code.

    A few training steps are timed, and the generation of an image; where the model or the generator
    are still to be downloaded, nothing is.

    Raises:
        ValueError: wrong settings, or data that are not there.
    """
    benchmark = load_benchmark(config.benchmark)
    entries = benchmark.datasets(config.tasks)
    chosen, how = with_revisions(entries, config.hub_revisions), config.evaluation
    tasks = [
        measured_split(task, how.split, how.validation_fraction)
        for task in open_tasks(chosen, paths or Paths.of(), config.draw)
    ]
    if downloads := missing_downloads(config):
        classified = (len(tasks) + 1) * sum(len(task.evaluation or ()) for task in tasks)
        return unloaded(config, tasks, classified, downloads)
    learner = Learner(config, paths=paths)
    learner.check()
    return with_timings(_plan(learner, tasks, None), learner, tasks[0])


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


def check_templates(templates: Iterable[str], benchmark: BenchmarkEntry) -> None:
    """Refuse a template in ``synthesis.templates`` for a task that the benchmark has not.

    Raises:
        ValueError: with the nearest task.
    """
    for name in templates:
        if name not in benchmark.tasks:
            raise ValueError(
                f"synthesis.templates: {name!r} is no task of {benchmark.name}."
                f"{did_you_mean(name, benchmark.tasks)}"
            )


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
            raise ValueError(
                f"synthesis.exclude: {name!r} is no task of {benchmark.name}, no class of its "
                f"tasks and no general class name.{did_you_mean(name, known)}"
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
    measured = metrics.summarize(matrix.accuracy, images=matrix.images)
    zero_shot = zip(matrix.tasks, matrix.zero_shot, strict=True)
    skipped = {(event.task, event.step) for event in folder.events() if event.left_out}
    return Summary(
        method=config.method,
        benchmark=matrix.benchmark,
        version=matrix.version,
        seed=config.seed,
        setting=matrix.setting,
        transfer=measured.transfer,
        avg=measured.avg,
        last=measured.last,
        forgetting=measured.forgetting,
        backward_transfer=measured.backward_transfer,
        zero_shot={"mean": fmean(matrix.zero_shot), **dict(zero_shot)},
        seconds=folder.seconds(),
        storage=storage,
        steps_left_out=len(skipped),  # one that a resumed run took again counts once
        peak_memory_mb=peak_memory_mb(),
        command=command,
        changes=changes(config),
    )
