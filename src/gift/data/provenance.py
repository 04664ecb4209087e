"""What exactly a task's numbers are measured on, in a form that two runs can compare."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from gift.data.entries import DatasetEntry
from gift.data.images import ImageSet
from gift.data.labels import LabelSpace
from gift.data.paths import Paths
from gift.data.task import Task


def provenance(entry: DatasetEntry, task: Task, paths: Paths) -> dict[str, Any]:
    """A task's images and words: place, numbers and checksums.

    The checksums are of what each part holds in which order with which labels, and of the words;
    they do not depend on where the files lie, on their times or on their content.

    Args:
        entry: the data set.
        task: the task as it is learned and measured.
        paths: places below its data directory are given from there.
    """
    place = Path(task.place)
    parts = {"train": task.train, "test": task.evaluation}
    return {
        "data_set": entry.whole_name,
        "version": entry.version,
        "place": str(place.relative_to(paths.data)) if paths.data in place.parents else task.place,
        "metric": task.metric,
        "classes": len(task.labels.classnames),
        "words": _checksum(task.labels),
        **{
            part: {"images": len(images), "checksum": images.checksum}
            for part, images in parts.items()
            if isinstance(images, ImageSet)
        },
    }


def _checksum(labels: LabelSpace) -> str:
    """16 hex digits of class names and templates."""
    words = json.dumps([labels.classnames, labels.templates])
    return hashlib.sha256(words.encode()).hexdigest()[:16]
