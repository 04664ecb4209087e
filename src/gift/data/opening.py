"""Opening data sets: what the first source that is there holds becomes a task."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gift.data import hub
from gift.data.entries import DatasetEntry
from gift.data.images import ImageFiles, ImageSet, NumberedImages
from gift.data.labels import LabelSpace
from gift.data.paths import MADE, Paths
from gift.data.readers import Splits, files_in, reader
from gift.data.readers.folder import class_name
from gift.data.splits import random_split
from gift.data.task import Task
from gift.files import write_text, writing_to
from gift.plugins import maker, shipped_files
from gift.text import one_line


@dataclass(frozen=True)
class Found:
    """What the files of a data set hold, before it is matched with the entry.

    Attributes:
        place: where they are, for messages.
        names: the data set's own label strings, whose positions are the images' labels; None where
            labels are nothing but numbers.
        splits: the images of every split, ``train`` among them.
    """

    place: str
    names: tuple[str, ...] | None
    splits: dict[str, ImageSet]

    @property
    def counts(self) -> dict[str, int]:
        """The number of images in every split."""
        return {split: len(images) for split, images in self.splits.items()}


def open_task(entry: DatasetEntry, paths: Paths) -> Task:
    """Open a data set's files below ``paths.data``, or its hub copy where there are none.

    Raises:
        FileNotFoundError: files are missing; tells where they were looked for and what to do.
        ValueError: labels or numbers of images other than the entry says, or damaged files.
    """
    return _as_task(entry, read(entry, paths))


def open_tasks(entries: Sequence[DatasetEntry], paths: Paths, draw: int = 0) -> list[Task]:
    """Open several data sets, generating those that can be generated and are not there.

    Files that several of them share are read once.

    Args:
        entries: the data sets.
        paths: where they are; below ``draw-<k>`` there for a data seed k other than 0.
        draw: data seed of generated data sets.

    Raises:
        ValueError: another data seed than 0 of a data set that cannot be generated, or a folder
            that does not hold what its entry says.
        FileNotFoundError: a data set is not where it should be.
    """
    if draw:
        if fixed := [entry.name for entry in entries if entry.made_by is None]:
            raise ValueError(
                f"draw = {draw} needs data sets that can be made, but {fixed[0]} is not one; "
                "leave draw at 0."
            )
        paths = replace(paths, data=paths.data / f"draw-{draw}")
    known: dict[str, Found] = {}
    tasks = []
    for entry in entries:
        if entry.made_by and entry.source and will_be_made(entry, paths):
            target = paths.data / entry.source.path
            hint = "free some space there, or name another folder with --data-root"
            with writing_to(target.parent, "the data folder", hint):
                maker(entry.made_by)(entry.whole_name, target, draw)
                write_text(target / MADE, "")
        whole = {"name": entry.whole_name, "subset": None, "templates": ("{}",)}
        key = repr(entry.model_copy(update=whole))
        if key not in known:
            known[key] = read(entry, paths)
        tasks.append(_as_task(entry, known[key]))
    return tasks


def will_be_made(entry: DatasetEntry, paths: Paths) -> bool:
    """Whether a run would generate the data set's folder."""
    missing = entry.source is not None and not (paths.data / entry.source.path).exists()
    return entry.made_by is not None and missing


def is_on_hub(entry: DatasetEntry, paths: Paths) -> bool:
    """Whether a run would read the chosen commit of a hub copy, for want of files."""
    copy = entry.hub
    return not _has_files(entry, paths) and copy is not None and copy.usable and not copy.is_local


def download(entry: DatasetEntry) -> None:
    """Bring the chosen commit of an entry's hub copy to this machine; errors as of hub.read()."""
    assert entry.hub is not None
    hub.read(entry.hub, entry.whole_name)


