"""A predictor on data sets: one row of the accuracy matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gift.data import Metric
from gift.data.labels import LabelSpace
from gift.methods import Predictor
from gift.progress import report
from gift.vlm import Preprocess, VisionLanguageModel

TaskId = Literal["given", "hidden"]
"""Whether a predictor is told the task that images belong to."""


@dataclass(frozen=True)
class EvaluationSet:
    """Preprocessed images of one task with their labels.

    Attributes:
        labels: the task's words.
        pixels: uint8 [N, S, S, 3], possibly memory-mapped.
        targets: [N] class indices.
        metric: what the accuracy on them is.
    """

    labels: LabelSpace
    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    targets: tuple[int, ...]
    metric: Metric = "top1"

    def accuracy(self, right: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
        """The accuracy in percent, given which images [N] are named right.

        ``mean_per_class`` is the mean over the classes that have images here.
        """
        if self.metric == "top1":
            return 100.0 * int(right.sum()) / len(self.targets)
        images = np.bincount(self.targets)
        hits = np.bincount(self.targets, weights=right)
        there = images > 0
        return float(100.0 * (hits[there] / images[there]).mean())


def accuracy_row(
    predictor: Predictor,
    model: VisionLanguageModel,
    sets: Sequence[EvaluationSet],
    *,
    candidates: Sequence[LabelSpace] | None = None,
    task_id: TaskId = "given",
    batch_size: int = 256,
) -> tuple[float, ...]:
    """Accuracy in percent on each set, by the set's metric.

    Args:
        predictor: names the images.
        model: preprocesses them.
        sets: what to measure.
        candidates: label spaces whose classes compete for every image; by default those of the
            image's own task. A name that several of them have is right wherever it stands.
        task_id: whether the predictor is told the task of the images.
        batch_size: images per forward pass.
    """
    row: list[float] = []
    for number, data in enumerate(sets, start=1):
        compete = [data.labels] if candidates is None else candidates
        known, right = _Names(compete), []
        for scores, targets in _scored(predictor, model, data, compete, task_id, batch_size):
            right.append(known.right(scores, [data.labels.classnames[t] for t in targets]))
        row.append(data.accuracy(torch.cat(right).numpy()))
        report("evaluating", number, len(sets))
    return tuple(row)


def growing_accuracy(
    predictor: Predictor,
    model: VisionLanguageModel,
    sets: Sequence[EvaluationSet],
    *,
    batch_size: int = 256,
) -> tuple[float, ...]:
    """Top-1 accuracy in percent over all images of the first k sets among their classes.

    One number for each k = 1..n, without the predictor knowing tasks. Each image is scored once
    against the classes of all sets; the first columns of these scores are those of the first sets.
    """
    spaces = [data.labels for data in sets]
    first = [_Names(spaces[: k + 1]) for k in range(len(sets))]
    right = [0] * len(sets)
    for j, data in enumerate(sets):
        for scores, targets in _scored(predictor, model, data, spaces, "hidden", batch_size):
            names = [data.labels.classnames[target] for target in targets]
            for k in range(j, len(sets)):
                right[k] += int(first[k].right(scores, names).sum())
        report("evaluating", j + 1, len(sets))
    images = np.cumsum([len(data.targets) for data in sets])
    return tuple(100.0 * count / int(total) for count, total in zip(right, images, strict=True))


class _Names:
    """The classes that compete, by name: several label spaces may have the same one."""

    def __init__(self, candidates: Sequence[LabelSpace]) -> None:
        names = [name for labels in candidates for name in labels.classnames]
        self._id = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self._ids = torch.tensor([self._id[name] for name in names])

    def right(self, scores: Tensor, names: Sequence[str]) -> Tensor:
        """Which images [b] have their name's class highest among the first columns [b, >=C]."""
        guesses = self._ids[scores[:, : len(self._ids)].argmax(dim=1).cpu()]
        return guesses == torch.tensor([self._id.get(name, -1) for name in names])


def _scored(
    predictor: Predictor,
    model: VisionLanguageModel,
    data: EvaluationSet,
    candidates: Sequence[LabelSpace],
    task_id: TaskId,
    batch_size: int,
) -> Iterator[tuple[Tensor, tuple[int, ...]]]:
    """Scores [b, C] with the targets [b] of batch after batch."""
    task = data.labels.name if task_id == "given" else None
    start = 0
    for scores in score_batches(
        predictor, model, data.pixels, candidates, task=task, batch_size=batch_size
    ):
        yield scores, data.targets[start : start + len(scores)]
        start += len(scores)


def score_batches(
    predictor: Predictor,
    model: VisionLanguageModel,
    pixels: np.ndarray[Any, np.dtype[np.uint8]],
    candidates: Sequence[LabelSpace],
    *,
    task: str | None = None,
    batch_size: int = 256,
) -> Iterator[Tensor]:
    """Scores [b, C] of batch after batch of images against the candidates' classes."""
    for batch in pixel_batches(pixels, model.preprocess, batch_size):
        with torch.no_grad():
            yield predictor.scores(batch.to(model.logit_scale.device), candidates, task)


def pixel_batches(
    pixels: np.ndarray[Any, np.dtype[np.uint8]], preprocess: Preprocess, batch_size: int
) -> Iterator[Tensor]:
    """Normalised float batches [b, 3, S, S] of stored images."""
    for start in range(0, len(pixels), batch_size):
        yield preprocess.normalize(torch.from_numpy(pixels[start : start + batch_size].copy()))
