"""Data sets and benchmarks: one YAML entry each, shipped with the package or written by the user.

A user's benchmark is one file that may describe its own data sets in place of their names, with
paths relative to the file; ``my.yaml@II`` names one of its orders, ``my.yaml`` the first. A
class-incremental benchmark splits the classes of one data set into steps, which then are ordinary
tasks (``skin-01``, ``skin-02``, ...)::

    name: my-medical-sequence
    tasks:                                           # or a list: of names, and of data sets
      skin: {source: {path: data/skin}, classnames: [melanoma, nevus], metric: mean_per_class}
      dtd:                                           # as shipped
      pets: {dataset: oxfordpet, counts: {train: 500, test: 200}}      # as shipped, but for counts
    orders: {I: [skin, dtd, pets], II: [pets, dtd, skin]}
    # or in place of tasks and orders:
    class_incremental: {dataset: skin, order: [2, 0, 1], initial: 1, increment: 1}
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from gift.data.entries import NAME, DatasetEntry, Subset, Templates
from gift.data.labels import repeated
from gift.data.lists import shipped
from gift.plugins import shipped_files
from gift.settings import Seed, Settings, merge, read_yaml, validate
from gift.text import is_path, shortened, split_order, unknown, user_path

T = TypeVar("T")


class ClassIncremental(Settings):
    """How the classes of one data set arrive step by step."""

    dataset: str = Field(description="the data set")
    order: tuple[int, ...] | None = Field(
        None, description="every label of the data set once, as they arrive; by default by number"
    )
    initial: int = Field(ge=1, description="classes of the first step")
    increment: int = Field(ge=1, description="classes of every further step")
    templates: Templates | None = Field(None, description="prompts; by default the data set's own")
    called_by: Literal["classnames", "labels"] = Field(
        "classnames", description="call a class by its class name, or by the data set's own label"
    )

    def steps(self, entry: DatasetEntry) -> tuple[DatasetEntry, ...]:
        """The data set's classes as one data set per step, named after it and numbered from 1.

        Raises:
            ValueError: an order without every label once, or classes that cannot be split so.
        """
        if entry.listed_names is None:
            raise ValueError(
                f"class_incremental: give {entry.name} its 'classnames', so that its labels are "
                "fixed."
            )
        labels = range(len(entry.listed_names))
        order = tuple(labels) if self.order is None else self.order
        if problem := _not_each_once(order, labels, "has labels that do not exist"):
            raise ValueError(
                f"class_incremental: the order {problem}; {entry.name} has the labels 0 to "
                f"{labels[-1]}, each stands once."
            )
        rest = len(order) - self.initial
        if rest < 0 or rest % self.increment:
            raise ValueError(
                f"class_incremental: {len(order)} classes cannot be split into initial = "
                f"{self.initial} and steps of increment = {self.increment}; choose an initial of "
                f"at most {len(order)} and an increment that divides what remains."
            )
        if self.called_by == "labels" and entry.own_labels is None:
            raise ValueError(
                f"class_incremental: called_by = labels needs the 'labels' of {entry.name}; give "
                "them, or set called_by = classnames."
            )
        starts = [0, *range(self.initial, len(order), self.increment), len(order)]
        steps = [order[start:end] for start, end in pairwise(starts)]
        digits = max(2, len(str(len(steps))))
        names = entry.own_labels if self.called_by == "labels" else entry.classnames
        found = []
        for number, step in enumerate(steps, start=1):
            update = {
                "name": f"{entry.name}-{number:0{digits}d}",
                "subset": Subset(of=entry.whole_name, labels=step),
                "templates": self.templates or entry.templates,
                "classnames": names,
            }
            found.append(entry.model_copy(update=update))
        return tuple(found)


class BenchmarkEntry(Settings):
    """A sequence of tasks and the rule of their evaluation."""

    name: str = Field(pattern=NAME, description="unique name")
    version: int = Field(1, ge=1, description="raised when anything changes that moves a number")
    title: str = Field("", description="for people")
    tasks: tuple[str, ...] = Field((), description="data sets (or steps) in the order of learning")
    class_incremental: ClassIncremental | None = Field(
        None, description="classes of one data set that arrive step by step, in place of 'tasks'"
    )
    orders: dict[Annotated[str, Field(pattern=NAME)], tuple[str, ...]] = Field(
        {}, description="orders of the tasks by name, as in my.yaml@II; by default the first"
    )
    label_space: Literal["task", "seen", "union"] = Field(
        "task",
        description="class names among which a test image is classified: those of its task, of the "
        "tasks learned so far, or of all tasks",
    )
    task_id: Literal["given", "hidden"] = Field(
        "given", description="whether a method is given the task of a test image"
    )
    base_classnames: str = Field("imagenet", description="class list of general names")
    recipe: str | None = Field(None, description="recipe whose settings the benchmark expects")
    shots: int | None = Field(None, ge=1, description="training images per class; default: all")
    shots_seed: Seed = Field(42, description="seed of their choice")
    own_datasets: tuple[DatasetEntry, ...] = Field((), description="described in the same file")

    @model_validator(mode="after")
    def _has_tasks(self) -> Self:
        if bool(self.tasks) == bool(self.class_incremental):
            raise ValueError("give either tasks (at least one) or class_incremental")
        if twice := repeated(self.tasks):
            raise ValueError(f"a task may stand once only: {', '.join(twice)}")
        if self.orders and self.class_incremental:
            raise ValueError("orders go with tasks; class_incremental has an order of its own")
        for name, order in self.orders.items():
            if problem := _not_each_once(order, self.tasks, "has what is no task"):
                raise ValueError(f"orders.{name} {problem}; an order has every task once")
        return self

    def datasets(self, only: Sequence[str] | None = None) -> tuple[DatasetEntry, ...]:
        """The data sets of all tasks, or of those with the names in ``only``, in order.

        Raises:
            ValueError: an unknown task or data set, or classes that cannot be split into steps.
        """
        own = {entry.name: entry for entry in self.own_datasets}

        def find(name: str) -> DatasetEntry:
            return own.get(name) or load_dataset(name)

        steps = self.class_incremental
        entries = steps.steps(find(steps.dataset)) if steps else tuple(map(find, self.tasks))
        if only is None:
            return entries
        names = [entry.name for entry in entries]
        if wrong := [name for name in only if name not in names]:
            raise ValueError(unknown("task", wrong[0], names))
        return tuple(entry for entry in entries if entry.name in only)


def benchmark_names() -> list[str]:
    """The shipped benchmarks."""
    return list(shipped_files("benchmarks", ".yaml"))


def dataset_names() -> list[str]:
    """The shipped data sets."""
    return list(shipped_files("datasets", ".yaml"))


def load_benchmark(reference: str) -> BenchmarkEntry:
    """Read a shipped benchmark by name, or a user's by the path of its YAML file.

    ``@`` and a name after it choose one of its orders, the first by default: ``my.yaml@II``.

    Raises:
        ValueError: unknown name (with the nearest), no such file or order, or a wrong entry.
    """
    name_or_path, order = split_order(reference)
    if is_path(name_or_path, ".yaml", ".yml"):
        benchmark = _read_own(user_path(name_or_path))
    else:
        path = shipped("benchmark", name_or_path, "benchmarks", ".yaml")
        benchmark = validate(BenchmarkEntry, read_yaml(path), where=name_or_path)
    if order is not None or benchmark.orders:
        order = next(iter(benchmark.orders)) if order is None else order
        if order not in benchmark.orders:
            raise ValueError(f"{benchmark.name}: {unknown('order', order, benchmark.orders)}")
        chosen = {"name": f"{benchmark.name}-{order}", "tasks": benchmark.orders[order]}
        benchmark = benchmark.model_copy(update=chosen)
    entries = benchmark.datasets()
    other = [entry for entry in entries if entry.metric != "top1"]
    if other and benchmark.label_space == "seen":
        raise ValueError(
            f"{benchmark.name}: label_space = seen counts the correct images of all classes seen, "
            f"but {other[0].name} has metric = {other[0].metric}; set metric = top1."
        )
    return benchmark.model_copy(update={"tasks": tuple(entry.name for entry in entries)})


def other_orders(reference: str) -> list[str]:
    """A benchmark and those that differ from it in the order of the tasks alone, sorted by name.

    Of a user's file these are its orders, of a shipped benchmark other shipped ones, as ``mtil-2``
    of ``mtil-1``.

    Raises:
        ValueError: see :func:`load_benchmark`.
    """
    benchmark = load_benchmark(reference)
    name_or_path, _ = split_order(reference)
    if is_path(name_or_path, ".yaml", ".yml"):
        orders = _read_own(Path(name_or_path)).orders
        return [f"{name_or_path}@{order}" for order in orders] or [reference]
    return [n for n in benchmark_names() if _unordered(load_benchmark(n)) == _unordered(benchmark)]


def _unordered(benchmark: BenchmarkEntry) -> BenchmarkEntry:
    """The benchmark without what names it, its tasks sorted."""
    same = {"name": "", "version": 1, "title": "", "tasks": tuple(sorted(benchmark.tasks))}
    return benchmark.model_copy(update=same)


def short_name(reference: str) -> str:
    """What folders of a benchmark's results are called.

    >>> short_name("mtil-1"), short_name("mine/my.yaml"), short_name("mine/my.yaml@II")
    ('mtil-1', 'my', 'my-II')
    """
    benchmark, order = split_order(reference)
    stem = Path(benchmark).stem
    return stem if order is None else f"{stem}-{order}"


def rule_of(benchmark: BenchmarkEntry, entries: Iterable[DatasetEntry]) -> dict[str, Any]:
    """What decides how a benchmark's numbers are measured, beside its name and version.

    ``metric`` (by task) and ``counts`` (by data set) are there for another metric than top-1, and
    for other numbers of images than the shipped data set has.
    """
    entries = tuple(entries)
    rule = {
        "label_space": benchmark.label_space,
        "task_id": benchmark.task_id,
        "metric": {entry.name: entry.metric for entry in entries if entry.metric != "top1"},
        "counts": {
            entry.whole_name: entry.counts.model_dump(exclude_none=True)
            for entry in entries
            if entry.dataset is not None and entry.counts != load_dataset(entry.dataset).counts
        },
    }
    return {key: value for key, value in rule.items() if value}


def with_revisions(
    entries: Iterable[DatasetEntry], revisions: Mapping[str, str]
) -> list[DatasetEntry]:
    """Data sets with the chosen commits (by the data set's name) of their hub copies.

    Raises:
        ValueError: a name that is none of theirs, or a data set without a hub copy.
    """
    chosen = list(entries)
    copies = {entry.whole_name for entry in chosen if entry.hub is not None}
    for name in set(revisions) - copies:
        raise ValueError(f"hub_revisions: {unknown('hub copy', name, copies)}")
    for number, entry in enumerate(chosen):
        if entry.hub is not None and (revision := revisions.get(entry.whole_name)):
            hub = entry.hub.model_copy(update={"revision": revision})
            chosen[number] = entry.model_copy(update={"hub": hub})
    return chosen


def _not_each_once(order: Sequence[T], items: Collection[T], unknown_items: str) -> str:
    """Why an order does not hold every item once; empty if it does."""
    for problem, found in (
        (unknown_items, [item for item in order if item not in items]),
        ("repeats", repeated(order)),
        ("lacks", [item for item in items if item not in order]),
    ):
        if found:
            return f"{problem}: {', '.join(map(str, found))}"
    return ""


def _read_own(path: Path) -> BenchmarkEntry:
    """The benchmark of a user's file, with the data sets that the file describes."""
    values = read_yaml(path)
    if "own_datasets" in values:
        raise ValueError(f"{path}: describe own data sets in tasks, in place of their names.")
    own: list[DatasetEntry] = []

    def name_of(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            return value
        own.append(_own_dataset(value, path.parent, f"{path}, {where}"))
        return own[-1].name

    tasks = values.get("tasks")
    if isinstance(tasks, dict):
        for name, value in tasks.items():
            if value is not None and (not isinstance(value, dict) or "name" in value):
                raise ValueError(
                    f"{path}: tasks.{name} must hold the settings of a data set, without 'name' "
                    f"(that is {shortened(name)}), or nothing for the shipped data set of that "
                    "name."
                )
        tasks = [name if value is None else {"name": name} | value for name, value in tasks.items()]
    if isinstance(tasks, list):
        numbered = enumerate(tasks, start=1)
        values["tasks"] = [name_of(task, f"task {number}") for number, task in numbered]
    if isinstance(steps := values.get("class_incremental"), dict) and "dataset" in steps:
        dataset = name_of(steps["dataset"], "class_incremental.dataset")
        values["class_incremental"] = steps | {"dataset": dataset}
    benchmark = validate(BenchmarkEntry, values | {"own_datasets": own}, where=str(path))
    known = {*dataset_names(), *(entry.name for entry in own)}
    if wrong := [name for name in benchmark.tasks if name not in known]:
        raise ValueError(f"{path}: tasks: {unknown('data set', wrong[0], known)}")
    base = _beside(path.parent, benchmark.base_classnames, f"{path}, base_classnames")
    return benchmark.model_copy(update={"base_classnames": base})


def _own_dataset(values: dict[str, Any], folder: Path, where: str) -> DatasetEntry:
    """The data set that a file in a folder describes, maybe as changes of a shipped one."""
    whole = values
    if (dataset := values.get("dataset")) is not None:
        whole = merge(load_dataset(str(dataset)).model_dump(exclude_unset=True), values)
        if isinstance(subset := values.get("subset"), dict):
            whole["subset"] = {"of": dataset} | subset
    entry = validate(DatasetEntry, whole, where=where)
    source = entry.source
    if source is not None and "path" in (values.get("source") or {}):
        path = (folder / user_path(source.path)).resolve()
        source = source.model_copy(update={"path": str(path)})
    lists = {
        key: _beside(folder, getattr(entry, key), f"{where}.{key}")
        for key in ("classnames", "labels")
    }
    return entry.model_copy(update={"source": source, **lists})


def _beside(folder: Path, names: Any, where: str) -> Any:
    """The names of a list, or its path from a folder where it is a text file.

    Raises:
        ValueError: the file does not lie in the folder: a benchmark of somebody else would show
            what this machine keeps.
    """
    if not isinstance(names, str) or not is_path(names, ".txt"):
        return names
    path = (folder / user_path(names)).resolve()
    if not path.is_relative_to(folder.resolve()) or path.suffix != ".txt":
        raise ValueError(
            f"{where} = {names!r} is no .txt file in {folder}; put the list beside the benchmark's "
            "file, or name a list of the package."
        )
    return str(path)


def load_dataset(name: str) -> DatasetEntry:
    """A shipped data set's entry; ValueError for an unknown name or a wrong entry."""
    values = read_yaml(shipped("data set", name, "datasets", ".yaml"))
    return validate(DatasetEntry, values, where=name)
