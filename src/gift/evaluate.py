"""A predictor on data sets: one row of the accuracy matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gift.methods import Predictor
from gift.records import LabelSpace, Progress, silent
from gift.vlm import Preprocess, VisionLanguageModel


@dataclass(frozen=True)
class EvaluationSet:
    """Preprocessed images of one task with their labels.

    Attributes:
        labels: the task's words.
        pixels: uint8 [N, S, S, 3], possibly memory-mapped.
        targets: [N] class indices.
    """

    labels: LabelSpace
    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    targets: tuple[int, ...]


def accuracy_row(
    predictor: Predictor,
    model: VisionLanguageModel,
    sets: Sequence[EvaluationSet],
    *,
    batch_size: int = 256,
    progress: Progress = silent,
) -> tuple[float, ...]:
    """Top-1 accuracy in percent on each set, every image among its own task's classes."""
    row: list[float] = []
    for number, data in enumerate(sets, start=1):
        row.append(accuracy(predictor, model, data, batch_size=batch_size))
        progress("evaluating", number, len(sets))
    return tuple(row)


def accuracy(
    predictor: Predictor, model: VisionLanguageModel, data: EvaluationSet, *, batch_size: int = 256
) -> float:
    """Top-1 accuracy in percent over all images of one set (not the mean over classes)."""
    guesses = [
        scores.argmax(dim=1).cpu()
        for scores in score_batches(
            predictor,
            model,
            data.pixels,
            [data.labels],
            task=data.labels.name,
            batch_size=batch_size,
        )
    ]
    right = torch.cat(guesses) == torch.tensor(data.targets)
    return 100.0 * int(right.sum()) / len(right)


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
