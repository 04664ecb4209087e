"""Names in a configuration become objects; the only file that knows every room."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from gift import metrics
from gift.config import LearnerConfig, RunConfig, load_recipe, locate, merge, unknown, validate
from gift.data import (
    BenchmarkEntry,
    DatasetEntry,
    Task,
    check_images,
    default_home,
    load_benchmark,
    open_task,
)
from gift.files import write_json
from gift.learner import Learner
from gift.methods import create_method
from gift.micro.images import make_dataset
from gift.records import AccuracyMatrix, LabelSpace, Progress, silent
from gift.runs import RunFolder, differences, peak_memory_mb, reset_peak_memory
from gift.synthesis import DiffusersGenerator, ImageStore, SyntheticSet
from gift.train import accelerator

MAKERS: Mapping[str, Callable[..., object]] = {"micro": make_dataset}
"""Who can make a data set's folder where it is not there, by the entry's ``made_by``."""

DEMO_METHODS = ("finetune", "gift")
DEMO = {
    "tasks": ("micro-aircraft", "micro-dtd", "micro-flowers", "micro-mnist", "micro-stanfordcars"),
    "synthesis": {"images": 200},
}


def resolve(benchmark: str, method: str, *overrides: Mapping[str, Any]) -> RunConfig:
    """The configuration of a run: the paper's defaults, the benchmark's recipe, the overrides.

    Later layers win; nothing but the configuration is looked at.

    Raises:
        ValueError: unknown benchmark, method, recipe or setting.
    """
    entry = load_benchmark(benchmark)
    recipe = load_recipe(entry.recipe, method) if entry.recipe else {}
    own = {
        "benchmark": benchmark,
        "method": method,
        "synthesis": {"base_classnames": entry.base_classnames},
    }
    config = validate(RunConfig, merge(own, recipe, *overrides))
    create_method(config.method, config.method_settings)
    return config


def run(
    config: RunConfig,
    folder: Path,
    *,
    home: Path | None = None,
    data_root: Path | None = None,
    command: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Learn a benchmark's tasks one after the other and evaluate all of them after each.

    Running again on the same folder goes on after the last finished task.

    Args:
        config: see :func:`resolve`.
        folder: the run folder.
        home: cache folder; ``$GIFT_HOME`` or the platform's cache folder by default.
        data_root: where the data sets are; ``home/data`` by default.
        command: how the run was started, for its summary.
        progress: called while data is prepared, images are painted and the model is trained.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        ValueError: wrong input, or the folder belongs to another configuration.
        FileNotFoundError: a data set is not where it should be.
        OSError: the folder cannot be written.
    """
    home = home or default_home()
    run_folder = RunFolder(folder)
    benchmark = load_benchmark(config.benchmark)
    entries = chosen_tasks(benchmark, config.tasks)
    with run_folder.writing():
        run_folder.write_config(config.model_dump(mode="json"))
        matrix = run_folder.read_matrix()
        _check_same_benchmark(matrix, benchmark, [entry.name for entry in entries], folder)
        if run_folder.done:
            return run_folder.read_summary()
        learner = (
            Learner.load(folder, home=home)
            if run_folder.has_learner
            else Learner(config, home=home)
        )
        learner.check()
        _check_memory(learner, matrix, entries, folder)
        run_folder.write_environment(str(learner.model.device))
        reset_peak_memory()
        tasks = _prepare(entries, config, home, data_root or home / "data", run_folder, progress)
        batch_size = config.evaluation.batch_size

        def measure(after: str) -> list[float]:
            return _evaluate(learner, tasks, after, run_folder, progress, batch_size)

        if matrix is None:
            names = tuple(task.name for task in tasks)
            setting = {
                "label_space": benchmark.label_space,
                "task_id": benchmark.task_id,
                "split": config.evaluation.split,
            }
            matrix = AccuracyMatrix(
                benchmark.name, benchmark.version, names, tuple(measure("zero-shot")), (), setting
            )
            run_folder.write_matrix(matrix)
        done = len(matrix.accuracy)
        for position, task in enumerate(tasks[done:], start=done):
            progress("tasks", position, len(tasks))
            if len(learner.memory) == position:
                learner.learn(task, folder=run_folder, progress=progress)
                learner.save(folder)
            matrix = matrix.with_row(measure(task.name))
            run_folder.write_matrix(matrix)
        progress("tasks", len(tasks), len(tasks))
        summary = summarize(matrix, config, run_folder, command)
        run_folder.write_summary(summary)
        run_folder.finish()
    return summary


