"""Data sets and benchmarks: one YAML entry each, shipped with the package or written by the user.

A user's benchmark is one file that may describe its own data sets in place of their names::

    name: my-medical-sequence
    tasks:
      - name: skin
        source: {kind: folder, path: data/skin}      # relative to this file
        classnames: [melanoma, benign nevus, basal cell carcinoma]
        templates: ["a dermoscopic image of {}.", "a photo of {}."]
      - name: histology
        source: {path: data/histology}

A class-incremental benchmark deals the classes of one data set out over steps, which then are
ordinary tasks (``skin-01``, ``skin-02``, ...)::

    name: skin-by-and-by
    class_incremental: {dataset: skin, order: [2, 0, 1], initial: 1, increment: 1}
    label_space: seen
    task_id: hidden
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from gift.config import Settings, read_yaml, unknown, validate

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_SHIPPED = Path(str(files("gift.data")))


class Source(Settings):
    """Where the images of a data set are."""

    kind: Literal["folder"] = Field("folder", description="a folder with one folder per class")
    path: str = Field(
        description="relative to the data root, or to the file of a user's benchmark", min_length=1
    )


class Counts(Settings):
    """How many images each part must hold; a part without a number is not checked."""

    train: int | None = Field(None, ge=0, description="training images")
    validation: int | None = Field(None, ge=0, description="validation images")
    test: int | None = Field(None, ge=0, description="test images")


class Subset(Settings):
    """Which classes of a larger data set form this one."""

    of: str = Field(description="name of the larger data set, whose folder and words are used")
    labels: tuple[int, ...] = Field(
        min_length=1, description="labels that its classes have there, in the order wanted here"
    )


class DatasetEntry(Settings):
    """A data set: words, whereabouts and sizes."""

    name: str = Field(pattern=_NAME, description="unique name; becomes the task's name")
    version: int = Field(1, ge=1, description="raised when anything changes that moves a number")
    title: str = Field("", description="for people")
    licence: str = Field("", description="licence of the images")
    classnames: tuple[str, ...] | dict[str, str] | str | None = Field(
        None,
        description="class names in label order, each the name of a folder up to underscores; or "
        "folder -> class name; or a class list; by default what the folders are called",
    )
    templates: tuple[str, ...] = Field(
        ("a photo of a {}.",), description="prompt templates; the first serves training"
    )
    source: Source = Field(description="where the images are")
    made_by: str | None = Field(None, description="what can make the folder, e.g. 'micro'")
    counts: Counts = Field(Counts(), description="expected number of images per part of the folder")
    subset: Subset | None = Field(None, description="take only some classes; all by default")

    @property
    def made_name(self) -> str:
        """The name under which ``made_by`` knows the whole data set."""
        return self.subset.of if self.subset else self.name


class ClassIncremental(Settings):
    """How the classes of one data set arrive step by step."""

    dataset: str = Field(description="the data set")
    order: tuple[int, ...] | None = Field(
        None, description="every label of the data set once, as they arrive; by default by number"
    )
    initial: int = Field(ge=1, description="classes of the first step")
    increment: int = Field(ge=1, description="classes of every further step")
    templates: tuple[str, ...] | None = Field(
        None, description="prompt templates; by default the data set's own"
    )

    def steps(self, entry: DatasetEntry) -> tuple[DatasetEntry, ...]:
        """The data set's parts, one per step, named after it and numbered from 1.

        Raises:
            ValueError: an order that does not hold every label once, or classes that cannot be
                dealt out like this.
        """
        order = self._order(entry)
        rest = len(order) - self.initial
        if rest < 0 or rest % self.increment:
            raise ValueError(
                f"class_incremental: {len(order)} classes cannot be split into initial = "
                f"{self.initial} and steps of increment = {self.increment}; choose an initial of "
                f"at most {len(order)} and an increment that divides what remains."
            )
        starts = [0, *range(self.initial, len(order), self.increment)]
        parts = [order[a:b] for a, b in zip(starts, [*starts[1:], len(order)], strict=True)]
        digits = max(2, len(str(len(parts))))
        return tuple(
            entry.model_copy(
                update={
                    "name": f"{entry.name}-{number:0{digits}d}",
                    "subset": Subset(of=entry.name, labels=labels),
                    "templates": self.templates or entry.templates,
                }
            )
            for number, labels in enumerate(parts, start=1)
        )

    def _order(self, entry: DatasetEntry) -> tuple[int, ...]:
        names = (
            class_list(entry.classnames)
            if isinstance(entry.classnames, str)
            else (entry.classnames)
        )
        if names is None:
            raise ValueError(
                f"class_incremental: give {entry.name} its 'classnames', so that its labels are "
                "fixed."
            )
        order = self.order if self.order is not None else tuple(range(len(names)))
        wrong = sorted(set(order) - set(range(len(names))))
        repeated = sorted({label for label in order if order.count(label) > 1})
        missing = sorted(set(range(len(names))) - set(order))
        for problem, labels in (
            ("has labels that do not exist", wrong),
            ("repeats", repeated),
            ("lacks", missing),
        ):
            if labels:
                raise ValueError(
                    f"class_incremental: the order {problem}: {', '.join(map(str, labels))}; "
                    f"{entry.name} has the labels 0 to {len(names) - 1}, each stands once."
                )
        return order


class BenchmarkEntry(Settings):
    """A sequence of tasks and the rule of their evaluation."""

    name: str = Field(pattern=_NAME, description="unique name")
    version: int = Field(1, ge=1, description="raised when anything changes that moves a number")
    title: str = Field("", description="for people")
    tasks: tuple[str, ...] = Field(
        (),
        description="data sets in the order of learning; a class-incremental benchmark's steps",
    )
    class_incremental: ClassIncremental | None = Field(
        None, description="classes of one data set that arrive step by step, in place of 'tasks'"
    )
    label_space: Literal["task", "seen", "union"] = Field(
        "task",
        description="class names among which a test image is classified: its task's own, those of "
        "all tasks learned so far, or those of all tasks",
    )
    task_id: Literal["given", "hidden"] = Field(
        "given", description="whether a method is told which task a test image belongs to"
    )
    base_classnames: str = Field("imagenet", description="class list of general names")
    recipe: str | None = Field(None, description="recipe whose settings the benchmark expects")
    own_datasets: tuple[DatasetEntry, ...] = Field(
        (), description="data sets that the benchmark's own file describes"
    )

    @model_validator(mode="after")
    def _has_tasks(self) -> Self:
        if bool(self.tasks) == bool(self.class_incremental):
            raise ValueError("give either tasks (at least one) or class_incremental")
        return self

    def datasets(self) -> tuple[DatasetEntry, ...]:
        """The tasks' data sets, in order.

        Raises:
            ValueError: an unknown data set, or classes that cannot be dealt out over steps.
        """
        own = {entry.name: entry for entry in self.own_datasets}

        def find(name: str) -> DatasetEntry:
            return own.get(name) or load_dataset(name)

        if self.class_incremental:
            return self.class_incremental.steps(find(self.class_incremental.dataset))
        return tuple(map(find, self.tasks))


def benchmark_names() -> list[str]:
    """The shipped benchmarks."""
    return _names("benchmarks", ".yaml")


def dataset_names() -> list[str]:
    """The shipped data sets."""
    return _names("datasets", ".yaml")


def load_benchmark(name_or_path: str) -> BenchmarkEntry:
    """Read a shipped benchmark by name, or a user's by the path of its YAML file.

    Raises:
        ValueError: unknown name (with the nearest), no such file, or a wrong entry.
    """
    if not _is_path(name_or_path, ".yaml", ".yml"):
        path = _shipped("benchmark", name_or_path, benchmark_names(), "benchmarks", ".yaml")
        return _with_steps(validate(BenchmarkEntry, read_yaml(path), where=name_or_path))
    path = Path(name_or_path)
    values, own = _own_datasets(path, read_yaml(path))
    benchmark = validate(BenchmarkEntry, values | {"own_datasets": own}, where=str(path))
    if repeated := sorted({name for name in benchmark.tasks if benchmark.tasks.count(name) > 1}):
        raise ValueError(f"{path}: a task may stand once only: {', '.join(repeated)}.")
    if _is_path(benchmark.base_classnames, ".txt"):
        base = str(path.parent / benchmark.base_classnames)
        benchmark = benchmark.model_copy(update={"base_classnames": base})
    return _with_steps(benchmark)


def _with_steps(benchmark: BenchmarkEntry) -> BenchmarkEntry:
    """The benchmark with its steps as tasks; an unknown data set is refused now."""
    names = tuple(entry.name for entry in benchmark.datasets())
    return benchmark.model_copy(update={"tasks": names})


def _own_datasets(path: Path, values: dict[str, Any]) -> tuple[dict[str, Any], list[DatasetEntry]]:
    """The values of a user's file with names in place of its own data sets, and these."""
    own: list[DatasetEntry] = []

    def named(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            return value
        own.append(_relative_to(path.parent, validate(DatasetEntry, value, where=where)))
        return own[-1].name

    changed = dict(values)
    if isinstance(tasks := values.get("tasks"), list):
        changed["tasks"] = [
            named(task, f"{path}, task {number}") for number, task in enumerate(tasks, start=1)
        ]
    if isinstance(steps := values.get("class_incremental"), dict) and "dataset" in steps:
        dataset = named(steps["dataset"], f"{path}, class_incremental.dataset")
        changed["class_incremental"] = steps | {"dataset": dataset}
    return changed, own


def load_dataset(name: str) -> DatasetEntry:
    """Read a shipped data set's entry.

    Raises:
        ValueError: unknown name (with the nearest), or a wrong entry.
    """
    path = _shipped("data set", name, dataset_names(), "datasets", ".yaml")
    return validate(DatasetEntry, read_yaml(path), where=name)


def class_list(name: str) -> tuple[str, ...]:
    """A shipped list of class names, or those of a text file (``.txt``), one per line.

    Names may repeat: the ImageNet list has 1000 entries, 998 of them distinct.

    Raises:
        ValueError: unknown name (with the nearest), no such file, or no names in it.
    """
    if _is_path(name, ".txt"):
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"{name} does not exist; give a text file with one name per line.")
    else:
        path = _shipped("class list", name, _names("classnames", ".txt"), "classnames", ".txt")
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    names = tuple(line for line in lines if line)
    if not names:
        raise ValueError(f"{path} holds no class names; write one per line.")
    return names


def _relative_to(folder: Path, entry: DatasetEntry) -> DatasetEntry:
    """The entry of a user's file with paths that hold from anywhere."""
    changes: dict[str, Any] = {"source": Source(path=str((folder / entry.source.path).resolve()))}
    if isinstance(entry.classnames, str) and _is_path(entry.classnames, ".txt"):
        changes["classnames"] = str(folder / entry.classnames)
    return entry.model_copy(update=changes)


def _names(folder: str, suffix: str) -> list[str]:
    return sorted(path.stem for path in (_SHIPPED / folder).glob(f"*{suffix}"))


def _shipped(kind: str, name: str, known: list[str], folder: str, suffix: str) -> Path:
    if name not in known:
        raise ValueError(unknown(kind, name, known))
    return _SHIPPED / folder / f"{name}{suffix}"


def _is_path(reference: str, *suffixes: str) -> bool:
    return os.sep in reference or reference.endswith(suffixes)
