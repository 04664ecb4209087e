"""Data sets on disk: the folder of an entry becomes a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from gift.data.benchmark import DatasetEntry, class_list
from gift.data.folder import ScannedFolder, class_name, scan
from gift.data.images import ImageFiles
from gift.data.task import Task
from gift.records import LabelSpace


def open_task(entry: DatasetEntry, data_root: Path) -> Task:
    """Open a data set's images below ``data_root``.

    Raises:
        FileNotFoundError: the folder is missing; tells where it was looked for and what to do.
        ValueError: class folders, labels or numbers of images other than the entry says.
    """
    return _open_task(entry, data_root, scan)


def open_entries(entries: Sequence[DatasetEntry], data_root: Path) -> list[Task]:
    """Open several data sets; a folder that they share is listed once. Raises as open_task."""
    scan_once = cache(scan)
    return [_open_task(entry, data_root, scan_once) for entry in entries]


def _open_task(
    entry: DatasetEntry, data_root: Path, listed: Callable[[Path], ScannedFolder]
) -> Task:
    path = data_root / entry.source.path
    if not path.is_dir():
        cure = (
            "a run of a benchmark makes it"
            if entry.made_by
            else "put the data set there, or name the folder that holds it as data root"
        )
        raise FileNotFoundError(f"{entry.name}: no folder {path}; {cure}.")
    scanned = listed(path)
    _check_counts(entry, scanned)
    names, folders = _label_order(entry, scanned.folders, path)
    chosen = _chosen_labels(entry, len(names))
    label_of = {scanned.folders.index(folders[old]): new for new, old in enumerate(chosen)}
    parts = {part: _relabelled(images, label_of) for part, images in scanned.parts.items()}
    labels = LabelSpace(entry.name, tuple(names[label] for label in chosen), entry.templates)
    return Task(labels, parts["train"], parts.get("test"), parts.get("validation"))


def _check_counts(entry: DatasetEntry, scanned: ScannedFolder) -> None:
    for part, expected in entry.counts:
        found = len(scanned.parts[part]) if part in scanned.parts else 0
        if expected is not None and found != expected:
            raise ValueError(
                f"{entry.name}: {expected} {part} images expected in {scanned.path}, but {found} "
                "found; complete the data set, or correct 'counts' in its entry."
            )


def _chosen_labels(entry: DatasetEntry, count: int) -> tuple[int, ...]:
    if entry.subset is None:
        return tuple(range(count))
    if wrong := [label for label in entry.subset.labels if not 0 <= label < count]:
        raise ValueError(
            f"{entry.name}: subset has the label {wrong[0]}, but the data set has the labels 0 to "
            f"{count - 1}; correct 'subset' in its entry."
        )
    return entry.subset.labels


def _relabelled(images: ImageFiles, label_of: dict[int, int]) -> ImageFiles:
    """The images whose label is a key of the mapping, with the label that it has there."""
    kept = images.select([i for i, label in enumerate(images.labels) if label in label_of])
    return ImageFiles(kept.files, tuple(label_of[label] for label in kept.labels))


def _label_order(
    entry: DatasetEntry, found: tuple[str, ...], path: Path
) -> tuple[tuple[str, ...], list[str]]:
    """Class names and their folders, in label order."""
    given = entry.classnames
    if isinstance(given, dict):
        wanted = given
    else:
        by_name = {class_name(folder): folder for folder in found}
        if given is None:
            return tuple(by_name), list(found)
        names = class_list(given) if isinstance(given, str) else given
        LabelSpace(entry.name, names, entry.templates)  # refuses repeated names
        wanted = {by_name.get(class_name(name), name): name for name in names}
    if set(wanted) != set(found):
        missing = ", ".join(sorted(set(wanted) - set(found))) or "none"
        extra = ", ".join(sorted(set(found) - set(wanted))) or "none"
        raise ValueError(
            f"{entry.name}: the class folders in {path} do not fit the class names: missing "
            f"{missing}; unexpected {extra}. Rename the folders, or give 'classnames' as a mapping "
            "folder: class name."
        )
    return tuple(wanted.values()), list(wanted)
