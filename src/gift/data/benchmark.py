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
        random_split: {train: 0.8, seed: 42}         # where the folder has no test part
    shots: 16                                        # images per class, all by default

A class-incremental benchmark deals the classes of one data set out over steps, which then are
ordinary tasks (``skin-01``, ``skin-02``, ...)::

    name: skin-by-and-by
    class_incremental: {dataset: skin, order: [2, 0, 1], initial: 1, increment: 1}
    label_space: seen
    task_id: hidden
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from gift.config import Settings, read_yaml, validate
from gift.data.entries import NAME, DatasetEntry, Subset
from gift.data.lists import is_path, shipped, shipped_names


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
    called_by: Literal["classnames", "labels"] = Field(
        "classnames",
        description="what a class is called: its class name, or the data set's own label string",
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
        changes: dict[str, Any] = {"templates": self.templates or entry.templates}
        if self.called_by == "labels":
            changes["classnames"] = self._labels(entry)
        return tuple(
            entry.model_copy(
                update={
                    "name": f"{entry.name}-{number:0{digits}d}",
                    "subset": Subset(of=entry.name, labels=labels),
                    **changes,
                }
            )
            for number, labels in enumerate(parts, start=1)
        )

    def _labels(self, entry: DatasetEntry) -> tuple[str, ...]:
        if (own := entry.own_labels) is None:
            raise ValueError(
                f"class_incremental: called_by = labels needs the 'labels' of {entry.name}; give "
                "them, or set called_by = classnames."
            )
        return own

    def _order(self, entry: DatasetEntry) -> tuple[int, ...]:
        names = entry.listed_names
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

    name: str = Field(pattern=NAME, description="unique name")
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
    shots: int | None = Field(
        None, ge=1, description="training images per class that are learned from; all by default"
    )
    shots_seed: int = Field(42, ge=0, description="seed of their choice")
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
    return shipped_names("benchmarks", ".yaml")


def dataset_names() -> list[str]:
    """The shipped data sets."""
    return shipped_names("datasets", ".yaml")


def load_benchmark(name_or_path: str) -> BenchmarkEntry:
    """Read a shipped benchmark by name, or a user's by the path of its YAML file.

    Raises:
        ValueError: unknown name (with the nearest), no such file, or a wrong entry.
    """
    if not is_path(name_or_path, ".yaml", ".yml"):
        path = shipped("benchmark", name_or_path, "benchmarks", ".yaml")
        return _with_steps(validate(BenchmarkEntry, read_yaml(path), where=name_or_path))
    path = Path(name_or_path)
    values, own = _own_datasets(path, read_yaml(path))
    benchmark = validate(BenchmarkEntry, values | {"own_datasets": own}, where=str(path))
    if repeated := sorted({name for name in benchmark.tasks if benchmark.tasks.count(name) > 1}):
        raise ValueError(f"{path}: a task may stand once only: {', '.join(repeated)}.")
    if is_path(benchmark.base_classnames, ".txt"):
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
    path = shipped("data set", name, "datasets", ".yaml")
    return validate(DatasetEntry, read_yaml(path), where=name)


def _relative_to(folder: Path, entry: DatasetEntry) -> DatasetEntry:
    """The entry of a user's file with paths that hold from anywhere."""
    changes: dict[str, Any] = {}
    if entry.source is not None:
        path = str((folder / entry.source.path).resolve())
        changes["source"] = entry.source.model_copy(update={"path": path})
    for key, words in (("classnames", entry.classnames), ("labels", entry.labels)):
        if isinstance(words, str) and is_path(words, ".txt"):
            changes[key] = str(folder / words)
    return entry.model_copy(update=changes)
