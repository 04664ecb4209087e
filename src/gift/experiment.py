"""Names in a configuration become objects; the only file that knows every room."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
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
from gift.learner import Learner
from gift.micro.images import make_dataset
from gift.records import AccuracyMatrix, LabelSpace, Progress, silent
from gift.runs import RunFolder, differences
from gift.synthesis import DiffusersGenerator, ImageStore, SyntheticSet
from gift.train import accelerator

MAKERS: Mapping[str, Callable[..., object]] = {"micro": make_dataset}
"""Who can make a data set's folder where it is not there, by the entry's ``made_by``."""

DEMO_METHODS = ("finetune", "gift")
DEMO_TASKS = ("micro-aircraft", "micro-dtd", "micro-flowers", "micro-mnist", "micro-stanfordcars")


def resolve(benchmark: str, method: str, *overrides: Mapping[str, Any]) -> RunConfig:
    """The configuration of a run: the paper's defaults, the benchmark's recipe, the overrides.

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
    values = merge(own, recipe, *overrides)
    return validate(RunConfig, values)


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
    if run_folder.done:
        run_folder.write_config(config.model_dump(mode="json"))
        return run_folder.read_summary()
    benchmark = load_benchmark(config.benchmark)
    entries = chosen_tasks(benchmark, config.tasks)
    run_folder.create()
    run_folder.write_config(config.model_dump(mode="json"))
    tasks = [
        _with_split(task, config.evaluation.split)
        for task in open_tasks(entries, data_root or home / "data", progress=progress)
    ]
    used = [part for task in tasks for part in (task.train, task.evaluation) if part is not None]
    check_images(*used, cache=home / "checked", progress=progress)
    learner = _start_or_resume(config, run_folder, home)
    learned = [labels.name for labels in learner.memory]
    if learned != [task.name for task in tasks[: len(learned)]]:
        raise ValueError(
            f"the learner in {folder} has learned {', '.join(learned)}, which is not how "
            f"{benchmark.name} begins; use another folder."
        )
    run_folder.write_environment(str(learner.model.device))
    matrix = run_folder.read_matrix()
    if matrix is None:
        matrix = AccuracyMatrix(
            benchmark.name,
            benchmark.version,
            tuple(task.name for task in tasks),
            tuple(_evaluate(learner, tasks, "zero-shot", run_folder, progress)),
            setting={
                "label_space": benchmark.label_space,
                "task_id": benchmark.task_id,
                "split": config.evaluation.split,
            },
        )
        run_folder.write_matrix(matrix)
    done = len(matrix.accuracy)
    for position, task in enumerate(tasks[done:], start=done):
        progress("tasks", position, len(tasks))
        if len(learner.memory) == position:
            learner.learn(task, folder=run_folder, progress=progress)
            learner.save(folder)
        row = _evaluate(learner, tasks, task.name, run_folder, progress)
        matrix = matrix.with_row(row)
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
    accuracy = matrix.accuracy
    return {
        "method": config.method,
        "benchmark": matrix.benchmark,
        "version": matrix.version,
        "seed": config.seed,
        "transfer": _rounded(metrics.transfer(accuracy)),
        "avg": _rounded(metrics.average(accuracy)),
        "last": _rounded(metrics.last(accuracy)),
        "forgetting": _rounded(metrics.forgetting(accuracy)),
        "backward_transfer": _rounded(metrics.backward_transfer(accuracy)),
        "zero_shot": {
            "mean": _rounded(sum(matrix.zero_shot) / len(matrix.zero_shot)),
            **dict(zip(matrix.tasks, map(_rounded, matrix.zero_shot), strict=True)),
        },
        "seconds": folder.seconds(),
        "peak_memory_mb": _peak_memory_mb(),
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

        config = resolve("micro-1", method, {"tasks": DEMO_TASKS, "seed": seed})
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
    run_folder.create()
    if run_folder.has_learner:
        learner = Learner.load(folder, home=home)
        known = learner.config.model_dump(mode="json")
        wanted = validate(LearnerConfig, merge(known, settings or {})).model_dump(mode="json")
        if different := differences(known, wanted):
            raise ValueError(
                f"the learner in {folder} has other settings: {'; '.join(different)}. Leave them "
                "out to go on, or start another learner in another folder."
            )
    else:
        learner = Learner(validate(LearnerConfig, settings or {}), home=home)
        run_folder.write_config(learner.config.model_dump(mode="json"))
    used = [part for part in (task.train, task.evaluation) if part is not None]
    check_images(*used, cache=learner.home / "checked", progress=progress)
    run_folder.write_environment(str(learner.model.device))
    before = _evaluate(learner, [task], "before", run_folder, progress)
    learner.learn(task, folder=run_folder, progress=progress)
    learner.save(folder)
    after = _evaluate(learner, [task], task.name, run_folder, progress)
    return {
        "folder": str(folder),
        "accuracy": {f"{task.name}, before": before[0], f"{task.name}, after": after[0]},
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


def _start_or_resume(config: RunConfig, folder: RunFolder, home: Path) -> Learner:
    return (
        Learner.load(folder.path, home=home) if folder.has_learner else Learner(config, home=home)
    )


def _with_split(task: Task, split: str) -> Task:
    """The task with the part that is asked for in the place of its test part."""
    if split == "test":
        return task
    if task.validation is None:
        raise ValueError(f"task {task.name!r} has no validation images; evaluate on 'test'.")
    return replace(task, test=task.validation)


def _evaluate(
    learner: Learner, tasks: Sequence[Task], after: str, folder: RunFolder, progress: Progress
) -> list[float]:
    started = time.perf_counter()
    row = learner.evaluate(tasks, progress=progress)
    folder.log(
        "evaluate",
        task=after,
        accuracy=dict(zip([task.name for task in tasks], row, strict=True)),
        seconds=time.perf_counter() - started,
    )
    return row


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


def _peak_memory_mb() -> float:
    """The process's largest resident size so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 if sys.platform != "darwin" else 1024**2), 1)
