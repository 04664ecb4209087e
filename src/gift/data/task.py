"""A task: its words and its images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from gift.data.entries import Metric
from gift.data.folder import ScannedFolder, scan
from gift.data.images import ImageSet, LabeledImages
from gift.data.labels import LabelSpace
from gift.text import unknown

S = TypeVar("S", bound=ImageSet)


@dataclass(frozen=True)
class Task:
    """Classes to learn or to be evaluated on. A part that is missing is None.

    Attributes:
        labels: its words.
        train: images to learn.
        test: images to measure.
        validation: images to choose settings on.
        metric: what its accuracy is.
        place: where it was read from, for people.
    """

    labels: LabelSpace
    train: LabeledImages | None
    test: LabeledImages | None
    validation: LabeledImages | None = None
    metric: Metric = "top1"
    place: str = ""

    @property
    def name(self) -> str:
        return self.labels.name

    @property
    def evaluation(self) -> LabeledImages | None:
        """The test images, or those of a flat folder that was handed over for evaluation."""
        return self.test if self.test is not None else self.train

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
            path: One sub-folder per class, or ``train/``, ``test/`` (and ``validation/`` or
                ``val/``) that have one each. Class order is the byte order of the folder names.
            name: The task's name; by default the folder's.
            classnames: Class names in the folders' order, or folder name -> class name. By default
                the folder names with underscores as spaces.
            templates: Prompt templates; the first serves training, all of them evaluation.
            test_fraction: Share of the training images, in (0, 1), to set aside for testing: drawn
                per class, at least one image on each side.
            seed: Seed of that draw.
            follow_links: Whether symbolic links inside the folder may lead out of it. (The folder
                itself may always be a link.)

        Raises:
            FileNotFoundError: no folder at ``path``.
            ValueError: a layout, class names or a fraction that cannot be used, or a link that
                may not be followed.
        """
        scanned = scan(Path(path), follow_links=follow_links)
        labels = LabelSpace(
            name or Path(path).resolve().name, _names(scanned, classnames), tuple(templates)
        )
        train, test = scanned.parts["train"], scanned.parts.get("test")
        if test_fraction is not None:
            if test is not None:
                raise ValueError(f"{path} has a test/ folder already; leave test_fraction out.")
            train, test = split(train, test_fraction, seed)
        return cls(labels, train, test, scanned.parts.get("validation"), place=str(path))

    def split_train(self, fraction: float, seed: int, setting: str) -> tuple[ImageSet, ImageSet]:
        """The training images in two parts, see :func:`split`."""
        if self.train is None:
            raise ValueError(f"task {self.name!r} has no training images to split.")
        assert isinstance(self.train, ImageSet), "images of a data set can be split"
        return split(self.train, fraction, seed, setting)


def split(images: S, fraction: float, seed: int, setting: str = "test_fraction") -> tuple[S, S]:
    """Split every class at random into (rest, fraction), at least one image on each side.

    Each class has its own generator: images added to one class leave the others as they were.

    Raises:
        ValueError: a fraction outside (0, 1), or a class with a single image.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"{setting} = {fraction} must lie between 0 and 1, both excluded.")
    labels = np.asarray(images.labels)
    taken = np.zeros(len(images), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise ValueError(
                f"{images.origin(members[0])} has one image, but {setting} needs two or "
                f"more per class; add images or leave {setting} out."
            )
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        taken[np.random.default_rng([seed, int(label), *b"split"]).permutation(members)[:count]] = (
            True
        )
    return images.select(np.flatnonzero(~taken).tolist()), images.select(
        np.flatnonzero(taken).tolist()
    )


def _names(
    scanned: ScannedFolder, classnames: Sequence[str] | Mapping[str, str] | None
) -> tuple[str, ...]:
    folders = scanned.folders
    if classnames is None:
        return scanned.classnames
    if isinstance(classnames, Mapping):
        for folder in classnames:
            if folder not in folders:
                raise ValueError(f"{scanned.path}: {unknown('class folder', folder, folders)}")
        if missing := [folder for folder in folders if folder not in classnames]:
            raise ValueError(f"{scanned.path}: no class name for the folders {', '.join(missing)}.")
        return tuple(classnames[folder] for folder in folders)
    if len(classnames) != len(folders):
        raise ValueError(
            f"{scanned.path} has {len(folders)} class folders, but {len(classnames)} class names "
            "were given; give one per folder in byte order, or a mapping folder -> name."
        )
    return tuple(classnames)
