"""Making, opening and preparing the data sets of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gift.data.cache import pixels
from gift.data.check import check_images
from gift.data.entries import DatasetEntry
from gift.data.opening import is_on_hub, open_entries
from gift.data.paths import Paths
from gift.data.task import Task
from gift.files import writing_to
from gift.plugins import maker

_VALIDATION_SEED = 42


def open_tasks(entries: Sequence[DatasetEntry], paths: Paths, draw: int = 0) -> list[Task]:
    """Open data sets, generating those that can be generated and are not there.

    Args:
        entries: the data sets.
        paths: where they are; another data seed than 0 has its own folder ``draw-<k>`` in it.
        draw: data seed of generated data sets.

    Raises:
        ValueError: another data seed than 0 of a data set that cannot be generated, or a folder
            that does not hold what its entry says.
        FileNotFoundError: a data set is not where it should be.
    """
    if draw:
        if found := [entry.name for entry in entries if entry.made_by is None]:
            raise ValueError(
                f"draw = {draw} needs data sets that can be made, but {found[0]} is not one; "
                "leave draw at 0."
            )
        paths = replace(paths, data=paths.data / f"draw-{draw}")
    for entry in entries:
        if will_be_made(entry, paths):
            assert entry.made_by is not None
            assert entry.source is not None
            target = paths.data / entry.source.path
            hint = "free some space there, or name another folder with --data-root"
            with writing_to(target.parent, "the data folder", hint):
                maker(entry.made_by)(entry.whole_name, target, draw)
    return open_entries(entries, paths)


def will_be_made(entry: DatasetEntry, paths: Paths) -> bool:
    """Whether a run would generate the data set's folder."""
    missing = entry.source is not None and not (paths.data / entry.source.path).exists()
    return entry.made_by is not None and missing


def measured_split(
    task: Task, split: Literal["test", "validation"], validation_fraction: float
) -> Task:
    """The task with the images of a split as its test images.

    For validation without a validation split, a fraction of the training images is set aside: the
    same images for every method and seed, never test images.

    Raises:
        ValueError: there are no such images.
    """
    if split == "validation" and task.validation is None:
        train, validation = task.split_train(
            validation_fraction, _VALIDATION_SEED, "evaluation.validation_fraction"
        )
        return replace(task, train=train, validation=validation, test=validation)
    images = task.test if split == "test" else task.validation
    if images is None:
        raise ValueError(
            f"task {task.name!r} has no test images; add a test folder beside train, or set "
            "evaluation.split = validation."
        )
    return replace(task, test=images)


@dataclass(frozen=True)
class Prepared:
    """What was done for a data set.

    Attributes:
        name: of the data set.
        done: what was done, a phrase each.
        images: number of images of its tasks, by split.
        cached: number of test images in the pixel cache; None where no model was given.
        problem: why a run could not use it, and what to do; empty when all is well.
    """

    name: str
    done: tuple[str, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)
    cached: int | None = None
    problem: str = ""


class TestTransform(Protocol):
    """The test transform of a model, see :class:`gift.vlm.Preprocess`."""

    @property
    def key(self) -> str:
        """Identifies the transform."""
        ...

    def test_array(self, image: Image.Image) -> NDArray[np.uint8]:
        """The transform of an RGB image: uint8 [S, S, 3]."""
        ...


def prepare(
    entries: Sequence[DatasetEntry], paths: Paths, preprocess: TestTransform | None = None
) -> Prepared:
    """Do for a data set what its first run would do: generate, open, check and decode.

    Args:
        entries: the tasks that are made of the data set.
        paths: the cache directory and where the data sets are.
        preprocess: of the model whose pixel cache is to be filled.

    Returns:
        What was done. Nothing is raised for a data set that is missing, wrong or damaged.
    """
    name, first = entries[0].whole_name, entries[0]
    done: list[str] = []
    makes, downloads = will_be_made(first, paths), is_on_hub(first, paths)
    try:
        tasks = open_tasks(entries, paths)
        done += ["made"] if makes else ["hub copy there"] if downloads else []
        splits = {
            "train": [task.train for task in tasks if task.train is not None],
            "validation": [task.validation for task in tasks if task.validation is not None],
            "test": [task.test for task in tasks if task.test is not None],
        }
        check_images(*(images for found in splits.values() for images in found), paths=paths)
        done.append("checked")
        cached = None
        if preprocess is not None:
            for images in splits["test"]:
                pixels(images, preprocess.test_array, preprocess.key, paths)
            cached = sum(map(len, splits["test"]))
            done.append("decoded")
    except (OSError, ValueError) as error:
        return Prepared(name, tuple(done), problem=str(error))
    numbers = {split: sum(map(len, found)) for split, found in splits.items() if found}
    return Prepared(name, tuple(done), numbers, cached)
