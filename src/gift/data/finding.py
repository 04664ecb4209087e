"""Checking a data set without learning from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gift.data.check import check_images
from gift.data.entries import DatasetEntry
from gift.data.opening import count_problem, read
from gift.data.paths import Paths
from gift.data.readers.reading import Reading
from gift.data.words import fit


@dataclass(frozen=True)
class Finding:
    """What a check of a data set found.

    Attributes:
        name: of the data set.
        looked_in: the places where it may be, the first one first.
        found_in: where it was read; None where it is nowhere or cannot be read.
        images: number of images that were found, by part.
        expected: number of images that belong there, by part.
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

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ok": self.ok}


def check_dataset(
    entry: DatasetEntry,
    paths: Paths,
    *,
    decode: bool = False,
) -> Finding:
    """Look for a data set and compare it with its entry.

    Args:
        entry: the data set.
        paths: the cache directory and where the paths of sources begin.
        decode: whether every image is decoded.

    Returns:
        What was found. Nothing is raised for a data set that is missing, wrong or damaged.
    """
    looked_in = _places(entry, paths)
    expected = entry.counts.model_dump(exclude_none=True)
    try:
        reading = read(entry, paths)
    except (OSError, ValueError) as error:
        return Finding(entry.name, looked_in, expected=expected, problems=(str(error),))
    problems, classes = [], None
    try:
        classes = len(fit(entry, reading).classnames)
    except ValueError as error:
        problems.append(str(error))
    if problem := count_problem(entry, reading):
        problems.append(problem)
    if decode:
        problems += _unreadable(reading, paths)
    images = {part: len(found) for part, found in reading.parts.items()}
    return Finding(entry.name, looked_in, reading.place, images, expected, classes, tuple(problems))


def _places(entry: DatasetEntry, paths: Paths) -> tuple[str, ...]:
    places = [] if entry.source is None else [str(paths.data / entry.source.path)]
    if entry.hub is not None:
        commit = entry.hub.revision or "no commit chosen"
        places.append(f"{entry.hub.id} on the Hugging Face hub ({commit})")
    return tuple(places)


def _unreadable(reading: Reading, paths: Paths) -> list[str]:
    try:
        check_images(*reading.parts.values(), paths=paths)
    except ValueError as error:
        return [str(error)]
    return []
