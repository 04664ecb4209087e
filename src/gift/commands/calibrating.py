"""Fit the temperature and the threshold of a learner in a folder, and keep them there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gift import distributed
from gift.calibration import Calibration, Goal
from gift.data import Paths, Task, check_images
from gift.files import as_json
from gift.learner import CALIBRATION, Learner
from gift.runs import RunFolder
from gift.runs.manifest import read_manifest, write_member


def calibrate(
    folder: Path,
    tasks: Sequence[Task],
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
        tasks: images that were not learned.
        goal: what the threshold is chosen for.
        target: the least precision or coverage, in 0..1.
        paths: cache and data directories.

    Raises:
        ValueError: no learner, nothing to calibrate on, or another process changed the learner
            meanwhile.
    """
    if not tasks:
        raise ValueError("nothing to calibrate on: give --task FOLDER.")
    learner, run = Learner.load(folder, paths=paths), RunFolder(folder)
    manifest = read_manifest(run.learner)
    learner.check_labels(tasks)
    check_images(
        *(images for task in tasks if (images := task.evaluation) is not None), paths=learner.paths
    )
    found = learner.calibrate(tasks, goal=goal, target=target)
    with run.writing():
        if manifest is None or read_manifest(run.learner) != manifest:
            raise ValueError(f"the learner in {folder} changed meanwhile; calibrate it again.")
        if distributed.is_main():
            write_member(run.learner, manifest, CALIBRATION, as_json(found.model_dump()))
    return found
