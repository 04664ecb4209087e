"""Checking and preparing data sets ahead of a run, and what identifies their content."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gift.data.cache import check_images, fingerprint_of, remember_checked, unreadable
from gift.data.entries import DatasetEntry, Metric
from gift.data.images import ImageSet
from gift.data.opening import count_problem, is_on_hub, match_labels, open_tasks, read, will_be_made
from gift.data.paths import Paths
from gift.data.task import Task
from gift.text import count_of, one_line, some_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckResult:
    """What a check of a data set found.

    Attributes:
        name: of the data set.
        looked_in: the places where it may be, the first one first.
        found_in: where it was read; None where it is nowhere or cannot be read.
        images, expected: number of images that were found, and that belong there, by split.
        classes: number of classes that fit; None where labels are wrong.
        problems: what is wrong and what to do, a message each; empty when all is well.
    """

    name: str
    looked_in: tuple[str, ...]
    found_in: str | None = None
    images: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    classes: int | None = None
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the data set is there and as its entry says."""
        return not self.problems


def check_dataset(entry: DatasetEntry, paths: Paths, *, decode: bool = False) -> CheckResult:
    """Look for a data set and compare it with its entry.

    Nothing is raised for a data set that is missing, wrong or damaged.

    Args:
        entry: the data set.
        paths: where it is, and the cache directory.
        decode: whether every image is decoded.
    """
    looked_in = [] if entry.source is None else [str(paths.data / entry.source.path)]
    if entry.hub is not None:
        commit = entry.hub.revision or "no commit chosen"
        looked_in.append(f"{entry.hub.id} on the Hugging Face hub ({commit})")
    expected = entry.counts.model_dump(exclude_none=True)
    result = CheckResult(entry.name, tuple(looked_in), expected=expected)
    try:
        found = read(entry, paths)
    except (OSError, ValueError) as error:
        return replace(result, problems=(str(error),))
    problems, classes = [count_problem(entry, found)], None
    try:
        classes = len(match_labels(entry, found)[0])
    except ValueError as error:
        problems.insert(0, str(error))
    try:
        if decode:
            check_images(*found.splits.values(), paths=paths)
    except ValueError as error:
        problems.append(str(error))
    return replace(
        result,
        found_in=found.place,
        images=found.counts,
        classes=classes,
        problems=tuple(filter(None, problems)),
    )


@dataclass(frozen=True)
class Prepared:
    """What was done for a data set.

    Attributes:
        name: of the data set.
        done: what was done, a phrase each.
        images: number of images of its tasks, by split.
        cached: number of test images in the pixel cache; None where it was not to be filled.
        problem: why a run could not use it, and what to do; empty when all is well.
    """

    name: str
    done: tuple[str, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)
    cached: int | None = None
    problem: str = ""


def prepare(
    entries: Sequence[DatasetEntry],
    paths: Paths,
    decode: Callable[[ImageSet], object] | None = None,
) -> Prepared:
    """Do for a data set what its first run would do: generate, open, check and decode.

    Nothing is raised for a data set that is missing, wrong or damaged.

    Args:
        entries: the tasks that are made of the data set.
        paths: where data sets are, and the cache directory.
        decode: fills the pixel cache with a task's test images, see :func:`gift.data.pixels`.
    """
    first, done = entries[0], list[str]()
    makes, downloads = will_be_made(first, paths), is_on_hub(first, paths)
    try:
        tasks = open_tasks(entries, paths)
        done += ["made"] if makes else ["hub copy there"] if downloads else []
        check_images(*(images for task in tasks for images in task.splits.values()), paths=paths)
        done.append("checked")
        if decode is not None:
            for task in tasks:
                if task.test is not None:
                    decode(task.test)
            done.append("decoded")
    except (OSError, ValueError) as error:
        return Prepared(first.whole_name, tuple(done), problem=str(error))
    numbers: Counter[str] = Counter()
    for task in tasks:
        numbers.update({split: len(images) for split, images in task.splits.items()})
    cached = None if decode is None else numbers["test"]
    return Prepared(first.whole_name, tuple(done), dict(numbers), cached)