def summarize(
    matrix: AccuracyMatrix, config: RunConfig, folder: RunFolder, command: str | None
) -> dict[str, Any]:
    """The summary of a complete run; every metric is computed from the matrix."""
    measured = metrics.summarize(matrix.accuracy)
    zero_shot = dict(zip(matrix.tasks, matrix.zero_shot, strict=True))
    return {
        "method": config.method,
        "benchmark": matrix.benchmark,
        "version": matrix.version,
        "seed": config.seed,
        "transfer": _rounded(measured.transfer),
        "avg": _rounded(measured.avg),
        "last": _rounded(measured.last),
        "forgetting": _rounded(measured.forgetting),
        "backward_transfer": _rounded(measured.backward_transfer),
        "zero_shot": {
            "mean": _rounded(fmean(matrix.zero_shot)),
            **{name: _rounded(value) for name, value in zero_shot.items()},
        },
        "seconds": folder.seconds(),
        "peak_memory_mb": peak_memory_mb(),
        "command": command,
    }


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
    entries: Sequence[DatasetEntry], data_root: Path, *, progress: Progress = silent
) -> list[Task]:
    """Open data sets, making those that can be made and are not there."""
    for entry in entries:
        target = data_root / entry.source.path
        if entry.made_by is not None and not target.exists():
            MAKERS[entry.made_by](entry.name, target, progress=progress)
    return [open_task(entry, data_root) for entry in entries]


def demo(
    folder: Path, *, home: Path | None = None, seed: int = 0, progress: Progress = silent
) -> list[dict[str, Any]]:
    """A few tasks of the tiny world, learned with plain fine-tuning and with GIFT.

    Returns:
        The summaries; the runs are in ``folder/<method>``.
    """
    summaries = []
    for number, method in enumerate(DEMO_METHODS):

        def shifted(stage: str, done: int, total: int, number: int = number) -> None:
            if stage == "tasks":
                done, total = done + number * total, total * len(DEMO_METHODS)
            progress(stage, done, total)

        config = resolve("micro-1", method, DEMO, {"seed": seed})
        summaries.append(
            run(config, folder / method, home=home, command="gift demo", progress=shifted)
        )
    return summaries


