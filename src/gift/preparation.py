"""Before a run: its data sets made and opened, its images checked, its settings weighed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from gift import distributed
from gift.config import EvaluationSettings, RunConfig
from gift.data import (
    BenchmarkEntry,
    DatasetEntry,
    ImageSet,
    Task,
    check_images,
    dataset_names,
    few_shot,
    is_on_hub,
    load_benchmark,
    load_dataset,
    open_entries,
    pixels,
    provenance,
    rule_of,
)
from gift.files import as_json, read_json, restore, write_json, write_with_copy, writing_to
from gift.learner import Learner
from gift.metrics import AccuracyMatrix
from gift.plugins import maker
from gift.runs import RunFolder
from gift.settings import differences
from gift.text import unknown
from gift.vlm import Preprocess


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


def open_tasks(entries: Sequence[DatasetEntry], data_root: Path, draw: int = 0) -> list[Task]:
    """Open data sets, making those that can be made and are not there.

    Args:
        entries: the data sets.
        data_root: where they are; another draw than 0 has its own folder ``draw-<k>`` in it.
        draw: which draw of data sets that are made.

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
        if will_be_made(entry, data_root):
            assert entry.made_by is not None
            assert entry.source is not None
            target = data_root / entry.source.path
            cure = "free some space there, or name another folder with --data-root"
            with writing_to(target.parent, "the data folder", cure):
                maker(entry.made_by)(entry.whole_name, target, draw)
    return open_entries(entries, data_root)


def make_reference(learner: Learner) -> None:
    """Make or look for the data set of real images that the learner's method needs, if any.

    Raises:
        FileNotFoundError: it is not there and cannot be made.
    """
    source = learner.config.reference.source
    if learner.needs_reference and source in dataset_names():
        open_tasks([load_dataset(source)], learner.data_root)


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
    if distributed.is_main():
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


def keep_provenance(
    entries: Sequence[DatasetEntry], tasks: Sequence[Task], data_root: Path, folder: RunFolder
) -> None:
    """Write what the tasks are made of to ``data.json``, or compare it with what is there.

    Another place of the same images is no difference. Before anything is learned or measured, the
    file is written anew.

    Raises:
        ValueError: something was learned or measured there on other images or words; names what
            differs.
    """
    found = {
        entry.name: provenance(entry, task, data_root)
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


@dataclass(frozen=True)
class Prepared:
    """What was done for a data set.

    Attributes:
        name: of the data set.
        done: what was done, a phrase each.
        images: number of images of its tasks, by part.
        cached: number of test images that are in the pixel cache; None where no model was given.
        problem: why a run could not use it, and what to do; empty when all is well.
    """

    name: str
    done: tuple[str, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)
    cached: int | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ok": not self.problem}


def prepare(
    entries: Sequence[DatasetEntry],
    data_root: Path,
    home: Path,
    preprocess: Preprocess | None = None,
) -> Prepared:
    """Do for a data set what its first run would do: make, open, check and decode.

    Args:
        entries: the tasks that are made of the data set.
        data_root: where the paths of sources begin.
        home: the cache folder.
        preprocess: of the model whose pixel cache is to be filled.

    Returns:
        What was done. Nothing is raised for a data set that is missing, wrong or damaged.
    """
    name, first = entries[0].whole_name, entries[0]
    done: list[str] = []
    makes, downloads = will_be_made(first, data_root), is_on_hub(first, data_root)
    try:
        tasks = open_tasks(entries, data_root)
        done += ["made"] if makes else ["hub copy there"] if downloads else []
        parts = {
            "train": [task.train for task in tasks if task.train is not None],
            "validation": [task.validation for task in tasks if task.validation is not None],
            "test": [task.test for task in tasks if task.test is not None],
        }
        check_images(*chain(*parts.values()), cache=home / "checked")
        done.append("checked")
        cached = None
        if preprocess is not None:
            for images in parts["test"]:
                transform, key = preprocess.test_array, preprocess.key
                pixels(images, transform, key, home / "pixels")
            cached = sum(map(len, parts["test"]))
            done.append("decoded")
    except (OSError, ValueError) as error:
        return Prepared(name, tuple(done), problem=str(error))
    numbers = {part: sum(map(len, found)) for part, found in parts.items() if found}
    return Prepared(name, tuple(done), numbers, cached)


def will_be_made(entry: DatasetEntry, data_root: Path) -> bool:
    """Whether a run would make the data set's folder."""
    missing = entry.source is not None and not (data_root / entry.source.path).exists()
    return entry.made_by is not None and missing


def check_same_benchmark(matrix: AccuracyMatrix, config: RunConfig, folder: Path) -> None:
    """Refuse a matrix that was measured on something else than a configuration asks for.

    Raises:
        ValueError: another benchmark, version, tasks or rule of evaluation.
    """
    benchmark = load_benchmark(config.benchmark)
    entries = chosen_tasks(benchmark, config.tasks)
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
    """A benchmark in words, all that has to agree for a run to go on."""
    parts = [f"{key} {value}" for key, value in rule.items() if value is not None]
    return f"{name} version {version} with the tasks {', '.join(tasks)} and {', '.join(parts)}"
