"""Fit the temperature and the threshold of a learner in a folder, and keep them there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift import distributed
from gift.calibration import Calibration, Goal
from gift.data import SKIP_HINT, Paths, TaskLike, as_tasks, check_images, readable
from gift.files import as_json
from gift.learner import CALIBRATION, Learner
from gift.runs import RunFolder
from gift.runs.manifest import read_manifest, write_member


def calibrate(
    folder: Path,
    tasks: TaskLike | Sequence[TaskLike],
    *,
    goal: Goal = "precision",
    target: float = 0.95,
    paths: Paths | None = None,
) -> Calibration:
    """Calibrate the learner in a folder, see :meth:`gift.Learner.calibrate`.

    What is found becomes a file of the learner, ``learner/calibration.json``. It belongs to this
    state of it: a learner that learns another task has none, and one whose last task is taken back
    has that of before.

    Args:
        folder: the learner or run folder.
        tasks: images that were not learned, see :meth:`gift.Learner.learn`.
        goal: what the threshold is chosen for.
        target: the least precision or coverage, in 0..1.
        paths: cache and data directories.

    Raises:
        ValueError: no learner, nothing to calibrate on, or another process changed the learner
            meanwhile.
    """
    chosen = as_tasks(tasks)
    if not chosen:
        raise ValueError("nothing to calibrate on: give --task FOLDER.")
    learner, run = Learner.load(folder, paths=paths), RunFolder(folder)
    manifest = read_manifest(run.learner)
    learner.check_labels(chosen)
    chosen = [readable(task, learner.paths) for task in chosen]
    used = [images for task in chosen if (images := task.evaluation) is not None]
    check_images(*used, paths=learner.paths, hint=SKIP_HINT)
    found = learner.calibrate(chosen, goal=goal, target=target)
    with run.writing():
        if manifest is None or read_manifest(run.learner) != manifest:
            raise ValueError(f"the learner in {folder} changed meanwhile; calibrate it again.")
        if distributed.is_main():
            write_member(run.learner, manifest, CALIBRATION, as_json(found.model_dump()))
    return found
