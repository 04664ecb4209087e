"""Which images a step sees: endless shuffled passes, in which every step stands by itself.

A step's batch depends on (seed, step) alone, so training can begin at any step. Where several
processes train together, each decodes its share of a batch and all get the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gift import parallel
from gift.config import TrainingSettings
from gift.methods import Batch, ImageTexts
from gift.records import LabeledImages
from gift.vlm import Preprocess

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Key = tuple[int, int]
"""Step, and position in the set."""


def task_batches(
    images: LabeledImages,
    preprocess: Preprocess,
    settings: TrainingSettings,
    *,
    seed: int,
    name: str,
    device: torch.device | str = "cpu",
    first: int = 0,
) -> Iterator[Batch]:
    """Batches of training images under the random crop, one per step.

    Args:
        images: labelled.
        preprocess: of the model.
        settings: iterations, batch size, workers.
        seed: of order and crops.
        name: streams of another name have another order.
        device: where the batches go.
        first: the step that the first batch is for.
    """
    rows = _Augmented(images, preprocess, seed)
    labels = torch.tensor(images.labels, device=device)
    return _batches(rows, labels, preprocess, settings, seed=seed, name=name, first=first)


def set_batches(
    images: ImageTexts,
    preprocess: Preprocess,
    settings: TrainingSettings,
    *,
    seed: int,
    name: str,
    device: torch.device | str = "cpu",
    first: int = 0,
) -> Iterator[Batch]:
    """Batches of a fixed set, one per step; arguments as for :func:`task_batches`."""
    labels = torch.arange(len(images), device=device)
    rows = _Fixed(images)
    return _batches(rows, labels, preprocess, settings, seed=seed, name=name, first=first)


def batch_order(size: int, batch_size: int, *, seed: int, name: str) -> Iterator[list[int]]:
    """Positions of endless shuffled passes over a set; a pass's last batch may be smaller.

    Each pass has its own generator, so the order of any step can be had without the steps before.
    """
    epoch = 0
    while True:
        order = _generator(seed, f"order of {name}", epoch).permutation(size)
        for start in range(0, size, batch_size):
            yield order[start : start + batch_size].tolist()
        epoch += 1


class _Augmented(Dataset[Pixels]):
    """Training images under the random crop."""

    def __init__(self, images: LabeledImages, preprocess: Preprocess, seed: int) -> None:
        self._images = images
        self._preprocess = preprocess
        self._seed = seed

    def __getitem__(self, key: Key) -> Pixels:
        step, position = key
        rng = _generator(self._seed, "augmentation", step, position)
        return self._preprocess.train_array(self._images[position], rng)


class _Fixed(Dataset[Pixels]):
    """The images of a set as they are."""

    def __init__(self, images: ImageTexts) -> None:
        self._pixels = images.pixels

    def __getitem__(self, key: Key) -> Pixels:
        return np.array(self._pixels[key[1]])


def _batches(
    rows: Dataset[Pixels],
    labels: Tensor,
    preprocess: Preprocess,
    settings: TrainingSettings,
    *,
    seed: int,
    name: str,
    first: int,
) -> Iterator[Batch]:
    def steps() -> Iterator[tuple[int, list[int]]]:
        order = batch_order(len(labels), settings.batch_size, seed=seed, name=name)
        return islice(enumerate(order), first, settings.iterations)

    keys = ([(step, order[i]) for i in _decoded_here(len(order))] for step, order in steps())
    loader = DataLoader(rows, batch_sampler=keys, num_workers=settings.workers)
    for (_, order), decoded in zip(steps(), _decoded(loader), strict=True):
        own = decoded[: len(parallel.share(len(order)))].to(labels.device, non_blocking=True)
        pixels = preprocess.normalize(parallel.gathered(own, len(order)))
        index = torch.tensor(order, device=labels.device)
        yield Batch(pixels, index, labels[index])


def _decoded(loader: DataLoader[Pixels]) -> Iterator[Tensor]:
    """What a loader gives. Torch makes a worker's traceback the message of an error: cut it off."""
    try:
        yield from loader
    except OSError as error:
        if "Original Traceback" not in str(error):
            raise
        last = str(error).rstrip().splitlines()[-1]
        raise OSError(last.removeprefix("OSError: ")) from error


def _decoded_here(count: int) -> range:
    """The rows that this process decodes; one for nothing, where it has no share."""
    return parallel.share(count) or range(1)


def _generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of its own for every purpose."""
    words = [w if isinstance(w, int) else int.from_bytes(w.encode(), "big") for w in purpose]
    return np.random.default_rng([seed, *words])
