"""Write the classifier of a learner by itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gift.commands.measuring import MEASURED
from gift.data import Paths
from gift.evaluate import Accuracy
from gift.export import Exported, check_request
from gift.files import read_json
from gift.learner import Learner
from gift.runs import RunFolder
from gift.text import one_line, user_path

log = logging.getLogger(__name__)


def export(
    folder: Path,
    out: Path,
    task: str | None = None,
    formats: Sequence[str] = ("transformers",),
    *,
    paths: Paths | None = None,
) -> Exported:
    """Write the classifier of the learner in a folder by itself, see :meth:`Learner.export`.

    The accuracies that were measured after its tasks are in the model card.
    """
    check_request(user_path(out), formats)
    learner = Learner.load(folder, paths=paths)
    accuracies = _measured(RunFolder(folder), [labels.name for labels in learner.memory])
    return learner.export(out, task=task, formats=formats, accuracies=accuracies)


def _measured(folder: RunFolder, tasks: Sequence[str]) -> list[Accuracy]:
    """The last measured accuracies of each task, among each set of classes."""
    read = TypeAdapter(list[Accuracy]).validate_python
    found: dict[tuple[str, str], Accuracy] = {}
    for position, name in enumerate(tasks, start=1):
        path = folder.task(position, name) / MEASURED
        if not path.is_file():
            continue
        try:
            accuracies = read(read_json(path)["accuracy"])
        except (ValueError, TypeError, KeyError, ValidationError):
            log.warning("%s is damaged; the model card is without it.", one_line(path))
            continue
        found |= {(one.task, one.among): one for one in accuracies}
    return list(found.values())
