"""Learn one more task, in a folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gift import distributed
from gift.admission import extended
from gift.commands.keeping import Keeping, check_folders
from gift.commands.measuring import MEASURED, keep
from gift.commands.opening import open_config, open_learner
from gift.commands.planning import Confirm, plan_learning, worth_timing
from gift.config import LearnerConfig
from gift.data import (
    SKIP_HINT,
    Paths,
    Task,
    TaskLike,
    as_task,
    as_tasks,
    check_images,
    provenance,
    readable,
)
from gift.data.output import refuse_data
from gift.evaluate import Accuracy
from gift.learner import Learner
from gift.runs import Kept, RunFolder
from gift.text import did_you_mean, one_line
from gift.tracking import tracked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learned:
    """A task that a learner has just learned.

    Attributes:
        task: its name.
        before: accuracy before it was learned: among its own classes, and among all classes seen
            and its own.
        after: the same afterwards.
        tasks: the names of all tasks learned so far.
        skipped: how many of its images could not be read and were skipped.
        plain_model: what the model folder of the learner is, in words.
        one_per_task: whether every task has a model of its own, to be exported.
        kept: what was kept of what it knew before.
    """

    task: str
    before: tuple[Accuracy, Accuracy]
    after: tuple[Accuracy, Accuracy]
    tasks: tuple[str, ...]
    skipped: int
    plain_model: str
    one_per_task: bool
    kept: Kept


def learn(
    folder: Path,
    task: TaskLike,
    settings: Mapping[str, object] | None = None,
    *,
    check: Sequence[TaskLike] = (),
    paths: Paths | None = None,
    confirm: Confirm | None = None,
) -> Learned:
    """Let the learner in a folder learn one more task.

    Where a process was killed after it had saved the learner, the same call measures what it was to
    measure.

    Args:
        folder: the learner folder; made if it is not there.
        task: what to learn, see :meth:`gift.learner.Learner.learn`.
        settings: fields of :class:`~gift.config.LearnerConfig`. An existing learner keeps what it
            was given before; what its state depends on (model, method, and settings of the method
            that are :func:`~gift.settings.Fixed`) cannot change.
        check: folders whose accuracy is measured before and after.
        paths: cache and data directories.
        confirm: see :data:`gift.commands.planning.Confirm`.

    Raises:
        ValueError: wrong input, or other values of what an existing learner's state depends on.
        OSError: the folder cannot be written.
    """
    task = as_task(task)
    if task.place:
        refuse_data(folder, "the learner folder", Path(task.place))
    run_folder = RunFolder(folder)
    if run_folder.read_matrix() is not None:
        raise ValueError(
            f"{folder} holds the run of a benchmark; to let its learner learn more, copy "
            f"{folder}/config.yaml and {folder}/learner into a new folder and name that."
        )
    config = open_config(run_folder, settings or {})
    distributed.initialise()
    with run_folder.writing(), tracked(run_folder, config):
        if run_folder.has_learner:
            run_folder.whole_learner()  # to resume from the one before would lose a task
        learner = open_learner(run_folder, config, paths)
        run_folder.write_config(config)
        learner.check()
        task = extended(task, learner.memory)
        saved = _only_saved(run_folder, learner, task)
        if not saved:
            learner.check_task(task)
        task, *checked = (readable(one, learner.paths) for one in (task, *as_tasks(check)))
        check_folders(learner, checked)
        measured = (task, *checked)
        used = [one for one in (task.train, *(one.evaluation for one in measured)) if one]
        check_images(*used, paths=learner.paths, hint=SKIP_HINT)
        described = asdict(provenance(task, learner.paths))
        if saved and not run_folder.is_data(task.name, described):
            raise ValueError(
                f"a task named {task.name!r} was already learned, from other images; give this one "
                "another name."
            )
        if not saved:
            _hint_at_other_tasks(config, learner, task)
            learned = [labels.name for labels in learner.memory]
            run_folder.add_data(task.name, described, only=learned)
            run_folder.write_inputs(learner.inputs, may_change=True)
            if confirm is not None:
                confirm(worth_timing(plan_learning(learner, task, checked), learner, task))
            learner.streams.begin(learner.memory)  # a generator that fails does so before all work
        earlier = _before_last(run_folder, learner) if saved else learner
        keeping = Keeping(earlier, checked)
        before = earlier.measure(task)
        if not saved:
            learner.learn(task, folder=run_folder)
            learner.save(folder)
        started = time.perf_counter()
        after = learner.measure(task)
        kept = keeping.after(learner, run_folder)
        keep(learner, after, run_folder, time.perf_counter() - started)
    names = tuple(labels.name for labels in learner.memory)
    method = learner.method
    return Learned(
        task.name, before, after, names, task.skipped, method.plain_model, method.one_per_task, kept
    )


def _only_saved(folder: RunFolder, learner: Learner, task: Task) -> bool:
    """Whether a task like this was learned and saved last, but not measured."""
    measured = folder.task(len(learner.memory), task.name) / MEASURED
    return learner.memory[-1:] == (task.labels,) and not measured.exists()


def _before_last(folder: RunFolder, learner: Learner) -> Learner:
    """The learner as it was before its last task."""
    if len(learner.memory) == 1:
        return Learner(learner.config, paths=learner.paths)
    return Learner.load(folder.path, paths=learner.paths, config=learner.config, state="previous")


def _hint_at_other_tasks(config: LearnerConfig, learner: Learner, task: Task) -> None:
    """Say which names of tasks in the settings are none so far: they may be misspelt."""
    known = {task.name, *(labels.name for labels in learner.memory)}
    spaces = (task.labels, *learner.memory)
    classes = {name for labels in spaces for name in labels.classnames}
    excluded = set(config.synthesis.exclude)
    if excluded:
        excluded -= {*classes, *learner.streams.base_classnames}
    for setting, names in (
        ("training.learning_rates", config.training.learning_rates),
        ("synthesis.exclude", sorted(excluded)),
    ):
        for name in (name for name in names if name not in known):
            log.warning(
                "%s names %s, which is no task so far (%s).%s",
                setting,
                one_line(name),
                one_line(", ".join(sorted(known))),
                did_you_mean(name, known),
            )
