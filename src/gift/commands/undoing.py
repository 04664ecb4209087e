"""Take back the last task of a learner."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from gift.config import LearnerConfig, changed
from gift.history import read_history
from gift.runs import RunFolder
from gift.runs.manifest import damage, read_manifest
from gift.runs.undoing import begin_undo, discarded, undone
from gift.text import one_line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Undo:
    """A task that is taken back.

    Attributes:
        task: its name.
        tasks: the names of the tasks that stay learned, in order.
    """

    task: str
    tasks: tuple[str, ...]


def undoable(folder: Path) -> Undo:
    """What :func:`undo` would take back; nothing changes.

    Raises:
        ValueError: see :func:`undo`.
    """
    run_folder = RunFolder(folder)
    if run_folder.read_matrix() is not None:
        raise ValueError(
            f"{folder} holds the run of a benchmark, whose results belong to all of its tasks; to "
            "go back, run it again in another folder (gift run ... --out FOLDER)."
        )
    run_folder.whole_learner()
    states = (run_folder.learner, discarded(run_folder.learner))
    own = read_manifest(next(state for state in states if state.is_dir()))
    assert own is not None, "it is whole"
    begun = undone(run_folder.learner)
    previous = begun if begun.is_dir() else run_folder.previous_learner
    if not previous.is_dir():
        learned = one_line(", ".join(own.tasks))
        why = (
            "before it was only the pre-trained model: to begin again, remove the folder"
            if len(own.tasks) == 1
            else "only one step back is kept, and it was taken already: to go back further, use "
            "a copy of the folder"
        )
        raise ValueError(f"{folder} keeps no state before the last task (of {learned}); {why}.")
    if problem := damage(previous):
        raise ValueError(f"{previous}: {problem}. Put back a copy of the folder.")
    before = read_manifest(previous)
    assert before is not None, "it is whole"
    if (before.run, before.tasks) != (own.run, own.tasks[:-1]):
        raise ValueError(
            f"{previous} is not the learner of one task before (it has learned "
            f"{one_line(', '.join(before.tasks)) or 'nothing'}). Put back a copy of the folder."
        )
    return Undo(own.tasks[-1], before.tasks)


def undo(folder: Path) -> Undo:
    """Let the learner in a folder be as it was before its last task.

    The state after that task, what was measured then and the record of its images are deleted. A
    process that is killed meanwhile leaves the learner before or after; the next one that writes in
    the folder finishes what it began. One step back is kept: the state before is the learner then,
    and what is learned next can be taken back again.

    Args:
        folder: the learner folder.

    Raises:
        ValueError: it holds no learner or the run of a benchmark, or the state before the last task
            is not there (of the first task, or where a task was taken back already), or not whole.
        OSError: the folder cannot be written.
    """
    run_folder = RunFolder(folder)
    found = undoable(folder)  # a folder that holds nothing is not made
    was_begun = undone(run_folder.learner).is_dir()
    with run_folder.writing():  # which finishes one that was interrupted
        if not was_begun:
            found = undoable(folder)
            _restore_settings(run_folder, found)
            begin_undo(run_folder)
        run_folder.log("undo", task=found.task)
    return found


def _restore_settings(folder: RunFolder, undo: Undo) -> None:
    """Bring back the settings that the last task which stays was learned with, if they are known.

    Those that do not bear on results stay as they are.
    """
    before = read_history(folder.previous_learner, undo.tasks)[-1].settings
    if before is not None:
        config = folder.read_config(LearnerConfig)
        folder.write_config(changed(config, before, f"the learner in {folder.path}"))
