"""Readers of data sets in the layouts in which they are published.

A reader takes a folder and the data set's own label strings in the expected order, and returns what
the files hold. It raises FileNotFoundError or ValueError that names the file.
"""

from collections.abc import Callable
from pathlib import Path

from gift.data.readers import (
    aircraft,
    caltech101,
    cifar100,
    dtd,
    eurosat,
    flowers,
    folder,
    food,
    imagenet,
    mnist,
    oxfordpet,
    stanfordcars,
    sun397,
    tinyimagenet,
)
from gift.data.readers.reading import Reading

READERS: dict[str, Callable[[Path, tuple[str, ...]], Reading]] = {
    "aircraft": aircraft.read,
    "caltech101": caltech101.read,
    "cifar100": cifar100.read,
    "dtd": dtd.read,
    "eurosat": eurosat.read,
    "flowers": flowers.read,
    "folder": folder.read,
    "food": food.read,
    "imagenet": imagenet.read,
    "mnist": mnist.read,
    "oxfordpet": oxfordpet.read,
    "stanfordcars": stanfordcars.read,
    "sun397": sun397.read,
    "tinyimagenet": tinyimagenet.read,
}
"""By the ``kind`` of a data set's source."""
