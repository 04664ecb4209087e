"""A task: its label space and its images."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from gift.data.entries import Metric
from gift.data.images import ImageFiles, ImageSet
from gift.data.labels import LabelSpace
from gift.data.naming import ClassNames, name_classes, renamed
from gift.data.readers.folder import scan
from gift.data.rows import ImageColumn, RowImages, read_rows
from gift.data.splits import split, split_positions
from gift.data.tables import Columns, read_table
from gift.text import check_list, count_of, one_line, shortened, some_of, user_path

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

log = logging.getLogger(__name__)

Split = Literal["train", "validation", "test"]
OnBadImage = Literal["stop", "skip"]
"""What is done with an image that cannot be read: it is refused, or skipped with a warning."""

Measured = Literal["test", "validation", "held-out", "training"]
"""What images an accuracy is measured on; ``held-out`` ones are training images set aside."""

_VALIDATION_SEED = 42


@dataclass(frozen=True, repr=False)
class Task:
    """Classes to learn or to be evaluated on. A split that is missing is None.

    Attributes:
        labels: its class names and prompt templates.
        train: images to learn.
        test: images to measure.
        validation: images to choose settings on.
        metric: what its accuracy is.
        held_out: what the test images are, where they are no test split.
        place: where it was read from: a path in full, or words.
        on_bad_image: what is done with images that cannot be read, see
            :func:`gift.data.readable`.
        skipped: how many images were skipped since they cannot be read.
    """

    labels: LabelSpace
    train: ImageSet | None
    test: ImageSet | None
    validation: ImageSet | None = None
    metric: Metric = "top1"
    held_out: Literal["validation", "held-out"] | None = None
    place: str = ""
    on_bad_image: OnBadImage = "stop"
    skipped: int = 0

    def __post_init__(self) -> None:
        if self.on_bad_image not in get_args(OnBadImage):
            raise ValueError(
                f"on_bad_image = {shortened(self.on_bad_image)} is neither 'stop' nor 'skip'."
            )

    def __repr__(self) -> str:
        images = [f"{len(own):,} {split}" for split, own in self.splits.items()]
        names = self.labels.classnames
        place = f", from {shortened(self.place)}" if self.place else ""
        return (
            f"<Task {shortened(self.name)}: {count_of(len(names), 'class', 'classes')} "
            f"({some_of(names)}), images: {', '.join(images) or 'none'}{place}>"
        )

    @property
    def name(self) -> str:
        return self.labels.name

    @property
    def evaluated_split(self) -> Split | None:
        """The split that accuracy is measured on: test, else validation, else training images."""
        order: tuple[Split, ...] = ("test", "validation", "train")
        return next((split for split in order if split in self.splits), None)

    @property
    def evaluation(self) -> ImageSet | None:
        """The images of :attr:`evaluated_split`; None where there are no images at all."""
        name = self.evaluated_split
        return None if name is None else self.splits[name]

    @property
    def measured_on(self) -> Measured:
        """What the images of :attr:`evaluation` are; ``training`` where there are no others."""
        if self.evaluated_split == "test":
            return self.held_out or "test"
        return "validation" if self.evaluated_split == "validation" else "training"

    @property
    def splits(self) -> dict[Split, ImageSet]:
        """The splits that are there, by name."""
        splits: dict[Split, ImageSet | None] = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
        }
        return {name: images for name, images in splits.items() if images is not None}

    def extending(self, task: str) -> Task:
        """The same images as classes that are added to an earlier task of a learner.

        Args:
            task: the name of that one. Its prompt templates are used.
        """
        return replace(self, labels=replace(self.labels, extends=task))

    def with_validation(self, fraction: float, setting: str = "validation_fraction") -> Task:
        """The task with a validation split: its own, or a fraction of the training images.

        The fraction is sampled per class and always the same, at least one image on each side. A
        class with a single image keeps it for training; a warning names such classes.

        Args:
            fraction: in (0, 1).
            setting: what the fraction is called, for messages.

        Raises:
            ValueError: another fraction, no training images, or no class with two.
        """
        if self.validation is not None:
            return self
        if self.train is None:
            raise ValueError(f"task {self.name!r} has no training images to split.")
        counts = Counter(self.train.labels)
        single = {label for label, count in counts.items() if count == 1}
        if single == set(counts):
            raise ValueError(
                f"task {self.name!r} has one image per class, so none can be set aside; add images "
                f"or leave {setting} out."
            )
        if single:
            log.warning(
                "%s: %d of its classes have one image, which is learned and not in the validation "
                "split: %s.",
                one_line(self.name),
                len(single),
                some_of([self.labels.classnames[label] for label in sorted(single)]),
            )
        labels = self.train.labels
        several = [i for i, label in enumerate(labels) if label not in single]
        _, chosen = split_positions(self.train.select(several), fraction, _VALIDATION_SEED, setting)
        held_out = {several[i] for i in chosen}
        rest = [i for i in range(len(labels)) if i not in held_out]
        return replace(
            self, train=self.train.select(rest), validation=self.train.select(sorted(held_out))
        )

    def with_test_split(self, fraction: float, seed: int = 42) -> Task:
        """The task with a fraction of its training images set aside for testing.

        Args:
            fraction: in (0, 1); sampled per class, at least one image on each side.
            seed: of that split.

        Raises:
            ValueError: another fraction, a test split that is there already, no training images, or
                a class with a single image.
        """
        if self.test is not None:
            place = self.place or f"task {self.name!r}"
            raise ValueError(f"{place} has a test split already; leave test_fraction out.")
        if self.train is None:
            raise ValueError(f"task {self.name!r} has no training images to split.")
        train, test = split(self.train, fraction, seed)
        return replace(self, train=train, test=test, held_out="held-out")

    @classmethod
    def from_folder(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        classnames: ClassNames | None = None,
        templates: Sequence[str] = ("a photo of a {}.",),
        test_fraction: float | None = None,
        seed: int = 42,
        follow_links: bool = False,
        nested: bool = False,
        on_bad_image: OnBadImage = "stop",
    ) -> Task:
        """Read a folder of images.

        Args:
            path: one sub-folder per class, or ``train/``, ``test/`` and ``validation/`` that have
                one each (other usual names are known, see
                :func:`gift.data.readers.folder.split_name`). Class order is the byte order of the
                folder names.
            name: the task's name; by default the folder's.
            classnames: class names in the folders' order (of folders called by numbers, that of the
                numbers), or folder name -> class name, where several folders of one name are one
                class. By default the folder names with underscores as spaces.
            templates: prompt templates; the first serves training, all of them evaluation.
            test_fraction: fraction of the training images to set aside for testing, see
                :meth:`with_test_split`.
            seed: of that split.
            follow_links: whether symbolic links inside the folder may lead out of it.
            nested: whether images in sub-folders of a class folder belong to the class.
            on_bad_image: see :attr:`on_bad_image`.

        Raises:
            FileNotFoundError: no folder at ``path``.
            ValueError: a layout, class names, a fraction or a link that cannot be used.
        """
        path = user_path(path)
        found = scan(
            path, follow_links=follow_links, nested=nested, renamed=renamed(path, classnames)
        )
        wanted = _Wanted(name or path.resolve().name, classnames, templates, "class folder")
        task = wanted.task(found, str(path), on_bad_image)
        task = replace(task, place=str(path.absolute()))  # it is read again from anywhere
        return task if test_fraction is None else task.with_test_split(test_fraction, seed)

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike[str],
        *,
        image: str | None = None,
        label: str | None = None,
        split: str | None = None,
        name: str | None = None,
        classnames: ClassNames | None = None,
        templates: Sequence[str] = ("a photo of a {}.",),
        test_fraction: float | None = None,
        seed: int = 42,
        follow_links: bool = False,
        on_bad_image: OnBadImage = "stop",
    ) -> Task:
        """Read a table of image paths and labels; no image is copied.

        Args:
            path: CSV or TSV file with a row of column names, or a file with a JSON object per line
                (``.jsonl``). Paths in it are relative to its folder.
            image: the column of paths; by default ``path``, ``file_name`` or another usual name.
            label: the column of label strings; by default ``label``, ``class`` or the like.
            split: the column that says ``train``, ``test`` or ``validation``; by default ``split``
                where there is one. Without it all images are for training.
            name: the task's name; by default the file's without its ending.
            classnames: class names in the byte order of the label strings (of those that are
                numbers, in theirs), or label string -> class name.
            templates: as for :meth:`from_folder`, as are the arguments after it.
            follow_links: whether paths may lead out of the table's folder.

        Raises:
            ValueError: no such table or column, rows that cannot be used (all are named), class
                names or a fraction that cannot be used.
        """
        path = user_path(path)
        found = read_table(path, Columns(image, label, split), follow_links=follow_links)
        wanted = _Wanted(name or path.stem, classnames, templates, "label")
        task = wanted.task(found, str(path), on_bad_image)
        task = replace(task, place=str(path.absolute()))  # it is read again from anywhere
        return task if test_fraction is None else task.with_test_split(test_fraction, seed)

    @classmethod
    def from_dataset(
        cls,
        data: Dataset | DatasetDict,
        *,
        image: str | None = None,
        label: str | None = None,
        name: str | None = None,
        classnames: ClassNames | None = None,
        templates: Sequence[str] = ("a photo of a {}.",),
        test_fraction: float | None = None,
        seed: int = 42,
        on_bad_image: OnBadImage = "stop",
    ) -> Task:
        """Take a data set of the ``datasets`` library; no image is copied.

        Args:
            data: whose images are decoded when they are needed. Of a ``DatasetDict`` the splits
                are taken by their names, a ``Dataset`` is for training.
            image: the column of images, or of paths; by default the only one of images.
            label: the column of labels; by default the only one of ``ClassLabel``, or ``label``.
            name: the task's name; by default the data set's.
            classnames: class names in the byte order of the label strings (of those that are
                numbers, in theirs), or label string -> class name.
            templates: as for :meth:`from_folder`, as are the arguments after it.

        Raises:
            ValueError: no such column, rows without a label, class names or a fraction that cannot
                be used, or a streamed data set.
        """
        some = next(iter(data.values()), None) if isinstance(data, Mapping) else data
        known = getattr(getattr(some, "info", None), "dataset_name", None)
        name = name or known or "dataset"
        found = read_rows(
            data,
            Columns(image, label),
            place=f"the data set {name}",
            numbered=classnames is not None,
        )
        task = _Wanted(name, classnames, templates, "label").task(found, "", on_bad_image)
        return task if test_fraction is None else task.with_test_split(test_fraction, seed)


@dataclass(frozen=True)
class _Wanted:
    """What a task of labelled images shall be called, and its classes.

    Attributes:
        name: of the task.
        classnames, templates: see :meth:`Task.from_folder`.
        what: what a label string is, for messages.
    """

    name: str
    classnames: ClassNames | None
    templates: Sequence[str]
    what: str

    def task(
        self,
        found: Mapping[str, tuple[Sequence[Path] | ImageColumn, Sequence[str]]],
        place: str,
        on_bad_image: OnBadImage,
    ) -> Task:
        """The task of images and label strings by split.

        Raises:
            ValueError: names that cannot be used, or a class without training images.
        """
        where = place or self.name
        check_list(f"{where}: templates", self.templates, "['a photo of a {}.']")
        every = [label for _, labels in found.values() for label in labels]
        names, number = name_classes(where, every, self.classnames, self.what)
        splits: dict[str, ImageSet] = {}
        for key, (source, labels) in found.items():
            numbers = tuple(number[label] for label in labels)
            if isinstance(source, ImageColumn):
                splits[key] = RowImages(tuple(range(len(numbers))), numbers, source)
            else:
                splits[key] = ImageFiles(tuple(source), numbers)
        train = splits.get("train")
        if train is not None:
            trained = set(train.labels)
            if untrained := [name for i, name in enumerate(names) if i not in trained]:
                raise ValueError(
                    f"{where}: no training images of {count_of(len(untrained), 'class', 'classes')}"
                    f" ({some_of(untrained)}); add some, or leave their other images out."
                )
        return Task(
            LabelSpace(self.name, names, tuple(self.templates)),
            train,
            splits.get("test"),
            splits.get("validation"),
            place=place,
            on_bad_image=on_bad_image,
        )


def measured_split(task: Task, name: Literal["test", "validation"], fraction: float) -> Task:
    """The task with the images of a split as its test images.

    Where the task has no validation split, a fraction of the training images in (0, 1) is set aside
    for validation: the same images for every method and seed, never test images.

    Raises:
        ValueError: there are no such images.
    """
    if name == "validation" and task.validation is None:
        if task.train is None:
            raise ValueError(f"task {task.name!r} has no training images to split.")
        setting = "evaluation.validation_fraction"
        train, validation = split(task.train, fraction, _VALIDATION_SEED, setting)
        return replace(
            task, train=train, validation=validation, test=validation, held_out="held-out"
        )
    images = task.test if name == "test" else task.validation
    if images is None:
        raise ValueError(
            f"task {task.name!r} has no test images; add a test folder beside train, or set "
            "evaluation.split = validation."
        )
    return replace(task, test=images, held_out=None if name == "test" else "validation")
