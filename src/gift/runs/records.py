"""What ``events.jsonl``, ``matrix.json`` and ``summary.json`` hold, and how they are read."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gift.explain import explain
from gift.metrics import AccuracyMatrix
from gift.runs.manifest import read_member
from gift.textfiles import parse_json

log = logging.getLogger(__name__)

EARLIER_STAGES = {"paint": "generate"}
"""Names of stages in the files of earlier versions -> their names now."""


class Event(BaseModel):
    """One line of ``events.jsonl``: a logged step, or a stage that ended.

    Attributes:
        time: seconds since 1970.
        stage: ``prepare``, ``generate``, ``train``, ``merge`` or ``evaluate``.
        task: name of the task; ``zero-shot`` for an evaluation before the first one.
        step: number of a training step, from 0.
        losses: of the step, by name.
        lr: learning rate of the step.
        images_per_second: since the training was started.
        left_out: whether the step was skipped since a loss was not finite.
        images: number of synthetic images that were generated or taken from the cache.
        cached: how many were taken from the cache; the time of generating them is not in seconds.
        accuracy: percent by task.
        seconds: duration of a stage.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    time: float = 0.0
    stage: str
    task: str = ""
    step: int | None = None
    losses: dict[str, float | None] = {}
    lr: float | None = None
    images_per_second: float | None = None
    left_out: bool = False
    images: int | None = None
    cached: int = 0
    accuracy: dict[str, float] = {}
    seconds: Annotated[float, Field(ge=0, le=1e10)] | None = None


class Storage(BaseModel):
    """What a learner keeps between tasks, and what prediction takes beside one model.

    Attributes:
        model_bytes: of the model's weights.
        method_bytes: of what the method keeps beside them.
        extra_parameters: numbers that prediction needs beside the weights of one model.
    """

    model_config = ConfigDict(frozen=True)

    model_bytes: int
    method_bytes: int
    extra_parameters: int


Rounded = Annotated[float, AfterValidator(lambda value: round(value, 4))]
"""A figure with four decimals."""


class Summary(BaseModel):
    """``summary.json``: the metrics of a finished run, computed from its matrix, and its costs.

    Attributes:
        method: its name.
        benchmark: its name.
        version: of the benchmark.
        seed: of the run.
        setting: what was measured, see ``docs/run-folder.md``.
        transfer, avg, last: percent; None where one does not exist.
        forgetting, backward_transfer: points; None for a single task.
        zero_shot: percent of the model before the first task, by task, and their ``mean``.
        seconds: by stage, and their ``total``.
        storage: None in summaries of versions that did not measure it.
        steps_left_out: steps that were skipped since a loss was not finite.
        peak_memory_mb: largest resident memory of the process.
        command: how the run was started.
        changes: what the configuration changes of the benchmark's recipe, by dotted path.
    """

    model_config = ConfigDict(frozen=True)

    method: str
    benchmark: str
    version: int
    seed: int
    setting: dict[str, object] = {}
    transfer: Rounded | None
    avg: Rounded
    last: Rounded
    forgetting: Rounded | None
    backward_transfer: Rounded | None
    zero_shot: dict[str, Rounded]
    seconds: dict[str, float]
    storage: Storage | None = None
    steps_left_out: int = 0
    peak_memory_mb: float | None
    command: str | None
    changes: dict[str, object] = {}


class KeptGroup(BaseModel):
    """What a learner said of held-out generated images before and after a task.

    Attributes:
        name: the earlier task whose class names are on the images; empty for the general ones.
        classes: how many names competed, those of the group.
        images: how many images.
        agreement: percent of them whose most probable class is the one of before.
        before, after: percent of them whose most probable class is the name in their prompt.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    classes: int
    images: int
    agreement: Rounded
    before: Rounded
    after: Rounded


class KeptFolder(BaseModel):
    """Accuracy on a folder of images before and after a task.

    Attributes:
        name: of its task.
        place: where it is.
        images: how many were classified.
        known: name of the learned task that it was measured as; None where it is none.
        before, after: percent among its own classes.
        before_seen, after_seen: percent among all classes seen by then.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    place: str
    images: int
    known: str | None
    before: Rounded
    after: Rounded
    before_seen: Rounded
    after_seen: Rounded


