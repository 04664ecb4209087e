"""Run folders on disk -> typed values. Tolerant: only ``matrix.json`` has to be there."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from gift.files import unaltered
from gift.metrics import AccuracyMatrix
from gift.runs.folder import EARLIER_STAGES

STAGES = ("prepare", "generate", "train", "merge", "evaluate", "total")


@dataclass(frozen=True)
class TrainStep:
    """One logged training step of one task."""

    task: str
    step: int
    losses: dict[str, float]


@dataclass(frozen=True)
class SyntheticImage:
    """One painted image and the prompt it was painted from."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Data:
    """What a run was trained and measured on.

    Attributes:
        train: number of training images of all tasks.
        test: number of measured images of all tasks.
        checksum: 16 hex digits of all images, labels and words; equal for equal data.
    """

    train: int
    test: int
    checksum: str


@dataclass(frozen=True)
class Storage:
    """What a finished run keeps.

    Attributes:
        model_bytes: of the model's weights.
        method_bytes: of what the method keeps beside them from task to task.
        extra_parameters: numbers that predict beside the model's own.
    """

    model_bytes: int
    method_bytes: int
    extra_parameters: int


@dataclass(frozen=True)
class Run:
    """What one run folder holds.

    ``seconds`` maps a stage to its duration, in the order in which a run goes through them.
    ``samples`` maps a task to some of the images painted for it.
    """

    folder: Path
    method: str
    seed: int | None
    matrix: AccuracyMatrix
    steps: tuple[TrainStep, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float | None = None
    command: str | None = None
    config: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    samples: dict[str, tuple[SyntheticImage, ...]] = field(default_factory=dict)
    data: Data | None = None
    storage: Storage | None = None

    @property
    def folder_name(self) -> str:
        """The name of the run's folder, for people."""
        return printable(self.folder.name)

    @property
    def learned(self) -> int:
        """How many tasks were learned."""
        return len(self.matrix.accuracy)

    @property
    def modified(self) -> bool:
        """Whether the run came from source code with uncommitted changes."""
        return self.environment.get("clean") == "False"


def read_run(folder: Path, *, images_per_task: int = 0) -> Run:
    """Read a run folder, or a result folder that holds only ``matrix.json`` and ``summary.json``.

    Args:
        folder: the run folder.
        images_per_task: how many synthetic images of each task to list, evenly spread.

    Raises:
        FileNotFoundError: there is no ``matrix.json``.
        ValueError: a file in it cannot be understood.
    """
    if not (folder / "matrix.json").is_file():
        raise FileNotFoundError(
            f"{folder} is not a run folder: it has no matrix.json. Give the folder that a run "
            "wrote; a run that was just started has the file after its zero-shot evaluation."
        )
    try:
        matrix = _printable_names(AccuracyMatrix.from_json(_json(folder / "matrix.json")))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'matrix.json'} is not an accuracy matrix: {error!r}") from None
    _check_shape(matrix, folder)
    summary = _json(folder / "summary.json") if (folder / "summary.json").is_file() else {}
    config = _text(folder / "config.yaml")
    settings = _yaml(config, folder / "config.yaml")
    events = list(_json_lines(folder / "events.jsonl"))
    seed = summary.get("seed", settings.get("seed"))
    memory = summary.get("peak_memory_mb")
    command = summary.get("command")
    return Run(
        folder=folder,
        method=printable(str(summary.get("method") or settings.get("method") or folder.name)),
        seed=seed if isinstance(seed, int) else None,
        matrix=matrix,
        steps=_train_steps(events),
        seconds=_seconds(summary.get("seconds"), events),
        peak_memory_mb=float(memory) if isinstance(memory, int | float) else None,
        command=printable(command) if isinstance(command, str) else None,
        config=config,
        environment=_environment(folder / "env.json"),
        samples=_samples(folder, matrix.tasks, images_per_task),
        data=_data(folder / "data.json"),
        storage=_storage(summary.get("storage")),
    )


def printable(text: str) -> str:
    """The text without line breaks, control characters and broken surrogates: names are data.

    >>> printable("a\\tb\\x00c")
    'a b c'
    """
    return "".join(char if char.isprintable() else " " for char in text)


def _printable_names(matrix: AccuracyMatrix) -> AccuracyMatrix:
    value = matrix.to_json()
    value["benchmark"] = printable(str(value["benchmark"]))
    value["tasks"] = [printable(str(name)) for name in value["tasks"]]
    return AccuracyMatrix.from_json(value)


