"""Fitting the labels that were found to those that an entry expects."""

from __future__ import annotations

from dataclasses import dataclass

from gift.data.entries import DatasetEntry
from gift.data.folder import class_name
from gift.data.labels import LabelSpace
from gift.data.readers.reading import Reading
from gift.text import one_line


@dataclass(frozen=True)
class Words:
    """The classes of a task, and how to get to them.

    Attributes:
        classnames: by label.
        label_of: label as it was found -> label of the task; others are left out.
    """

    classnames: tuple[str, ...]
    label_of: dict[int, int]


def expected_labels(entry: DatasetEntry) -> tuple[str, ...] | None:
    """The label strings that the data set's files should hold, in label order; None: any."""
    return entry.own_labels or entry.listed_names


def fit(entry: DatasetEntry, reading: Reading) -> Words:
    """Match what was found with what the entry says.

    Raises:
        ValueError: unknown, missing or swapped labels, a class without training images, or a
            subset of labels that do not exist.
    """
    if entry.listed_names is not None and not entry.shared_names:
        LabelSpace(entry.name, entry.listed_names, entry.templates)  # refuses repeated names
    names, found = _matched(entry, reading)
    _refuse_empty(entry, reading, names, found)
    chosen = _chosen_labels(entry, len(names))
    classnames = tuple(dict.fromkeys(names[label] for label in chosen))
    new = {name: label for label, name in enumerate(classnames)}
    return Words(classnames, {found[label]: new[names[label]] for label in chosen})


def _matched(entry: DatasetEntry, reading: Reading) -> tuple[tuple[str, ...], list[int]]:
    """Class names by label, and the number that each label has in what was found."""
    names, own = entry.listed_names, entry.own_labels
    if reading.names is None:
        _check_numbers(entry, reading)
        names = names or ()
        return names, list(range(len(names)))
    if names is None:
        return tuple(map(class_name, reading.names)), list(range(len(reading.names)))
    if own is None:
        spelled = {class_name(name): name for name in reading.names}
        own = names if reading.ordered else tuple(spelled.get(class_name(n), n) for n in names)
    if set(own) != set(reading.names):
        missing = one_line(", ".join(sorted(set(own) - set(reading.names)))) or "none"
        extra = one_line(", ".join(sorted(set(reading.names) - set(own)))) or "none"
        raise ValueError(
            f"{entry.name}: the classes in {reading.place} do not fit the class names: missing "
            f"{missing}; unexpected {extra}. {_label_cure(entry)}"
        )
    if reading.ordered and own != reading.names:
        pairs = enumerate(zip(own, reading.names, strict=True))
        label, (wanted, there) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
        raise ValueError(
            f"{entry.name}: the classes in {reading.place} are in another order: label {label} is "
            f"{there!r} there and should be {wanted!r}. {_label_cure(entry)}"
        )
    position = {name: number for number, name in enumerate(reading.names)}
    return names, [position[name] for name in own]


def _check_numbers(entry: DatasetEntry, reading: Reading) -> None:
    count = len(entry.listed_names or ())
    highest = max(max(images.labels, default=0) for images in reading.parts.values())
    if highest >= count:
        raise ValueError(
            f"{entry.name}: {reading.place} has labels up to {highest}, but {count} class names go "
            f"up to label {count - 1}. {_label_cure(entry)}"
        )


def _refuse_empty(
    entry: DatasetEntry, reading: Reading, names: tuple[str, ...], found: list[int]
) -> None:
    there = set(reading.parts["train"].labels)
    if empty := [name for name, number in zip(names, found, strict=True) if number not in there]:
        raise ValueError(
            f"{entry.name}: no training images for {len(empty)} of {len(names)} classes in "
            f"{reading.place}, the first is {empty[0]!r}. {entry.cure}"
        )


def _label_cure(entry: DatasetEntry) -> str:
    if entry.source is not None and entry.source.kind == "folder":
        return "Rename the folders, or give 'classnames' as a mapping folder: class name."
    return entry.cure


def _chosen_labels(entry: DatasetEntry, count: int) -> tuple[int, ...]:
    if entry.subset is None:
        return tuple(range(count))
    if wrong := [label for label in entry.subset.labels if not 0 <= label < count]:
        raise ValueError(
            f"{entry.name}: subset has the label {wrong[0]}, but the data set has the labels 0 to "
            f"{count - 1}; correct 'subset' in its entry."
        )
    return entry.subset.labels
