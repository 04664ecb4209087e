"""What a learner's folder says of it: its tasks, how they were learned, and what was kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gift.commands.keeping import KEPT
from gift.commands.measuring import MEASURED, read_measured
from gift.config import LearnerConfig
from gift.data.labels import LabelSpace
from gift.evaluate import Among
from gift.files import read_json
from gift.history import TaskRecord, read_history
from gift.methods import create_method
from gift.runs import RunFolder
from gift.runs.description import LearnerInfo, TaskInfo
from gift.runs.manifest import read_manifest
from gift.runs.records import read_kept
from gift.settings import Values, flat, identity
from gift.streams import generates

log = logging.getLogger(__name__)


def info(folder: Path) -> LearnerInfo:
    """What a learner's folder says of it; no model is loaded.

    Args:
        folder: the learner or run folder.

    Raises:
        ValueError: no whole learner in the folder.
    """
    run_folder = RunFolder(folder)
    return run_folder.read_learner(
        LearnerConfig, lambda state, config: _described(run_folder, state, config)
    )


def _described(folder: RunFolder, state: Path, config: LearnerConfig) -> LearnerInfo:
    spaces = [LabelSpace(**task) for task in read_json(state / "memory.json")]
    method = create_method(config.method, config.method_settings)
    previous = folder.previous_learner
    before, own = read_manifest(previous), read_manifest(state)
    undo = before and own and before.tasks == own.tasks[:-1] and folder.read_matrix() is None
    return LearnerInfo(
        folder=str(folder.path),
        model=config.model,
        method=config.method,
        generator=config.synthesis.generator if generates(config, method) else None,
        settings=_differing(identity(config), config.method),
        plain_model=method.plain_model,
        tasks=_tasks(folder, state, config, spaces),
        model_bytes=_size(state / "model"),
        method_bytes=_size(state / "method.safetensors"),
        previous_bytes=_size(previous),
        undo=spaces[-1].name if undo else None,
    )


def _tasks(
    folder: RunFolder, state: Path, config: LearnerConfig, spaces: Sequence[LabelSpace]
) -> tuple[TaskInfo, ...]:
    history = read_history(state, [labels.name for labels in spaces])
    places = [folder.task(position, labels.name) for position, labels in enumerate(spaces, 1)]
    measured = [_measured(place) for place in places]
    data, last = folder.data(), measured[-1]

    def task(labels: LabelSpace, record: TaskRecord, at: int) -> TaskInfo:
        described: Any = data.get(labels.name, {})
        then, name = measured[at], labels.name
        return TaskInfo(
            name=name,
            classes=labels.classnames,
            templates=labels.templates,
            extends=labels.extends,
            images=record.images or (described.get("train") or {}).get("images"),
            place=described.get("place"),
            learned=record.learned,
            seconds=record.seconds,
            device=record.device,
            settings=_differing(record.settings or {}, config.method),
            then=then.get((name, "task")),
            then_seen=then.get((name, "seen")),
            now=last.get((name, "task")),
            now_seen=last.get((name, "seen")),
            kept=read_kept(places[at] / KEPT),
        )

    pairs = enumerate(zip(spaces, history, strict=True))
    return tuple(task(labels, record, at) for at, (labels, record) in pairs)


def _measured(place: Path) -> dict[tuple[str, Among], float]:
    """The accuracies after a task, by the learned task that they are of and what competed."""
    found: dict[tuple[str, Among], float] = {}
    if kept := read_kept(place / KEPT):
        for folder in kept.folders:
            if folder.known is not None:
                found[folder.known, "task"] = folder.after
                found[folder.known, "seen"] = folder.after_seen
    for one in read_measured(place / MEASURED):
        found[one.task, one.among] = one.value
    return found


def _differing(values: Values, method: str) -> Values:
    """The settings that are not a method's defaults, by dotted path."""
    defaults = flat(identity(LearnerConfig.model_validate({"method": method})))
    named = {"model", "method", "synthesis.generator"}
    return {
        path: value
        for path, value in flat(values).items()
        if path not in named and (path not in defaults or defaults[path] != value)
    }


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 where nothing is."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())