class Kept(BaseModel):
    """``tasks/NN-name/forgetting.json``: what was kept while a task was learned.

    Attributes:
        task: its name.
        generated: of generated images: general class names first, then earlier tasks' in order.
        folders: those that the user named.
    """

    model_config = ConfigDict(frozen=True)

    task: str
    generated: tuple[KeptGroup, ...] = ()
    folders: tuple[KeptFolder, ...] = ()

    def in_words(self) -> str:
        """One line that says what happened; empty where nothing was measured."""
        parts = []
        if total := sum(group.images for group in self.generated):

            def percent(values: Iterable[float]) -> float:
                pairs = zip(self.generated, values, strict=True)
                return sum(group.images * value for group, value in pairs) / total

            agreement = percent(group.agreement for group in self.generated)
            before = percent(group.before for group in self.generated)
            after = percent(group.after for group in self.generated)
            parts.append(
                f"{agreement:.1f} % of the answers on {total} generated images are as before, "
                f"{before:.1f} % were correct and {after:.1f} % are now"
            )
        if self.folders:
            change = sum(one.after - one.before for one in self.folders) / len(self.folders)
            what = "folder" if len(self.folders) == 1 else f"{len(self.folders)} folders"
            parts.append(f"the accuracy on the {what} changed by {change:+.1f} points")
        return f"kept: {'; '.join(parts)}." if parts else ""


def read_kept(path: Path) -> Kept | None:
    """A task's ``forgetting.json``; None where there is none.

    Raises:
        ValueError: it is none.
    """
    if not path.is_file():
        return None
    try:
        return Kept.model_validate(parse_json(path.read_bytes(), str(path)))
    except ValidationError as error:
        raise ValueError(f"{path} is damaged: {explain(error, Kept)}") from None


def read_events(folder: Path) -> list[Event]:
    """The complete lines of a folder's ``events.jsonl``.

    Damaged ones are counted in a warning and skipped; an incomplete last line is being written.
    """
    path = folder / "events.jsonl"
    if not path.is_file():
        return []
    events, damaged = [], 0
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            events.append(Event.model_validate_json(line))
        except ValidationError:
            damaged += 1
    if damaged:
        log.warning("%s: %d lines are damaged and skipped.", path, damaged)
    return events


def stage_seconds(events: Iterable[Event]) -> dict[str, float]:
    """Seconds by stage, over all the starts of a run."""
    seconds: dict[str, float] = {}
    for event in events:
        if event.seconds is not None:
            stage = EARLIER_STAGES.get(event.stage, event.stage)
            seconds[stage] = seconds.get(stage, 0.0) + event.seconds
    return seconds


def read_summary(folder: Path) -> Summary | None:
    """A folder's ``summary.json``; None where there is none.

    Raises:
        ValueError: it was altered, or is no summary.
    """
    try:
        content = read_member(folder, "summary.json")
        if content is None:
            return None
        return Summary.model_validate(parse_json(content, str(folder / "summary.json")))
    except ValidationError as error:
        problem = explain(error, Summary)
        raise ValueError(f"{folder / 'summary.json'} is no summary of a run: {problem}") from None
    except ValueError as problem:
        raise ValueError(
            f"{problem} To compute it anew, remove {folder / 'DONE'} and run the same command."
        ) from None


def read_matrix(folder: Path) -> AccuracyMatrix | None:
    """A folder's ``matrix.json``; None where there is none.

    Raises:
        ValueError: it was altered, or is no matrix.
    """
    hint = (
        "Put back a copy of it, or start again in another folder; the figures also stand in "
        f"{folder / 'tasks' / '*' / 'eval.json'}."
    )
    try:
        content = read_member(folder, "matrix.json")
    except ValueError as problem:
        raise ValueError(f"{problem} {hint}") from None
    try:
        if content is None:
            return None
        return AccuracyMatrix.from_json(parse_json(content, str(folder / "matrix.json")))
    except ValueError as error:
        path = folder / "matrix.json"
        reason = str(error).removeprefix(f"{path} is damaged, ").removesuffix(".")
        raise ValueError(f"{path} is damaged ({reason}). {hint}") from None
