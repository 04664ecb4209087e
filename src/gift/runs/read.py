"""Reading run folders and folders of results; only ``matrix.json`` has to be there."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gift.files import digest, read_json, refuse_special
from gift.metrics import AccuracyMatrix
from gift.runs.folder import CONTENT
from gift.runs.manifest import problem_in, read_member
from gift.runs.records import (
    EARLIER_STAGES,
    Event,
    Storage,
    read_events,
    read_matrix,
    read_summary,
    stage_seconds,
)
from gift.textfiles import parse_json, parse_yaml

log = logging.getLogger(__name__)

STAGES = ("prepare", "generate", "train", "merge", "evaluate", "total")


@dataclass(frozen=True)
class TrainStep:
    """One logged training step of one task."""

    task: str
    step: int
    losses: dict[str, float]


@dataclass(frozen=True)
class SyntheticImage:
    """A synthetic image and the prompt it was generated from."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Data:
    """What a run was trained and measured on.

    Attributes:
        train: number of training images of all tasks.
        test: number of measured images of all tasks.
        checksum: 16 hex digits of all images, labels and class names; equal for equal data.
    """

    train: int
    test: int
    checksum: str


@dataclass(frozen=True)
class Run:
    """What one run folder holds.

    ``seconds`` maps a stage to its duration, in the order in which a run goes through them;
    ``cached`` are the stages whose result was taken from a cache, wholly or in part.
    ``samples`` maps a task to some of its synthetic images.
    """

    folder: Path
    method: str
    seed: int | None
    matrix: AccuracyMatrix
    steps: tuple[TrainStep, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    cached: frozenset[str] = frozenset()
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
        ValueError: a file in it was altered or cannot be understood, or is a link.
    """
    refuse_special(folder, *CONTENT)
    measured = read_matrix(folder)
    if measured is None:
        raise FileNotFoundError(
            f"{folder} is not a run folder: it has no matrix.json. Give the folder that a run "
            "wrote; a run that was just started has the file after its zero-shot evaluation."
        )
    _check_shape(measured, folder)
    matrix = replace(
        measured,
        benchmark=printable(str(measured.benchmark)),
        tasks=tuple(printable(str(name)) for name in measured.tasks),
    )
    summary, events = read_summary(folder), read_events(folder)
    if (folder / "learner").is_dir() and (problem := problem_in(folder / "learner")):
        log.warning("%s: %s. The figures are those of before.", folder / "learner", problem)
    content = read_member(folder, "config.yaml")
    config = None if content is None else content.decode(errors="replace")
    values = parse_yaml(config or "", str(folder / "config.yaml"))
    settings = values if isinstance(values, dict) else {}
    seed = summary.seed if summary else settings.get("seed")
    method = summary.method if summary else settings.get("method") or folder.name
    return Run(
        folder=folder,
        method=printable(str(method)),
        seed=seed if isinstance(seed, int) else None,
        matrix=matrix,
        steps=_train_steps(events),
        seconds=_in_order(summary.seconds if summary else stage_seconds(events)),
        cached=frozenset(
            stage for event in events if event.cached for stage in (printable(event.stage), "total")
        ),
        peak_memory_mb=summary.peak_memory_mb if summary else None,
        command=printable(summary.command) if summary and summary.command else None,
        config=config,
        environment=_environment(folder / "env.json"),
        samples=_samples(folder, matrix.tasks, images_per_task),
        data=_data(folder),
        storage=summary.storage if summary else None,
    )


def printable(text: str) -> str:
    """The text without line breaks, control characters and broken surrogates: names are data.

    >>> printable("a\\tb\\x00c")
    'a b c'
    """
    return "".join(char if char.isprintable() else " " for char in text)


def _check_shape(matrix: AccuracyMatrix, folder: Path) -> None:
    path, tasks, rows = folder / "matrix.json", len(matrix.tasks), matrix.accuracy
    ends = [i + 1 if matrix.seen_only else tasks for i in range(len(rows))]
    for i, (row, end) in enumerate(zip(rows, ends, strict=True)):
        if any(value is not None for value in row[end:tasks]):
            raise ValueError(
                f"{path}: row {i} has accuracies of tasks that were not learned yet, but its label "
                "space is that of the classes seen; they must be null."
            )
    measured = [matrix.zero_shot, *(row[:end] for row, end in zip(rows, ends, strict=True))]
    numbers = all(  # NaN is refused too
        isinstance(value, int | float) and 0 <= value <= 100 for row in measured for value in row
    )
    lengths = {len(row) for row in (matrix.zero_shot, *rows)}
    if not tasks or len(rows) > tasks or lengths != {tasks} or not numbers:
        raise ValueError(
            f"{path}: {tasks} tasks need {tasks} zero-shot accuracies and at most {tasks} rows of "
            f"{tasks} accuracies, all percentages from 0 to 100."
        )
    counts = all(isinstance(count, int) and count > 0 for count in matrix.images)
    if matrix.images and (len(matrix.images) != tasks or not counts):
        raise ValueError(f"{path}: images must hold one positive number per task.")


def _data(folder: Path) -> Data | None:
    """The totals of ``data.json``; older runs have none."""
    content = read_member(folder, "data.json")
    if content is None:
        return None
    try:
        tasks = parse_json(content, str(folder / "data.json"))
        train, test = (sum(task[s]["images"] for task in tasks.values()) for s in ("train", "test"))
        splits = [
            (name, task["words"], task["train"]["checksum"], task["test"]["checksum"])
            for name, task in tasks.items()
        ]
    except (AttributeError, KeyError, TypeError):
        raise ValueError(
            f"{folder / 'data.json'} does not describe the data of a run: every task needs the "
            "numbers of its train and test images and their checksums. Put back a copy of it."
        ) from None
    return Data(train, test, digest(splits)[:16])


def _environment(path: Path) -> dict[str, str]:
    """The environment of the newest start, flat."""
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold one JSON object.")
    flat: dict[str, object] = {}
    for key, value in found.items():
        flat |= value if isinstance(value, dict) else {key: value}
    hidden = ("earlier", "started")
    return {
        printable(str(k)): printable(str(v))
        for k, v in flat.items()
        if v is not None and k not in hidden
    }


def _train_steps(events: Sequence[Event]) -> tuple[TrainStep, ...]:
    """Logged steps; of a step that was repeated after a resume, the last one counts."""
    steps: dict[tuple[str, int], TrainStep] = {}
    for event in events:
        if event.stage == "train" and event.step is not None and event.losses:
            losses = {
                printable(name): value
                for name, value in event.losses.items()
                if value is not None and math.isfinite(value)
            }
            task = printable(event.task)
            steps[task, event.step] = TrainStep(task, event.step, losses)
    return tuple(steps.values())


def _in_order(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds by stage, in the order in which a run goes through them; unknown stages last."""
    named = {EARLIER_STAGES.get(stage, stage): value for stage, value in seconds.items()}
    others = sorted(set(named) - set(STAGES))
    return {printable(stage): named[stage] for stage in (*STAGES, *others) if stage in named}


def _samples(
    folder: Path, tasks: Sequence[str], count: int
) -> dict[str, tuple[SyntheticImage, ...]]:
    found: dict[str, tuple[SyntheticImage, ...]] = {}
    for number, task in enumerate(tasks, start=1) if count else ():
        found_there = (folder / "tasks").glob(f"{number:02d}-*/synthetic/**/manifest.jsonl")
        whole = folder.resolve()
        manifests = [path for path in found_there if path.resolve().is_relative_to(whole)]
        images = [image for manifest in sorted(manifests) for image in _images(manifest)]
        if images:
            stride = max(1, len(images) / count)
            found[task] = tuple(images[int(i * stride)] for i in range(min(count, len(images))))
    return found


def _images(manifest: Path) -> Iterator[SyntheticImage]:
    """The synthetic images that a manifest lists; black ones and files elsewhere are skipped."""
    neighbours = {path.name: path for path in manifest.parent.iterdir()}
    for text in manifest.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            line = parse_json(text)
        except ValueError:  # cut off by a killed process
            continue
        path = neighbours.get(str(line.get("file"))) if isinstance(line, dict) else None
        if path is not None and path.is_file() and not path.is_symlink() and not line.get("black"):
            yield SyntheticImage(path, printable(str(line.get("prompt", ""))))
