"""Which tasks a learner can learn next: what is refused before any work, and what is filled in."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from gift.data import Task
from gift.data.labels import LabelSpace, grown, rivals, tasks_of
from gift.methods import Method
from gift.text import some_of, unknown
from gift.vlm import VisionLanguageModel, check_classes, read_alike

log = logging.getLogger(__name__)


def extended(task: Task, learned: Sequence[LabelSpace]) -> Task:
    """A task that extends an earlier one, with the templates of that one; others as they are."""
    known = {labels.name: labels.templates for labels in tasks_of(learned)}
    templates = known.get(task.labels.extends, task.labels.templates)
    return replace(task, labels=replace(task.labels, templates=templates))


def check_task(
    task: Task, model: VisionLanguageModel, method: Method, learned: Sequence[LabelSpace]
) -> None:
    """Refuse a task that cannot be learned, before any work.

    Args:
        task: what shall be learned.
        model: reads its class names.
        method: learns it.
        learned: the label spaces learned before it.

    Raises:
        ValueError: no training images, a name that was learned before, a single class where no
            other was learned, classes that the model cannot tell apart
            (:func:`gift.vlm.check_classes`), or an extension of a task that was not learned, or
            by a method that has a model for each task.
    """
    labels = task.labels
    if not task.train:
        raise ValueError(f"task {task.name!r} has no training images; add some.")
    if task.name in {one.name for one in learned}:
        raise ValueError(
            f"a task named {task.name!r} was already learned; give this one another name (--name)."
        )
    if labels.extends:
        _check_extension(labels, method, learned)
    space = grown(labels, learned)
    check_classes(model, [space])
    if method.trains:
        names = labels.classnames
        others = [name for one in rivals(labels, learned) for name in one.classnames]
        alike = read_alike(model, [*names, *others])
        if len(names) == 1 and all(alike[name] == names[0] for name in others):
            raise ValueError(
                f"task {task.name!r} has one class, {names[0]!r}, and nothing to tell it "
                "from, so nothing would be learned; put other classes beside it, "
                "those that it is mistaken for above all, or learn another task first."
            )
        check_classes(model, [replace(space, templates=space.templates[:1])])


def _check_extension(labels: LabelSpace, method: Method, learned: Sequence[LabelSpace]) -> None:
    known = [one.name for one in tasks_of(learned)]
    if labels.extends not in known:
        raise ValueError(f"nothing can be added to it: {unknown('task', labels.extends, known)}")
    if method.one_per_task:
        raise ValueError(
            f"no classes can be added to the task {labels.extends!r}: {method.name()} has "
            "a model for each task, made from all its images. Learn them as a task of "
            f"their own (without --into), or all classes of {labels.extends!r} again as a task of "
            "another name, with old and new images."
        )


def say_known(
    labels: LabelSpace, model: VisionLanguageModel, learned: Sequence[LabelSpace]
) -> None:
    """Log which classes of a new task were learned before.

    Args:
        labels: of the task.
        model: reads class names.
        learned: the label spaces learned before it.
    """
    names = [name for space in (*learned, labels) for name in space.classnames]
    alike = read_alike(model, names)
    known = {alike[name]: space.name for space in learned for name in space.classnames}
    if again := [name for name in labels.classnames if alike[name] in known]:
        log.info(
            "%s: %d of its classes were learned before: %s. Among all classes seen, each is one "
            "class.",
            labels.name,
            len(again),
            some_of([f"{name} (in {known[alike[name]]})" for name in again]),
        )