def learn(
    folder: Path,
    task: Task,
    settings: Mapping[str, Any] | None = None,
    *,
    home: Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Teach the learner in a folder one more task; the first time, ``settings`` start it.

    Returns:
        The accuracy on the task before and after, and the tasks learned so far.

    Raises:
        ValueError: wrong input, or settings that differ from those of an existing learner.
        OSError: the folder cannot be written.
    """
    run_folder = RunFolder(folder)
    if run_folder.read_matrix() is not None:
        raise ValueError(
            f"{folder} holds the run of a benchmark; to teach its learner more, copy "
            f"{folder}/config.yaml and {folder}/learner into a new folder and name that."
        )
    with run_folder.writing():
        learner = _open_learner(run_folder, settings or {}, home)
        learner.check()
        learner.refuse_twice(task)
        used = [part for part in (task.train, task.evaluation) if part is not None]
        check_images(*used, cache=learner.home / "checked", progress=progress)
        run_folder.write_environment(str(learner.model.device))
        (before,) = learner.evaluate(task, progress=progress)
        learner.learn(task, folder=run_folder, progress=progress)
        learner.save(folder)
        (after,) = _evaluate(learner, [task], task.name, run_folder, progress)
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
    progress: Progress = silent,
) -> dict[str, float]:
    """Top-1 accuracy in percent of the learner in a folder, by task name.

    Raises:
        ValueError: nothing to measure, or no learner in the folder.
    """
    learner = Learner.load(folder, home=home)
    tasks = list(tasks)
    if benchmark is not None:
        root = data_root or learner.home / "data"
        tasks += open_tasks(load_benchmark(benchmark).datasets(), root, progress=progress)
    if not tasks:
        raise ValueError("nothing to measure: give --task FOLDER or --benchmark NAME.")
    names = [task.name for task in tasks]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"several tasks are called {', '.join(repeated)}; measure them one by one, or rename "
            "their folders."
        )
    used = [part for task in tasks if (part := task.evaluation) is not None]
    check_images(*used, cache=learner.home / "checked", progress=progress)
    row = learner.evaluate(tasks, progress=progress)
    return dict(zip([task.name for task in tasks], row, strict=True))


def synthesize(
    out: Path,
    classnames: Sequence[str],
    *,
    generator: str,
    count: int,
    template: str = "a photo of a {}.",
    steps: int = 50,
    guidance: float = 7.5,
    scheduler: str = "default",
    batch_size: int = 8,
    seed: int = 42,
    progress: Progress = silent,
) -> SyntheticSet:
    """Paint image-text pairs from class names into a store below ``out``."""
    labels = LabelSpace("classes", tuple(classnames), (template,))
    return ImageStore(out).fetch(
        labels.prompts,
        generator=DiffusersGenerator.from_pretrained(
            locate(generator),
            steps=steps,
            guidance=guidance,
            scheduler=scheduler,
            device=accelerator().device,
            batch_size=batch_size,
        ),
        task_index=1,
        count=count,
        seed=seed,
        progress=progress,
    )


def _open_learner(run_folder: RunFolder, settings: Mapping[str, Any], home: Path | None) -> Learner:
    """The learner of a folder, which further settings may not contradict, or a new one."""
    if not run_folder.has_learner:
        learner = Learner(validate(LearnerConfig, settings), home=home)
        run_folder.write_config(learner.config.model_dump(mode="json"))
        return learner
    learner = Learner.load(run_folder.path, home=home)
    known = learner.config.model_dump(mode="json")
    wanted = validate(LearnerConfig, merge(known, settings)).model_dump(mode="json")
    if different := differences(known, wanted):
        raise ValueError(
            f"the learner in {run_folder.path} has other settings: {'; '.join(different)}. Leave "
            "them out to go on, or start another learner in another folder."
        )
    return learner


def _check_same_benchmark(
    matrix: AccuracyMatrix | None, benchmark: BenchmarkEntry, tasks: Sequence[str], folder: Path
) -> None:
    """Refuse a folder whose matrix was measured on something else."""
    found = matrix and (matrix.benchmark, matrix.version, matrix.tasks)
    wanted = (benchmark.name, benchmark.version, tuple(tasks))
    if found and found != wanted:
        raise ValueError(
            f"{folder} holds a run of {found[0]} version {found[1]} with the tasks "
            f"{', '.join(found[2])}; the benchmark now is {wanted[0]} version {wanted[1]} with "
            f"{', '.join(wanted[2])}. Use another folder."
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
    if learned != begins or len(learned) not in {measured, measured + 1}:
        raise ValueError(
            f"the learner in {folder} has learned {', '.join(learned) or 'nothing'}, but "
            f"{measured} tasks are measured there; use another folder."
        )


def _prepare(
    entries: Sequence[DatasetEntry],
    config: RunConfig,
    home: Path,
    data_root: Path,
    folder: RunFolder,
    progress: Progress,
) -> list[Task]:
    """The tasks with the part to evaluate on, every image of them checked."""
    started = time.perf_counter()
    split = config.evaluation.split
    tasks = [_with_split(task, split) for task in open_tasks(entries, data_root, progress=progress)]
    used = [part for task in tasks for part in (task.train, task.test) if part is not None]
    check_images(*used, cache=home / "checked", progress=progress)
    folder.log("prepare", seconds=time.perf_counter() - started)
    return tasks


def _with_split(task: Task, split: str) -> Task:
    """The task with the part that is asked for in the place of its test part."""
    part = task.test if split == "test" else task.validation
    if part is None:
        raise ValueError(
            f"task {task.name!r} has no {split} images; add a {split} folder beside train, or set "
            "evaluation.split."
        )
    return replace(task, test=part)


def _evaluate(
    learner: Learner,
    tasks: Sequence[Task],
    after: str,
    folder: RunFolder,
    progress: Progress,
    batch_size: int = 256,
) -> list[float]:
    """Measure all tasks and keep the figures beside the task that was just learned."""
    started = time.perf_counter()
    row = learner.evaluate(tasks, batch_size=batch_size, progress=progress)
    accuracy = dict(zip([task.name for task in tasks], row, strict=True))
    seconds = time.perf_counter() - started
    folder.log("evaluate", task=after, accuracy=accuracy, seconds=seconds)
    if learner.memory:
        where = folder.task(len(learner.memory), after) / "eval.json"
        write_json(where, {"after": after, "accuracy": accuracy})
    return row


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
