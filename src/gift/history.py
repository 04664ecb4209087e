"""What a learner remembers of how its tasks were learned."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from gift.files import as_json, read_json, write_text

_FILE = "history.json"


class TaskRecord(BaseModel):
    """How one task was learned; what is not known, as of learners of older versions, is None.

    Attributes:
        name: of the task.
        learned: when, as UTC in ISO 8601.
        classes: how many it has.
        images: how many training images were learned.
        skipped: how many images could not be read.
        validation_images: how many were held out of them to choose the best checkpoint.
        best_step: steps that the kept weights had, where the best checkpoint was chosen.
        validation_accuracy: percent, of those weights on the images held out.
        seconds: of the last start of its training.
        device: such as ``cpu`` or ``cuda:0``.
        version: of this package.
        settings: all that bear on results, nested.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    learned: str | None = None
    classes: int | None = None
    images: int | None = None
    skipped: int = 0
    validation_images: int = 0
    best_step: int | None = None
    validation_accuracy: float | None = None
    seconds: float | None = None
    device: str | None = None
    version: str | None = None
    settings: dict[str, Any] | None = None


_Records = TypeAdapter(tuple[TaskRecord, ...])


def utc_now() -> str:
    """The time in UTC as ISO 8601, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write_history(folder: Path, records: Sequence[TaskRecord]) -> None:
    """Write the records into a learner's folder."""
    values = _Records.dump_python(tuple(records), mode="json")
    write_text(folder / _FILE, as_json(values))


def read_history(folder: Path, tasks: Sequence[str]) -> tuple[TaskRecord, ...]:
    """The records of a learner's tasks, in order.

    Args:
        folder: the learner's.
        tasks: names of the tasks; of those without a record only the name is known.
    """
    path = folder / _FILE
    known = _Records.validate_python(read_json(path)) if path.is_file() else ()
    by_name = {record.name: record for record in known}
    return tuple(by_name.get(name, TaskRecord(name=name)) for name in tasks)
