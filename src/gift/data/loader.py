"""Data loader: batches of endless shuffled epochs, addressed by (seed, step).

A step's batch depends on (seed, step) alone, so training can begin at any step. Where several
processes train together, each decodes its shard of a batch and all get the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, tee
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gift import distributed
from gift.data.images import Images, ImageSet

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Key = tuple[int, int, int]
"""Step, position in the set, and how often that position stands earlier in the batch."""


class Preprocess(Protocol):
    """How a model wants its images, see :class:`gift.vlm.Preprocess`."""

    def test_array(self, image: Image.Image) -> Pixels:
        """The deterministic transform of an RGB image: uint8 [S, S, 3]."""
        ...

    def train_array(self, image: Image.Image, rng: np.random.Generator) -> Pixels:
        """The random transform of an RGB image: uint8 [S, S, 3]."""
        ...

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels uint8 [B, S, S, 3] as the model takes them: float [B, 3, S, S]."""
        ...


@dataclass(frozen=True)
class PreprocessedImages:
    """Images under the test transform, decoded each time they are asked for.

    Indexing gives uint8 [S, S, 3].
    """

    images: Images
    preprocess: Preprocess

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Pixels:
        return self.preprocess.test_array(self.images[index])


class PixelSet(Protocol):
    """Preprocessed images, uint8 [S, S, 3] each: an array [N, S, S, 3], or decoded when asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Pixels: ...


@dataclass(frozen=True)
class ImageTexts:
    """A fixed set of N preprocessed images, with one text each or with none at all.

    ``texts`` has N entries or is empty.
    """

    pixels: PixelSet
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.texts) in {0, len(self.pixels)}

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Batch:
    """The batch of one stream for one step.

    Attributes:
        pixels: float [B, 3, S, S], normalised.
        index: [B] positions in the stream's set.
        labels: [B] class indices; the positions again for streams without labels.
    """

    pixels: Tensor
    index: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Loading:
    """How batches are loaded.

    Attributes:
        steps: the steps to load a batch for, each numbered from the task's first step, 0.
        batch_size: images per batch.
        seed: of order and crops; a batch depends on seed and step alone.
        workers: processes that decode; 0: this one does.
        device: where the batches go.
        balanced: whether a task's batches have as many images of every class, see
            :func:`balanced_order`.
    """

    steps: range
    batch_size: int
    seed: int = 0
    workers: int = 0
    device: torch.device | str = "cpu"
    balanced: bool = False


def task_batches(
    images: ImageSet, preprocess: Preprocess, loading: Loading, *, name: str
) -> Iterator[Batch]:
    """Batches of training images under the random crop, one per step.

    Args:
        images: labelled.
        preprocess: of the model.
        loading: steps, batch size and the like.
        name: streams of another name have another order.
    """
    rows = _Augmented(images, preprocess, loading.seed)
    labels = torch.tensor(images.labels, device=loading.device)
    if loading.balanced:
        batches = balanced_order(images.labels, loading, name=name)
    else:
        batches = _shuffled(len(images), loading, name)
    return _batches(rows, labels, preprocess, loading, batches)


def set_batches(
    images: ImageTexts, preprocess: Preprocess, loading: Loading, *, name: str
) -> Iterator[Batch]:
    """Batches of a fixed set, one per step; arguments as for :func:`task_batches`."""
    labels = torch.arange(len(images), device=loading.device)
    batches = _shuffled(len(images), loading, name)
    return _batches(_Fixed(images), labels, preprocess, loading, batches)


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


def balanced_order(labels: Sequence[int], loading: Loading, *, name: str) -> Iterator[list[int]]:
    """Positions of the batches of ``loading.steps`` with classes drawn evenly.

    All batches together are one sequence of draws. Every C draws are a shuffled pass over the C
    classes, and each class is drawn from in endless shuffled passes over its own images. So in any
    batch the numbers of images of two classes differ by two at most, and over all batches by one.
    Each pass has its own generator: a step's batch depends on (seed, step) alone.

    Args:
        labels: of the images.
        loading: steps, batch size and seed.
        name: streams of another name have another order.
    """
    members: dict[int, list[int]] = {}
    for position, label in enumerate(labels):
        members.setdefault(label, []).append(position)
    classes = sorted(members)

    @lru_cache(maxsize=2 * len(classes) + 2)
    def shuffled(size: int, *purpose: str | int) -> list[int]:
        order: list[int] = _generator(loading.seed, *purpose).permutation(size).tolist()
        return order

    for step in loading.steps:
        batch = []
        for draw in range(step * loading.batch_size, (step + 1) * loading.batch_size):
            turn, place = divmod(draw, len(classes))
            label = classes[shuffled(len(classes), f"classes of {name}", turn)[place]]
            own = members[label]
            again, number = divmod(turn, len(own))
            batch.append(own[shuffled(len(own), f"class of {name}", label, again)[number]])
        yield batch


class _Augmented(Dataset[Pixels]):
    """Training images under the random crop."""

    def __init__(self, images: ImageSet, preprocess: Preprocess, seed: int) -> None:
        self._images = images
        self._preprocess = preprocess
        self._seed = seed

    def __getitem__(self, key: Key) -> Pixels:
        step, position, again = key
        rng = _generator(self._seed, "augmentation", step, position, *([again] if again else []))
        return self._preprocess.train_array(self._images[position], rng)


class _Fixed(Dataset[Pixels]):
    """The images of a set as they are."""

    def __init__(self, images: ImageTexts) -> None:
        self._pixels = images.pixels

    def __getitem__(self, key: Key) -> Pixels:
        return np.array(self._pixels[key[1]])


def _shuffled(size: int, loading: Loading, name: str) -> Iterator[list[int]]:
    """Positions of the batches of ``loading.steps``, see :func:`batch_order`."""
    batches = batch_order(size, loading.batch_size, seed=loading.seed, name=name)
    return islice(batches, loading.steps.start, loading.steps.stop)


def _batches(
    rows: Dataset[Pixels],
    labels: Tensor,
    preprocess: Preprocess,
    loading: Loading,
    batches: Iterator[list[int]],
) -> Iterator[Batch]:
    ahead, order = tee(zip(loading.steps, batches, strict=True))
    keys = (
        [(step, batch[i], batch[:i].count(batch[i])) for i in _decoded_here(len(batch))]
        for step, batch in ahead
    )
    loader = DataLoader(rows, batch_sampler=keys, num_workers=loading.workers)
    for (_, batch), decoded in zip(order, _decoded(loader), strict=True):
        own = decoded[: len(distributed.shard(len(batch)))].to(labels.device, non_blocking=True)
        pixels = preprocess.normalize(distributed.gather(own, len(batch)))
        index = torch.tensor(batch, device=labels.device)
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
    """The rows that this process decodes; one without use, where its shard is empty."""
    return distributed.shard(count) or range(1)


def _generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of its own for every purpose."""
    words = [w if isinstance(w, int) else int.from_bytes(w.encode(), "big") for w in purpose]
    return np.random.default_rng([seed, *words])
