"""Data sets on disk: what an entry's source holds becomes a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from gift.data import hub
from gift.data.entries import DatasetEntry
from gift.data.images import ImageFiles, ImageSet
from gift.data.labels import LabelSpace
from gift.data.lists import shipped_names
from gift.data.paths import Paths
from gift.data.readers import READERS
from gift.data.readers.reading import Reading
from gift.data.splits import random_split
from gift.data.task import Task
from gift.data.words import expected_labels, fit

Reader = Callable[[str, Path, tuple[str, ...]], Reading]


def open_task(entry: DatasetEntry, paths: Paths) -> Task:
    """Open a data set's files below ``paths.data``, or its hub copy where there are none.

    Raises:
        FileNotFoundError: files are missing; tells where they were looked for and what to do.
        ValueError: labels or numbers of images other than the entry says, or damaged files.
    """
    return as_task(entry, read(entry, paths))


def open_entries(entries: Sequence[DatasetEntry], paths: Paths) -> list[Task]:
    """Open several data sets; files that they share are read once. Raises as open_task."""
    reader = cache(_read_files)
    return [as_task(entry, read(entry, paths, reader)) for entry in entries]


def read(entry: DatasetEntry, paths: Paths, reader: Reader | None = None) -> Reading:
    """What the first of the entry's sources that is there holds, split into parts.

    Args:
        entry: the data set.
        paths: where the paths of sources begin.
        reader: reads files of a kind; one that remembers saves time for entries that share files.

    Raises:
        FileNotFoundError: no source is there, or files of it are missing.
        ValueError: damaged files.
    """
    source = entry.source
    if source is not None and _has_files(entry, paths):
        wanted = expected_labels(entry) or ()
        try:
            found = (reader or _read_files)(source.kind, paths.data / source.path, wanted)
        except (FileNotFoundError, ValueError) as error:
            if source.kind == "folder":  # says what to do by itself
                raise
            kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
            raise kind(f"{entry.name}: {error}. {entry.cure}") from error
        _refuse_shared(entry, found)
        return _split(entry, found)
    if entry.hub is not None and hub.is_there(entry.hub):
        return _split(entry, hub.read(entry.hub, entry))
    raise FileNotFoundError(_nowhere(entry, paths))


def is_on_hub(entry: DatasetEntry, paths: Paths) -> bool:
    """Whether a run would read the chosen commit of a hub copy, for want of files."""
    return (
        not _has_files(entry, paths)
        and entry.hub is not None
        and hub.is_there(entry.hub)
        and not hub.is_local(entry.hub)
    )


def download(entry: DatasetEntry) -> None:
    """Bring the chosen commit of an entry's hub copy to this machine; it shows its own progress.

    Raises:
        ValueError: the copy has no such split or column.
        OSError: it cannot be downloaded.
    """
    assert entry.hub is not None
    hub.read(entry.hub, entry)


def as_task(entry: DatasetEntry, reading: Reading) -> Task:
    """A task of the classes that an entry names, made of what was read.

    Raises:
        ValueError: labels or numbers of images other than the entry says.
    """
    words = fit(entry, reading)
    if problem := count_problem(entry, reading):
        raise ValueError(problem)
    parts = {part: _relabelled(images, words.label_of) for part, images in reading.parts.items()}
    return Task(
        LabelSpace(entry.name, words.classnames, entry.templates),
        parts["train"],
        parts.get("test"),
        parts.get("validation"),
        metric=entry.metric,
        place=reading.place,
    )


def count_problem(entry: DatasetEntry, reading: Reading) -> str:
    """The message about parts with another number of images than expected; empty if all fit."""
    found = {part: len(images) for part, images in reading.parts.items()}
    expected = entry.counts.model_dump(exclude_none=True)
    wrong = [
        f"{count} {part} images expected in {reading.place}, but {found.get(part, 0)} found"
        for part, count in expected.items()
        if found.get(part, 0) != count
    ]
    if not wrong:
        return ""
    there = ", ".join(f"{part}: {found.get(part, 0)}" for part in expected)
    return f"{entry.name}: {'; '.join(wrong)}. {_count_cure(entry, f'counts: {{{there}}}')}"


def _count_cure(entry: DatasetEntry, counts: str) -> str:
    """What to do about numbers of images, given the line that states those that are there."""
    if entry.whole_name not in shipped_names("datasets", ".yaml"):
        return f"{entry.cure} To go on with what is there, write in its entry: {counts}"
    return (
        f"{entry.cure} Or go on with what is there (figures on it cannot be compared with "
        "published ones): write a benchmark file of your own with this under 'tasks':\n"
        f"  - dataset: {entry.whole_name}\n    {counts}"
    )


def _has_files(entry: DatasetEntry, paths: Paths) -> bool:
    return entry.source is not None and (paths.data / entry.source.path).is_dir()


def _read_files(kind: str, path: Path, wanted: tuple[str, ...]) -> Reading:
    return READERS[kind](path, wanted)


def _refuse_shared(entry: DatasetEntry, reading: Reading) -> None:
    """Refuse an image that is in two parts."""
    part_of: dict[Path, str] = {}
    for part, images in reading.parts.items():
        for path in images.files if isinstance(images, ImageFiles) else ():
            if (other := part_of.setdefault(path, part)) != part:
                raise ValueError(
                    f"{entry.name}: {path} is listed as {other} and as {part} image. {entry.cure}"
                )


def _split(entry: DatasetEntry, reading: Reading) -> Reading:
    """What was read, split at random where the entry says so."""
    if (rule := entry.random_split) is None:
        return reading
    if extra := sorted(set(reading.parts) - {"train"}):
        raise ValueError(
            f"{entry.name}: {reading.place} has a {extra[0]} part already; leave 'random_split' "
            "out of its entry."
        )
    images = reading.parts["train"]
    train, test = random_split(len(images), rule.train, rule.seed)
    return replace(reading, parts={"train": images.select(train), "test": images.select(test)})


def _relabelled(images: ImageSet, label_of: dict[int, int]) -> ImageSet:
    """The images whose label is a key of the mapping, with the label that it has there."""
    kept = images.select([i for i, label in enumerate(images.labels) if label in label_of])
    return kept.relabelled([label_of[label] for label in kept.labels])


def _nowhere(entry: DatasetEntry, paths: Paths) -> str:
    """Where the images were looked for, and how to get them there."""
    cures = []
    if entry.source is None:
        message = f"{entry.name}: its images are on the hub only."
    elif entry.obtain:
        message = f"{entry.name}: no folder {paths.data / entry.source.path}."
        cures.append(f"{entry.obtain} The data root is {paths.data}.")
    else:
        message = f"{entry.name}: no folder {paths.data / entry.source.path};"
        cures.append(
            "a run of a benchmark makes it."
            if entry.made_by
            else "put the data set there, or name the folder that holds it as data root."
        )
    if entry.hub is not None:
        cures.append(
            f"To use the copy {entry.hub.id} of the Hugging Face hub, choose a commit of it: "
            f"--set hub_revisions.{entry.whole_name}=<commit>."
        )
    return " ".join([message, *cures])
