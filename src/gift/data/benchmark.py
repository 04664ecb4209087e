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
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from gift.config import Settings, read_yaml, unknown, validate
from gift.data.folder import class_name, scan
from gift.data.images import ImageFiles
from gift.data.task import Task
from gift.records import LabelSpace

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
    counts: Counts = Field(Counts(), description="expected number of images per part")


class BenchmarkEntry(Settings):
    """A sequence of tasks and the rule of their evaluation."""

    name: str = Field(pattern=_NAME, description="unique name")
    version: int = Field(1, ge=1, description="raised when anything changes that moves a number")
    title: str = Field("", description="for people")
    tasks: tuple[str, ...] = Field(min_length=1, description="data sets in the order of learning")
    label_space: Literal["task"] = Field(
        "task", description="class names among which a test image is classified: its task's own"
    )
    task_id: Literal["given"] = Field(
        "given", description="a method is told which task a test image belongs to"
    )
    base_classnames: str = Field("imagenet", description="class list of general names")
    recipe: str | None = Field(None, description="recipe whose settings the benchmark expects")
    own_datasets: tuple[DatasetEntry, ...] = Field(
        (), description="data sets that the benchmark's own file describes"
    )

    def datasets(self) -> tuple[DatasetEntry, ...]:
        """The tasks' data sets, in order."""
        own = {entry.name: entry for entry in self.own_datasets}
        return tuple(own.get(name) or load_dataset(name) for name in self.tasks)


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
        return validate(BenchmarkEntry, read_yaml(path), where=name_or_path)
    path = Path(name_or_path)
    values, own = read_yaml(path), []
    if isinstance(tasks := values.get("tasks"), list):
        for position, task in enumerate(tasks):
            if isinstance(task, dict):
                entry = validate(DatasetEntry, task, where=f"{path}, task {position + 1}")
                own.append(_relative_to(path.parent, entry))
                tasks[position] = entry.name
    benchmark = validate(BenchmarkEntry, values | {"own_datasets": own}, where=str(path))
    if repeated := sorted({name for name in benchmark.tasks if benchmark.tasks.count(name) > 1}):
        raise ValueError(f"{path}: a task may stand once only: {', '.join(repeated)}.")
    if _is_path(benchmark.base_classnames, ".txt"):
        base = str(path.parent / benchmark.base_classnames)
        benchmark = benchmark.model_copy(update={"base_classnames": base})
    benchmark.datasets()  # an unknown name is refused now
    return benchmark


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


def open_task(entry: DatasetEntry, data_root: Path) -> Task:
    """Open a data set's images below ``data_root``.

    Raises:
        FileNotFoundError: the folder is missing; tells where it was looked for and what to do.
        ValueError: class folders or numbers of images other than the entry says.
    """
    path = data_root / entry.source.path
    if not path.is_dir():
        cure = (
            "a run of a benchmark makes it"
            if entry.made_by
            else "put the data set there, or name the folder that holds it as data root"
        )
        raise FileNotFoundError(f"{entry.name}: no folder {path}; {cure}.")
    scanned = scan(path)
    names, folders = _label_order(entry, scanned.folders, path)
    label_of = [folders.index(folder) for folder in scanned.folders]
    parts = {
        part: ImageFiles(images.files, tuple(label_of[label] for label in images.labels))
        for part, images in scanned.parts.items()
    }
    for part, expected in entry.counts:
        found = len(parts[part]) if part in parts else 0
        if expected is not None and found != expected:
            raise ValueError(
                f"{entry.name}: {expected} {part} images expected in {path}, but {found} found; "
                "complete the data set, or correct 'counts' in its entry."
            )
    labels = LabelSpace(entry.name, names, entry.templates)
    return Task(labels, parts["train"], parts.get("test"), parts.get("validation"))


def _label_order(
    entry: DatasetEntry, found: tuple[str, ...], path: Path
) -> tuple[tuple[str, ...], list[str]]:
    """Class names and their folders, in label order."""
    given = entry.classnames
    if isinstance(given, dict):
        wanted = given
    else:
        by_name = {class_name(folder): folder for folder in found}
        if given is None:
            return tuple(by_name), list(found)
        names = class_list(given) if isinstance(given, str) else given
        LabelSpace(entry.name, names, entry.templates)  # refuses repeated names
        wanted = {by_name.get(class_name(name), name): name for name in names}
    if set(wanted) != set(found):
        missing = ", ".join(sorted(set(wanted) - set(found))) or "none"
        extra = ", ".join(sorted(set(found) - set(wanted))) or "none"
        raise ValueError(
            f"{entry.name}: the class folders in {path} do not fit the class names: missing "
            f"{missing}; unexpected {extra}. Rename the folders, or give 'classnames' as a mapping "
            "folder: class name."
        )
    return tuple(wanted.values()), list(wanted)


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
