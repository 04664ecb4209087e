"""Measuring a learner by the rule of a benchmark: which tasks, and which classes compete."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import safetensors.numpy
import torch

from gift import distributed, metrics
from gift.config import RunConfig
from gift.data import BenchmarkEntry, DatasetEntry, Task, rule_of
from gift.evaluate import pixel_batches
from gift.files import replacing_file, write_json
from gift.learner import Learner
from gift.metrics import AccuracyMatrix
from gift.runs import RunFolder, peak_memory_mb


def setting_of(
    benchmark: BenchmarkEntry, entries: Iterable[DatasetEntry], config: RunConfig
) -> dict[str, Any]:
    """What the numbers of a run on some of a benchmark's tasks were measured on."""
    rule = rule_of(benchmark, entries)
    return rule | {"split": config.evaluation.split, "draw": config.draw}


def measure(
    learner: Learner,
    tasks: Sequence[Task],
    rule: BenchmarkEntry,
    *,
    batch_size: int = 256,
) -> dict[str, float]:
    """Accuracy in percent on a benchmark's tasks by its rule, by task name.

    Where images are classified among the classes seen so far, tasks that the learner has not
    learned are left out.
    """
    if rule.label_space == "seen":
        learned = {labels.name for labels in learner.memory}
        tasks = [task for task in tasks if task.name in learned]
    row = learner.evaluate(
        tasks,
        candidates=None if rule.label_space == "task" else [task.labels for task in tasks],
        task_id=rule.task_id,
        batch_size=batch_size,
    )
    return dict(zip([task.name for task in tasks], row, strict=True))


@dataclass(frozen=True)
class Measuring:
    """Rows of a run's matrix, by the rule of its benchmark; the figures are kept in its folder.

    Attributes:
        rule: how images are classified.
        batch_size: images per forward pass.
        folder: the run's.
        embedding_images: images of each task whose features are kept, see :func:`features_of`.
    """

    rule: BenchmarkEntry
    batch_size: int
    folder: RunFolder
    embedding_images: int = 0

    def zero_shot(self, learner: Learner, tasks: Sequence[Task]) -> tuple[float, ...]:
        """What the model scores before the first task."""
        started = time.perf_counter()
        if self.rule.label_space == "seen":
            row = learner.evaluate_growing(tasks, batch_size=self.batch_size)
            accuracy = dict(zip([task.name for task in tasks], row, strict=True))
        else:
            accuracy = self._measured(learner, tasks)
        keep(self.folder, learner, accuracy, started)
        self._keep_features(learner, tasks)
        return tuple(accuracy.values())

    def row(self, learner: Learner, tasks: Sequence[Task]) -> list[float | None]:
        """What it scores after the latest one; None for a task that is not measured yet."""
        started = time.perf_counter()
        accuracy = self._measured(learner, tasks)
        keep(self.folder, learner, accuracy, started)
        self._keep_features(learner, tasks)
        return [accuracy.get(task.name) for task in tasks]

    def _measured(self, learner: Learner, tasks: Sequence[Task]) -> dict[str, float]:
        return measure(learner, tasks, self.rule, batch_size=self.batch_size)

    def _keep_features(self, learner: Learner, tasks: Sequence[Task]) -> None:
        """Beside the task that was just learned; beside the matrix before the first one."""
        if not self.embedding_images:
            return
        is_told = self.rule.task_id == "given"
        content = features_of(
            learner, tasks, self.embedding_images, is_told=is_told, batch_size=self.batch_size
        )
        if distributed.is_main():
            position = len(learner.memory)
            where = self.folder.path
            if position:
                where = self.folder.task(position, learner.memory[-1].name)
            with replacing_file(where / "features.safetensors") as file:
                file.write(safetensors.numpy.save(content))


def keep(
    folder: RunFolder, learner: Learner, accuracy: Mapping[str, float], started: float
) -> None:
    """Log the figures, and keep them beside the task that was just learned."""
    after = learner.memory[-1].name if learner.memory else "zero-shot"
    seconds = time.perf_counter() - started
    folder.log("evaluate", task=after, accuracy=accuracy, seconds=seconds)
    if learner.memory and distributed.is_main():
        where = folder.task(len(learner.memory), after) / "eval.json"
        write_json(where, {"after": after, "accuracy": accuracy})


def features_of(
    learner: Learner, tasks: Sequence[Task], images: int, *, is_told: bool, batch_size: int = 256
) -> dict[str, np.ndarray[Any, Any]]:
    """What a learner names images by.

    Args:
        learner: as it is.
        tasks: whose images.
        images: how many of each task, evenly spread over those that are measured; all where it has
            fewer.
        is_told: whether the method is told the task of an image.
        batch_size: images per forward pass.

    Returns:
        ``features`` [N, D], unit rows in float16, and of each row the position of its ``task`` [N]
        and of its class there, ``label`` [N].
    """
    predictor = learner.method.predictor(learner.model, learner.memory)
    preprocess, device = learner.model.preprocess, learner.model.device
    features, labels = [], []
    for task in tasks:
        measured = task.evaluation
        assert measured is not None, "its accuracy was measured"
        count = min(images, len(measured))
        chosen = [len(measured) * i // count for i in range(count)]
        pixels = np.stack([preprocess.test_array(measured[i]) for i in chosen])
        features += [
            predictor.features(batch.to(device), task.name if is_told else None).half().cpu()
            for batch in pixel_batches(pixels, preprocess, batch_size)
        ]
        labels.append([measured.labels[i] for i in chosen])
    return {
        "features": torch.cat(features).numpy(),
        "task": np.repeat(np.arange(len(tasks)), [len(own) for own in labels]),
        "label": np.concatenate(labels),
    }


def summarize(
    matrix: AccuracyMatrix,
    config: RunConfig,
    folder: RunFolder,
    command: str | None,
    storage: Mapping[str, int],
) -> dict[str, Any]:
    """The summary of a complete run; every metric is computed from the matrix.

    ``storage`` is what the learner keeps, see :attr:`gift.learner.Learner.storage`.
    """
    measured = metrics.summarize(matrix.accuracy, images=matrix.images)
    zero_shot = dict(zip(matrix.tasks, matrix.zero_shot, strict=True))
    return {
        "method": config.method,
        "benchmark": matrix.benchmark,
        "version": matrix.version,
        "seed": config.seed,
        "setting": matrix.setting,
        "transfer": _rounded(measured.transfer),
        "avg": _rounded(measured.avg),
        "last": _rounded(measured.last),
        "forgetting": _rounded(measured.forgetting),
        "backward_transfer": _rounded(measured.backward_transfer),
        "zero_shot": {
            "mean": _rounded(fmean(matrix.zero_shot)),
            **{name: _rounded(value) for name, value in zero_shot.items()},
        },
        "seconds": folder.seconds(),
        "storage": dict(storage),
        "steps_left_out": _steps_left_out(folder),
        "peak_memory_mb": peak_memory_mb(),
        "command": command,
    }


def _steps_left_out(folder: RunFolder) -> int:
    """Steps whose losses were not finite; a step that a resumed run took again counts once."""
    return len({(e["task"], e["step"]) for e in folder.events() if e.get("left_out")})


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
