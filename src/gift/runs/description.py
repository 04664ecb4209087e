"""What a learner's folder says of the learner."""

from __future__ import annotations

from dataclasses import dataclass

from gift.runs.records import Kept
from gift.settings import Values


@dataclass(frozen=True)
class TaskInfo:
    """A task that a learner has learned; None stands for what is not known.

    Attributes:
        name: of the task.
        classes: class names in label order.
        templates: prompt templates.
        extends: the earlier task that its classes were added to; empty for a task of its own.
        images: how many training images were learned.
        place: the folder that they were read from.
        learned: when, in UTC as ISO 8601.
        seconds: how long it took.
        device: where.
        settings: those that differ from the method's defaults, by dotted path.
        then, then_seen: accuracy in percent when it was just learned, among its own classes and
            among all classes seen by then.
        now, now_seen: the same after the last task.
        kept: what was kept of what was known before.
    """

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    extends: str
    images: int | None
    place: str | None
    learned: str | None
    seconds: float | None
    device: str | None
    settings: Values
    then: float | None
    then_seen: float | None
    now: float | None
    now_seen: float | None
    kept: Kept | None

    def other_settings(self, settings: Values) -> Values:
        """The settings that it was learned with, where they are others than those of a learner.

        Args:
            settings: the learner's, as in :attr:`LearnerInfo.settings`.
        """
        if not self.settings:  # they are not known
            return {}
        every = {**settings, **self.settings}
        return {
            path: self.settings.get(path, "the default")
            for path, value in every.items()
            if self.settings.get(path) != settings.get(path)
        }


@dataclass(frozen=True)
class LearnerInfo:
    """A learner in a folder.

    Attributes:
        folder: where it is.
        model: what it started from.
        method: name of its method.
        generator: of synthetic images; None where the method uses none.
        settings: those of the next task that differ from the method's defaults, by dotted path.
        plain_model: what the model folder is, in words.
        tasks: learned so far, in order.
        model_bytes: of the model's folder.
        method_bytes: of what the method keeps beside it.
        previous_bytes: of the state before the last task; 0 where it is not there.
        undo: the task that ``gift undo`` takes back; None where it cannot.
    """

    folder: str
    model: str
    method: str
    generator: str | None
    settings: Values
    plain_model: str
    tasks: tuple[TaskInfo, ...]
    model_bytes: int
    method_bytes: int
    previous_bytes: int
    undo: str | None