def read(entry: DatasetEntry, paths: Paths) -> Found:
    """What the first of the entry's sources that is there holds, split as the entry says.

    Raises:
        FileNotFoundError: no source is there, or files of it are missing.
        ValueError: damaged files, or an image in two splits.
        OSError: a hub copy cannot be downloaded.
    """
    source = entry.source
    if source is not None and _has_files(entry, paths):
        root = paths.data / source.path
        try:
            splits = reader(source.kind)(root, entry.own_labels or entry.listed_names or ())
            _check_files(root, splits)
        except (FileNotFoundError, ValueError) as error:
            if source.kind == "folder":  # says what to do by itself
                raise
            kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
            raise kind(f"{entry.name}: {error}. {entry.hint}") from error
        found = _collected(str(root), splits, {})
    elif entry.hub is not None and entry.hub.usable:
        copy = hub.read(entry.hub, entry.whole_name)
        names = entry.listed_names or ()
        own = entry.own_labels or names
        spelled = dict(zip(names, own, strict=True)) | {label: label for label in own}
        found = _collected(copy.place, copy.splits, spelled | entry.hub.names)
    else:
        raise FileNotFoundError(_nowhere(entry, paths))
    if (rule := entry.random_split) is None:
        return found
    if extra := sorted(set(found.splits) - {"train"}):
        raise ValueError(
            f"{entry.name}: {found.place} has a {extra[0]} split already; leave 'random_split' "
            "out of its entry."
        )
    images = found.splits["train"]
    train, test = random_split(len(images), rule.train, rule.seed)
    return replace(found, splits={"train": images.select(train), "test": images.select(test)})


def _has_files(entry: DatasetEntry, paths: Paths) -> bool:
    return entry.source is not None and (paths.data / entry.source.path).is_dir()


def _collected(place: str, splits: Splits, spelled: Mapping[str, str]) -> Found:
    """The images and labels that a reader found, with one number for every label string.

    Labels of copies on the hub may be spelled otherwise, up to case and underscores.
    """
    known = {class_name(theirs).casefold(): label for theirs, label in spelled.items()}
    strings = {label for _, labels in splits.values() for label in labels if isinstance(label, str)}
    own = {label: known.get(class_name(label).casefold(), label) for label in strings}
    names = tuple(sorted(set(own.values()), key=os.fsencode)) or None
    number = {name: position for position, name in enumerate(names or ())}
    images: dict[str, ImageSet] = {}
    for split, (source, labels) in splits.items():
        numbers = tuple(number[own[v]] if isinstance(v, str) else v for v in labels)
        if isinstance(source, Sequence):
            images[split] = ImageFiles(tuple(source), numbers)
        else:
            images[split] = NumberedImages(tuple(source.order), numbers, source)
    return Found(place, names, images)


def _check_files(root: Path, splits: Splits) -> None:
    """Refuse images that are missing, listed twice or outside a data set's folder."""
    split_of: dict[Path, str] = {}
    names: dict[Path, set[str]] = defaultdict(set)
    for split, (source, _) in splits.items():
        for path in source if isinstance(source, Sequence) else ():
            if path in split_of:
                raise ValueError(f"{path} is listed twice, in {split_of[path]} and in {split}")
            split_of[path] = split
            names[path.parent].add(path.name)
    missing: list[Path] = []
    for folder, wanted in names.items():
        if not folder.is_relative_to(root) or ".." in folder.relative_to(root).parts:
            raise ValueError(f"images are listed outside {root}, in {folder}")
        missing += [folder / name for name in wanted.difference(files_in(folder))]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(split_of)} images that are listed in {root} are missing, the "
            f"first is {min(missing)}"
        )


def _nowhere(entry: DatasetEntry, paths: Paths) -> str:
    """Where the images were looked for, and how to get them there."""
    if entry.source is None:
        message = f"{entry.name}: its images are on the hub only."
    else:
        message = f"{entry.name}: no folder {paths.data / entry.source.path}"
        if entry.obtain:
            message += f". {entry.obtain} The data root is {paths.data}."
        elif entry.made_by:
            message += "; a run of a benchmark makes it."
        else:
            message += "; put the data set there, or name the folder that holds it as data root."
    if entry.hub is not None:
        message += (
            f" To use the copy {entry.hub.id} of the Hugging Face hub, choose a commit of it: "
            f"--set hub_revisions.{entry.whole_name}=<commit>."
        )
    return message


