"""What ``events.jsonl``, ``matrix.json`` and ``summary.json`` hold, and how they are read."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from gift.files import as_json
from gift.metrics import AccuracyMatrix
from gift.runs.manifest import read_manifest, read_member

log = logging.getLogger(__name__)

EARLIER_STAGES = {"paint": "generate"}
"""Names of stages in the files of earlier versions -> their names now."""


class Event(BaseModel):
    """One line of ``events.jsonl``: a logged step, a stage that ended, or what is measured.

    Attributes:
        time: seconds since 1970.
        stage: ``prepare``, ``generate``, ``train``, ``merge``, ``evaluate`` or ``matrix``.
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
        matrix: ``matrix.json`` before the first task; the later rows follow as evaluations.
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
    seconds: float | None = None
    matrix: dict[str, Any] | None = None


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
    transfer: float | None
    avg: float
    last: float
    forgetting: float | None
    backward_transfer: float | None
    zero_shot: dict[str, float]
    seconds: dict[str, float]
    storage: Storage | None = None
    steps_left_out: int = 0
    peak_memory_mb: float | None
    command: str | None
    changes: dict[str, object] = {}


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


def read_summary(folder: Path) -> Summary | None:
    """A folder's ``summary.json``; None where there is none.

    Raises:
        ValueError: it was altered, or is no summary.
    """
    content = read_member(folder, "summary.json")
    try:
        return None if content is None else Summary.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"{folder / 'summary.json'} is no summary of a run ({first['msg']}: "
            f"{'.'.join(map(str, first['loc']))})."
        ) from None


def read_matrix(folder: Path) -> AccuracyMatrix | None:
    """A folder's ``matrix.json``; None where there is none.

    One that was altered is rebuilt from ``events.jsonl`` where a checksum proves the result right.

    Raises:
        ValueError: it is altered and cannot be rebuilt, or is no matrix.
    """
    hint = "Put back a copy of it, or start again in another folder."
    try:
        content = read_member(folder, "matrix.json")
    except ValueError as problem:
        if (matrix := _rebuilt_matrix(folder)) is None:
            raise ValueError(f"{problem} {hint}") from None
        log.warning("%s It is rebuilt from events.jsonl.", problem)
        return matrix
    try:
        return None if content is None else AccuracyMatrix.from_json(json.loads(content))
    except (ValueError, KeyError, TypeError) as error:
        path = folder / "matrix.json"
        raise ValueError(f"{path} is damaged ({error!r}). {hint}") from None


def _rebuilt_matrix(folder: Path) -> AccuracyMatrix | None:
    """The longest matrix from the log of evaluations whose checksum is in the manifest."""
    matrix, rows = None, {}
    for event in read_events(folder):
        if event.stage == "evaluate":
            rows[event.task] = event.accuracy
        elif event.matrix:
            matrix = AccuracyMatrix.from_json(event.matrix)
    manifest, found = read_manifest(folder), None
    while matrix is not None and manifest is not None:
        text = as_json(matrix.to_json())
        if manifest.accepts("matrix.json", hashlib.sha256(text.encode()).hexdigest()):
            found = matrix
        row = None if matrix.complete else rows.get(matrix.tasks[len(matrix.accuracy)])
        matrix = matrix.with_row([row.get(name) for name in matrix.tasks]) if row else None
    return found