def _check_shape(matrix: AccuracyMatrix, folder: Path) -> None:
    tasks = len(matrix.tasks)
    rows = (matrix.zero_shot, *matrix.accuracy)
    measured: list[float | None] = [*matrix.zero_shot]
    for i, row in enumerate(matrix.accuracy):
        if not matrix.seen_only:
            measured += row
        elif any(value is not None for value in row[i + 1 :]):
            raise ValueError(
                f"{folder / 'matrix.json'}: row {i} has accuracies of tasks that were not learned "
                "yet, but its label space is that of the classes seen; they must be null."
            )
        else:
            measured += row[: i + 1]
    numbers = all(
        isinstance(value, int | float) and 0 <= value <= 100 for value in measured
    )  # NaN is refused too
    if not tasks or len(rows) > tasks + 1 or any(len(r) != tasks for r in rows) or not numbers:
        raise ValueError(
            f"{folder / 'matrix.json'}: {tasks} tasks need {tasks} zero-shot accuracies and at "
            f"most {tasks} rows of {tasks} accuracies, all percentages from 0 to 100."
        )
    counts = all(isinstance(count, int) and count > 0 for count in matrix.images)
    if matrix.images and (len(matrix.images) != tasks or not counts):
        raise ValueError(
            f"{folder / 'matrix.json'}: images must hold one positive number per task."
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(unaltered(path))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold one JSON object.")
    return value


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _yaml(text: str | None, path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text or "")
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not readable YAML: {error}") from None
    return value if isinstance(value, dict) else {}


def _data(path: Path) -> Data | None:
    """A summary of ``data.json``; older runs have none."""
    if not path.is_file():
        return None
    tasks = _json(path)
    try:
        counts = {p: sum(task[p]["images"] for task in tasks.values()) for p in ("train", "test")}
        parts = [
            (name, task["words"], task["train"]["checksum"], task["test"]["checksum"])
            for name, task in tasks.items()
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} does not describe the data of a run: {error!r}") from None
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Data(counts["train"], counts["test"], digest[:16])


def _environment(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    flat: dict[str, object] = {}
    for key, value in _json(path).items():
        flat.update(value if isinstance(value, dict) else {key: value})
    return {printable(str(k)): printable(str(v)) for k, v in flat.items() if v is not None}


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a .jsonl file; a line cut off by a killed process is left out."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _train_steps(events: Sequence[dict[str, Any]]) -> tuple[TrainStep, ...]:
    """Logged steps; of a step that was repeated after a resume, the last one counts."""
    steps: dict[tuple[str, int], TrainStep] = {}
    for event in events:
        losses, step = event.get("losses"), event.get("step")
        if event.get("stage") != "train" or not isinstance(losses, dict) or step is None:
            continue
        task = printable(str(event.get("task")))
        steps[task, int(step)] = TrainStep(
            task=task,
            step=int(step),
            losses={
                printable(str(name)): float(value)
                for name, value in losses.items()
                if isinstance(value, int | float) and math.isfinite(value)
            },
        )
    return tuple(steps.values())


def _seconds(summary: object, events: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Seconds per stage from the summary; of an unfinished run, what its events tell."""
    seconds: dict[str, float] = {}
    if isinstance(summary, dict):
        seconds = {str(k): float(v) for k, v in summary.items() if isinstance(v, int | float)}
    else:
        for event in events:
            stage, value = str(event.get("stage")), event.get("seconds")
            if isinstance(value, int | float):
                seconds[stage] = seconds.get(stage, 0.0) + float(value)
    seconds = {EARLIER_STAGES.get(stage, stage): value for stage, value in seconds.items()}
    known = [stage for stage in STAGES if stage in seconds]
    others = sorted(set(seconds) - set(known))
    return {printable(stage): seconds[stage] for stage in (*known, *others)}


def _storage(summary: object) -> Storage | None:
    """What the summary says about it; older ones say nothing."""
    if not isinstance(summary, dict):
        return None
    counts = [summary.get(part.name) for part in fields(Storage)]
    known = [count for count in counts if isinstance(count, int)]
    return Storage(*known) if len(known) == len(counts) else None


def _samples(
    folder: Path, tasks: Sequence[str], count: int
) -> dict[str, tuple[SyntheticImage, ...]]:
    found: dict[str, tuple[SyntheticImage, ...]] = {}
    for task_folder in sorted((folder / "tasks").glob("[0-9]*-*")) if count else ():
        number = task_folder.name.split("-")[0]
        position = int(number) - 1 if number.isdecimal() else len(tasks)
        images = [
            image
            for manifest in sorted((task_folder / "synthetic").rglob("manifest.jsonl"))
            for image in _painted(manifest)
        ]
        if images and 0 <= position < len(tasks):
            stride = max(1, len(images) / count)
            picked = (images[int(i * stride)] for i in range(min(count, len(images))))
            found[tasks[position]] = tuple(picked)
    return found


def _painted(manifest: Path) -> Iterator[SyntheticImage]:
    neighbours = {path.name: path for path in manifest.parent.iterdir()}
    for line in _json_lines(manifest):
        path = neighbours.get(str(line.get("file")))  # a manifest names only these
        if path is not None and path.is_file() and not path.is_symlink() and not line.get("black"):
            yield SyntheticImage(path, printable(str(line.get("prompt", ""))))
