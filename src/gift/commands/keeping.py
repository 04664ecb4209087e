"""What a learner keeps while it learns a task: on generated images, and on the user's folders."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gift import distributed
from gift.commands.measuring import measure_as_known
from gift.data import Task
from gift.data.labels import repeated
from gift.evaluate import Accuracy
from gift.files import write_json
from gift.forgetting import ForgettingMeter
from gift.learner import Learner
from gift.runs import Kept, KeptFolder, RunFolder

KEPT = "forgetting.json"
"""What was kept while a task was learned, beside it."""


def check_folders(learner: Learner, folders: Sequence[Task]) -> None:
    """Refuse folders on which nothing can be measured, before any work.

    Raises:
        ValueError: folders of one name, without images, or with classes that the model cannot tell
            apart.
    """
    if twice := repeated(folder.name for folder in folders):
        raise ValueError(
            f"several folders to check are called {', '.join(twice)}; rename or leave out some."
        )
    learner.check_labels(folders)


class Keeping:
    """What is measured before a task, to be compared with the same afterwards.

    Args:
        learner: as it is before the task.
        folders: images of the user's, checked by :func:`check_folders`.
    """

    def __init__(self, learner: Learner, folders: Sequence[Task]) -> None:
        self._folders = folders
        self._meter = ForgettingMeter(learner)
        self._before = _accuracies(learner, folders)

    def after(self, learner: Learner, folder: RunFolder) -> Kept:
        """Measure the same as it is after the task, and write it beside the task."""
        started = time.perf_counter()
        task = learner.memory[-1].name
        generated = self._meter.after(learner)
        pairs = zip(self._folders, self._before, _accuracies(learner, self._folders), strict=True)
        folders = [_folder(learner, one, before, after) for one, before, after in pairs]
        kept = Kept(task=task, generated=generated, folders=tuple(folders))
        if generated or folders:
            folder.log("forgetting", task=task, seconds=time.perf_counter() - started)
            if distributed.is_main():
                place = folder.task(len(learner.memory), task) / KEPT
                write_json(place, kept.model_dump(mode="json"))
        return kept


def _accuracies(learner: Learner, folders: Sequence[Task]) -> list[list[Accuracy]]:
    return [measure_as_known(learner, folder) for folder in folders]


def _folder(
    learner: Learner, folder: Task, before: Sequence[Accuracy], after: Sequence[Accuracy]
) -> KeptFolder:
    known = learner.known_task(folder.labels)
    assert folder.evaluation is not None, "it was measured"
    return KeptFolder(
        name=folder.name,
        place=folder.place,
        images=len(folder.evaluation),
        known=known and known.name,
        before=before[0].value,
        after=after[0].value,
        before_seen=before[1].value,
        after_seen=after[1].value,
    )
