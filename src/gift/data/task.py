"""A task: its label space and its images."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gift.data.entries import Metric
from gift.data.images import ImageFiles, ImageSet
from gift.data.labels import LabelSpace
from gift.data.readers.folder import class_name, scan
from gift.data.splits import split, split_positions
from gift.text import check_list, one_line, unknown, user_path

log = logging.getLogger(__name__)

Split = Literal["train", "validation", "test"]
Measured = Literal["test", "validation", "held-out", "training"]
"""What images an accuracy is measured on; ``held-out`` ones are training images set aside."""

_VALIDATION_SEED = 42


@dataclass(frozen=True)
class Task:
    """Classes to learn or to be evaluated on. A split that is missing is None.

    Attributes:
        labels: its class names and prompt templates.
        train: images to learn.
        test: images to measure.
        validation: images to choose settings on.
        metric: what its accuracy is.
        held_out: what the test images are, where they are no test split.
        place: where it was read from, for people.
    """

    labels: LabelSpace
    train: ImageSet | None
    test: ImageSet | None
    validation: ImageSet | None = None
    metric: Metric = "top1"
    held_out: Literal["validation", "held-out"] | None = None
    place: str = ""

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
            names = ", ".join(self.labels.classnames[label] for label in sorted(single)[:5])
            log.warning(
                "%s: %d of its classes have one image, which is learned and not in the validation "
                "split: %s%s.",
                one_line(self.name),
                len(single),
                one_line(names),
                f" and {len(single) - 5} more" if len(single) > 5 else "",
            )
        labels = self.train.labels
        several = [i for i, label in enumerate(labels) if label not in single]
        _, chosen = split_positions(self.train.select(several), fraction, _VALIDATION_SEED, setting)
        held_out = {several[i] for i in chosen}
        rest = [i for i in range(len(labels)) if i not in held_out]
        return replace(
            self, train=self.train.select(rest), validation=self.train.select(sorted(held_out))
        )

    @classmethod
    def from_folder(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        classnames: Sequence[str] | Mapping[str, str] | None = None,
        templates: Sequence[str] = ("a photo of a {}.",),
        test_fraction: float | None = None,
        seed: int = 42,
        follow_links: bool = False,
    ) -> Task:
        """Read a folder of images.

        Args:
            path: one sub-folder per class, or ``train/``, ``test/`` and ``validation/`` that have
                one each (other usual names are known, see
                :func:`gift.data.readers.folder.split_name`). Class order is the byte order of the
                folder names.
            name: the task's name; by default the folder's.
            classnames: class names in the folders' order (of folders called by numbers, that of the
                numbers), or folder name -> class name. By default the folder names with
                underscores as spaces.
            templates: prompt templates; the first serves training, all of them evaluation.
            test_fraction: fraction of the training images, in (0, 1), to set aside for testing:
                sampled per class, at least one image on each side.
            seed: of that split.
            follow_links: whether symbolic links inside the folder may lead out of it.

        Raises:
            FileNotFoundError: no folder at ``path``.
            ValueError: a layout, class names, a fraction or a link that cannot be used.
        """
        path = user_path(path)
        check_list(f"{path}: templates", templates, "['a photo of a {}.']")
        check_list(f"{path}: classnames", classnames, "['cat', 'dog']")
        scanned = scan(path, follow_links=follow_links)
        folders = tuple(sorted(set(scanned["train"][1]), key=os.fsencode))
        names = _class_names(path, folders, classnames)
        labels = LabelSpace(name or path.resolve().name, names, tuple(templates))
        label = {folder: number for number, folder in enumerate(folders)}
        splits = {
            key: ImageFiles(tuple(files), tuple(label[folder] for folder in found))
            for key, (files, found) in scanned.items()
        }
        train, test = splits["train"], splits.get("test")
        if test_fraction is not None:
            if test is not None:
                raise ValueError(f"{path} has a test split already; leave test_fraction out.")
            train, test = split(train, test_fraction, seed)
        held_out: Literal["held-out"] | None = None if test_fraction is None else "held-out"
        validation = splits.get("validation")
        return cls(labels, train, test, validation, held_out=held_out, place=str(path))


def _class_names(
    path: Path, folders: Sequence[str], classnames: Sequence[str] | Mapping[str, str] | None
) -> tuple[str, ...]:
    if classnames is None:
        return tuple(map(class_name, folders))
    if isinstance(classnames, Mapping):
        if wrong := [folder for folder in classnames if folder not in folders]:
            raise ValueError(f"{path}: {unknown('class folder', wrong[0], folders)}")
        if missing := [folder for folder in folders if folder not in classnames]:
            raise ValueError(f"{path}: no class name for the folders {', '.join(missing)}.")
        return tuple(classnames[folder] for folder in folders)
    if len(classnames) != len(folders):
        raise ValueError(
            f"{path} has {len(folders)} class folders, but {len(classnames)} class names "
            "were given; give one per folder in byte order, or a mapping folder -> name."
        )
    if all(folder.isdecimal() for folder in folders):  # labels: 2 comes before 10
        by_number = dict(zip(sorted(folders, key=int), classnames, strict=True))
        return tuple(by_number[folder] for folder in folders)
    if list(folders) != sorted(folders, key=_as_people_sort):
        mapping = dict(zip(folders, classnames, strict=True))
        raise ValueError(
            f"{path}: its class folders have another order by their bytes than by the numbers in "
            "their names, so a list of class names may mean either. Give a mapping; by the bytes "
            f"it would be {one_line(mapping)}."
        )
    return tuple(classnames)


def _as_people_sort(folder: str) -> list[tuple[int, str]]:
    """A key by which ``a2`` comes before ``a10``."""
    parts = re.split(r"([0-9]+)", folder)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


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