def _as_task(entry: DatasetEntry, found: Found) -> Task:
    """A task of the classes that an entry names, made of what was found."""
    classnames, label_of = match_labels(entry, found)
    if problem := count_problem(entry, found):
        raise ValueError(problem)
    splits: dict[str, ImageSet] = {}
    for split, images in found.splits.items():
        kept = images.select([i for i, label in enumerate(images.labels) if label in label_of])
        splits[split] = kept.relabelled([label_of[label] for label in kept.labels])
    return Task(
        LabelSpace(entry.name, classnames, entry.templates),
        splits["train"],
        splits.get("test"),
        splits.get("validation"),
        metric=entry.metric,
        place=found.place,
    )


def match_labels(entry: DatasetEntry, found: Found) -> tuple[tuple[str, ...], dict[int, int]]:
    """The class names of an entry's task, and label as found -> label of the task (if it has it).

    Raises:
        ValueError: unknown or missing labels, a class without training images, or a subset of
            labels that do not exist.
    """
    names, numbers = _matched(entry, found)
    trained = set(found.splits["train"].labels)
    if empty := [n for n, number in zip(names, numbers, strict=True) if number not in trained]:
        raise ValueError(
            f"{entry.name}: no training images for {len(empty)} of {len(names)} classes in "
            f"{found.place}, the first is {empty[0]!r}. {entry.hint}"
        )
    chosen = range(len(names)) if entry.subset is None else entry.subset.labels
    if wrong := [label for label in chosen if label not in range(len(names))]:
        raise ValueError(
            f"{entry.name}: subset has the label {wrong[0]}, but the data set has the labels 0 to "
            f"{len(names) - 1}; correct 'subset' in its entry."
        )
    classnames = tuple(dict.fromkeys(names[label] for label in chosen))
    return classnames, {numbers[label]: classnames.index(names[label]) for label in chosen}


def _matched(entry: DatasetEntry, found: Found) -> tuple[tuple[str, ...], Sequence[int]]:
    """Class names by label, and the number that each label has in what was found."""
    names = entry.listed_names
    if names is None:  # only folders give class names by themselves, and they have names
        folders = found.names or ()
        return tuple(map(class_name, folders)), range(len(folders))
    entry.check_names()
    if found.names is None:
        labels = {label for images in found.splits.values() for label in images.labels}
        if wrong := labels.difference(range(len(names))):
            raise ValueError(
                f"{entry.name}: {found.place} has the label {max(wrong)}, but {len(names)} "
                f"class names stand for 0 to {len(names) - 1}. {entry.label_hint}"
            )
        return names, range(len(names))
    own = entry.own_labels
    if own is None:
        spelled = {class_name(name): name for name in found.names}
        own = tuple(spelled.get(class_name(name), name) for name in names)
    if set(own) != set(found.names):
        missing, extra = (
            one_line(", ".join(sorted(set(some) - set(others)))) or "none"
            for some, others in ((own, found.names), (found.names, own))
        )
        raise ValueError(
            f"{entry.name}: the classes in {found.place} do not fit the class names: missing "
            f"{missing}; unexpected {extra}. {entry.label_hint}"
        )
    return names, list(map(found.names.index, own))


def count_problem(entry: DatasetEntry, found: Found) -> str:
    """The message about splits with another number of images than expected; empty if all fit."""
    expected = entry.counts.model_dump(exclude_none=True)
    counts = {split: found.counts.get(split, 0) for split in expected}
    if counts == expected:
        return ""
    wrong = "; ".join(
        f"{expected[split]} {split} images expected in {found.place}, but {count} found"
        for split, count in counts.items()
        if count != expected[split]
    )
    there = f"counts: {{{', '.join(f'{split}: {count}' for split, count in counts.items())}}}"
    if entry.whole_name not in shipped_files("datasets", ".yaml"):
        hint = f"To continue with what is there, write in its entry: {there}"
    else:
        hint = (
            "Or continue with what is there (figures on it cannot be compared with published "
            "ones): write a benchmark file of your own with this under 'tasks':\n"
            f"  - dataset: {entry.whole_name}\n    {there}"
        )
    return f"{entry.name}: {wrong}. {entry.hint} {hint}"
