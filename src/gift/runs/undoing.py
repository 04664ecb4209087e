"""Taking back a learner's last task: the state of one task before is put in its place.

Renaming ``learner.previous`` to ``learner.undo`` decides it. What follows can be done any number of
times, so the next process that writes in the folder finishes what a killed one began.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from gift.runs.manifest import read_manifest, write_manifest

if TYPE_CHECKING:
    from gift.runs.folder import RunFolder


def undone(learner: Path) -> Path:
    """Where the state waits that takes a learner's place."""
    return learner.with_name(f"{learner.name}.undo")


def discarded(learner: Path) -> Path:
    """Where the learner's state lies that is being deleted."""
    return learner.with_name(f"{learner.name}.discarded")


def begin_undo(folder: RunFolder) -> None:
    """Take the last task back.

    Args:
        folder: whose state of one task before is whole; this process writes in it.
    """
    folder.data()  # is refused now if it cannot be read
    folder.previous_learner.rename(undone(folder.learner))
    finish_undo(folder)


def finish_undo(folder: RunFolder) -> None:
    """Bring the folder to the state that waits, and delete what is of later tasks; else nothing."""
    state = undone(folder.learner)
    if state.is_dir() and (manifest := read_manifest(state)):
        _remove_tasks(folder.path / "tasks", after=len(manifest.tasks))
        folder.keep_data(manifest.tasks)
        if root := read_manifest(folder.path):
            write_manifest(folder.path, root.model_copy(update={"tasks": manifest.tasks}))
        if folder.learner.is_dir():
            folder.learner.rename(discarded(folder.learner))
        state.rename(folder.learner)
    shutil.rmtree(discarded(folder.learner), ignore_errors=True)


def _remove_tasks(tasks: Path, *, after: int) -> None:
    """Remove the folders of the tasks behind a position: what is measured there is no more."""
    for path in tasks.glob("[0-9][0-9]*-*"):
        number = path.name.partition("-")[0]
        if number.isdecimal() and int(number) > after:
            shutil.rmtree(path)
