"""What people give as a task: a folder, a table of paths and labels, a data set, or a task."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from gift.data.tables import SUFFIXES
from gift.data.task import Task
from gift.text import shortened, user_path

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

TaskLike: TypeAlias = "Task | str | os.PathLike[str] | Dataset | DatasetDict"
"""What :func:`as_task` makes a task of."""


def as_task(source: TaskLike) -> Task:
    """A task as it is, or what a folder, a table of paths and labels or a data set holds.

    See :meth:`Task.from_folder`, :meth:`Task.from_csv` and :meth:`Task.from_dataset`, which take
    options.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: something else, or one that cannot be used.
    """
    if isinstance(source, Task):
        return source
    if isinstance(source, str | os.PathLike):
        return Task.from_csv(source) if is_table(source) else Task.from_folder(source)
    from datasets import Dataset, DatasetDict

    if isinstance(source, Dataset | DatasetDict):
        return Task.from_dataset(source)
    raise ValueError(
        f"{shortened(source)} is no task; give a Task, the path of a folder of images or of a "
        "table of paths and labels (.csv, .tsv, .jsonl), or a datasets.Dataset."
    )


def as_tasks(sources: TaskLike | Sequence[TaskLike]) -> list[Task]:
    """One task or several, see :func:`as_task`."""
    if isinstance(sources, list | tuple):
        return [as_task(source) for source in sources]
    return [as_task(sources)]


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a table of image paths and labels; a folder is none."""
    found = user_path(path)
    return found.suffix.lower() in SUFFIXES and not found.is_dir()