def readable(task: Task, paths: Paths) -> Task:
    """The task without images that cannot be read, where :attr:`Task.on_bad_image` is ``skip``.

    Each one that is skipped is named in a warning, as are classes of which none can be measured.

    Raises:
        ValueError: no training image of a class can be read, or less than half of a split's images.
        OSError: the cache cannot be written.
    """
    if task.on_bad_image == "stop":
        return task
    shown, splits = one_line(task.name), task.splits
    skipped: list[str] = []
    problems: list[str] = []
    found = unreadable(*splits.values(), paths=paths)
    for (split, images), bad in zip(list(splits.items()), found, strict=True):
        kept = images.select([i for i in range(len(images)) if i not in bad])
        lost = sorted(set(images.labels) - set(kept.labels))
        none_of = some_of([task.labels.classnames[label] for label in lost])
        skipped += bad.values()
        if len(bad) > len(kept):
            problems.append(
                f"{shown}: {len(bad)} of {len(images)} {split} images cannot be read; is this the "
                "right folder, and whole?"
            )
        elif lost and split == "train":
            problems.append(f"{shown}: no {split} image of {none_of} can be read; add some.")
        elif lost:
            skipped.append(f"no {split} image of {none_of} is left to measure")
        elif bad:
            remember_checked(kept, paths)
        splits[split] = kept
    if problems:
        raise ValueError("\n".join([*problems, *skipped[:20]]))
    count = sum(map(len, found))
    if count:
        log.warning(
            "%s: %s that cannot be read %s skipped:\n%s",
            shown,
            count_of(count, "image"),
            "is" if count == 1 else "are",
            "\n".join(skipped),
        )
    return replace(
        task,
        train=splits.get("train"),
        validation=splits.get("validation"),
        test=splits.get("test"),
        skipped=task.skipped + count,
    )


@dataclass(frozen=True)
class SplitIdentity:
    """What identifies the images of a split.

    Attributes:
        images: their number.
        checksum: of keys and labels; does not depend on the content.
        content: 16 hex digits of the images' content; None for tables of the hub.
    """

    images: int
    checksum: str
    content: str | None


@dataclass(frozen=True)
class Provenance:
    """What a task's numbers are measured on, in a form that two runs can compare.

    The checksums do not depend on where the files lie and on their times.

    Attributes:
        data_set, version: name of the data set, and version of its entry.
        place: where it was read.
        metric: what accuracy is.
        classes: number of classes.
        words: checksum of class names and templates.
        train, test: the images to learn and to measure.
        skipped: how many images could not be read, and are not among them.
    """

    data_set: str
    version: int
    place: str
    metric: Metric
    classes: int
    words: str
    train: SplitIdentity | None
    test: SplitIdentity | None
    skipped: int = 0


def provenance(task: Task, paths: Paths, entry: DatasetEntry | None = None) -> Provenance:
    """What identifies a task's images and class names, as it is learned and measured.

    A place below the data directory is given from there. A task without an entry is a data set of
    its own.
    """
    place = Path(task.place)
    words = json.dumps([task.labels.classnames, task.labels.templates])
    return Provenance(
        task.name if entry is None else entry.whole_name,
        1 if entry is None else entry.version,
        str(place.relative_to(paths.data)) if paths.data in place.parents else task.place,
        task.metric,
        len(task.labels.classnames),
        hashlib.sha256(words.encode()).hexdigest()[:16],
        _identity(task.train, paths),
        _identity(task.evaluation, paths),
        task.skipped,
    )


def _identity(images: ImageSet | None, paths: Paths) -> SplitIdentity | None:
    if images is None:
        return None
    content = fingerprint_of(images, paths)[:16] if images.is_known_by_content else None
    return SplitIdentity(len(images), images.checksum, content)
