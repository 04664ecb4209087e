"""Write the classifier of a learner by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift.commands.measuring import MEASURED, read_measured
from gift.data import Paths
from gift.evaluate import Accuracy
from gift.export import Exported, check_request
from gift.learner import Learner
from gift.runs import RunFolder
from gift.text import user_path


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
    found: dict[tuple[str, str], Accuracy] = {}
    for position, name in enumerate(tasks, start=1):
        for one in read_measured(folder.task(position, name) / MEASURED):
            found[one.task, one.among] = one
    return list(found.values())
