"""The training of one task, readable from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gift.config import TrainingSettings
from gift.methods import Batch, ImageTexts, Loss, Method, TaskContext
from gift.records import LabeledImages, LabelSpace, Progress, silent
from gift.vlm import Preprocess, VisionLanguageModel


@dataclass(frozen=True)
class StepRecord:
    """What one step did, for the log: losses are plain numbers, ``lr`` the step's rate."""

    step: int
    losses: dict[str, float]
    lr: float
    images_per_second: float


Recorder = Callable[[StepRecord], None]
"""Takes the records of the logged steps."""


def accelerator(precision: str = "fp32") -> Accelerator:
    """Device and precision of the training, from the machine and the launcher.

    Raises:
        ValueError: this process has trained in another precision before.
    """
    wanted = "no" if precision == "fp32" else precision
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != wanted:
        raise ValueError(
            f"precision {precision} was asked for, but this process already works in another one; "
            "use a new process."
        )
    return Accelerator(mixed_precision=wanted)


def learning_rate(step: int, *, peak: float, warmup: int, iterations: int) -> float:
    """Linear warm-up to the peak, then half a cosine towards 0 at ``iterations``.

    >>> learning_rate(0, peak=1.0, warmup=100, iterations=1000)
    0.01
    >>> learning_rate(550, peak=1.0, warmup=100, iterations=1000)
    0.5
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, iterations - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def train_task(
    model: VisionLanguageModel,
    method: Method,
    labels: LabelSpace,
    images: LabeledImages,
    settings: TrainingSettings,
    *,
    sets: Mapping[str, ImageTexts],
    seed: int,
    sentences: tuple[str, ...] = (),
    record: Recorder | None = None,
    progress: Progress = silent,
) -> None:
    """Teach a model one task.

    Args:
        model: changed in place.
        method: its hooks are called; it must not have begun the task.
        labels: the task's class names and templates.
        images: its training images.
        settings: iterations, batch size, schedule.
        sets: the image sets that the method asked for; those it calls streams give batches.
        seed: of batch order and augmentation; every step's batch depends on (seed, step) alone.
        sentences: texts of no task, see :class:`~gift.methods.TaskContext`.
        record: called every ``settings.log_every`` steps and at the last one.
        progress: called after every step.

    Raises:
        FloatingPointError: a loss is not finite; the weights are those before that step.
    """
    context = accelerator(settings.precision)
    device = context.device
    model.to(device)
    model.save_memory(parts=settings.accumulate, checkpoint_layers=settings.gradient_checkpointing)
    task = TaskContext(labels, settings.label_smoothing, sets, sentences, seed)
    method.begin_task(model, task)
    parameters = model.trainable_parameters()
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=settings.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    batches = {
        "task": task_batches(images, model.preprocess, settings, seed=seed, name=labels.name),
        **{
            name: set_batches(
                sets[name], model.preprocess, settings, seed=seed, name=f"{name} for {labels.name}"
            )
            for name in method.streams
            if name in sets
        },
    }
    model.train()
    started, seen = time.perf_counter(), 0
    for step in range(settings.iterations):
        rate = learning_rate(
            step,
            peak=settings.rate_of(labels.name),
            warmup=settings.warmup,
            iterations=settings.iterations,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        batch = {name: _to(next(stream), device) for name, stream in batches.items()}
        values: dict[str, Tensor] = {}
        for loss in _autocast(context, method.losses(model, batch)):
            logged = {loss.name: loss.value, **loss.parts}
            values |= {name: value.detach() for name, value in logged.items()}
            values |= method.backward(loss, parameters)
        _refuse_non_finite(values, step, batch)
        optimizer.step()
        method.after_step(model, step)

        seen += sum(len(part.index) for part in batch.values())
        progress(f"learning {labels.name}", step + 1, settings.iterations)
        if record and (step % settings.log_every == 0 or step + 1 == settings.iterations):
            numbers = {name: float(value) for name, value in values.items()}
            record(StepRecord(step, numbers, rate, seen / (time.perf_counter() - started)))
    optimizer.zero_grad(set_to_none=True)
    model.eval()
    method.end_task(model, task)


def _autocast(context: Accelerator, losses: Iterator[Loss]) -> Iterator[Loss]:
    """The losses, each forward pass in the training's precision; backward runs outside."""
    while True:
        with context.autocast():
            loss = next(losses, None)
        if loss is None:
            return
        yield loss


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


Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class _Augmented(Dataset[tuple[Pixels, int, int]]):
    """Training images under the random crop; asked by (step, position)."""

    def __init__(self, images: LabeledImages, preprocess: Preprocess, seed: int) -> None:
        self._images = images
        self._preprocess = preprocess
        self._seed = seed

    def __getitem__(self, key: tuple[int, int]) -> tuple[Pixels, int, int]:
        step, position = key
        rng = _generator(self._seed, "augmentation", step, position)
        pixels = self._preprocess.train_array(self._images[position], rng)
        return pixels, position, self._images.labels[position]


def task_batches(
    images: LabeledImages,
    preprocess: Preprocess,
    settings: TrainingSettings,
    *,
    seed: int,
    name: str,
) -> Iterator[Batch]:
    """Batches of augmented training images, one per step."""
    order = batch_order(len(images), settings.batch_size, seed=seed, name=name)
    keys = ([(step, position) for position in next(order)] for step in range(settings.iterations))
    loader = DataLoader(
        _Augmented(images, preprocess, seed),
        batch_sampler=keys,
        num_workers=settings.workers,
    )
    for pixels, index, labels in loader:
        yield Batch(preprocess.normalize(pixels), index, labels)


class _Fixed(Dataset[tuple[Pixels, int]]):
    """The images of a set as they are."""

    def __init__(self, images: ImageTexts) -> None:
        self._pixels = images.pixels

    def __getitem__(self, position: int) -> tuple[Pixels, int]:
        return np.array(self._pixels[position]), position


def set_batches(
    images: ImageTexts, preprocess: Preprocess, settings: TrainingSettings, *, seed: int, name: str
) -> Iterator[Batch]:
    """Batches of a fixed set, one per step."""
    order = batch_order(len(images), settings.batch_size, seed=seed, name=name)
    loader = DataLoader(
        _Fixed(images),
        batch_sampler=islice(order, settings.iterations),
        num_workers=settings.workers,
    )
    for pixels, index in loader:
        yield Batch(preprocess.normalize(pixels), index, index)


def _generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of its own for every purpose."""
    words = [w if isinstance(w, int) else int.from_bytes(w.encode(), "big") for w in purpose]
    return np.random.default_rng([seed, *words])


def _to(batch: Batch, device: torch.device) -> Batch:
    return Batch(
        batch.pixels.to(device, non_blocking=True),
        batch.index.to(device, non_blocking=True),
        batch.labels.to(device, non_blocking=True),
    )


def _refuse_non_finite(values: Mapping[str, Tensor], step: int, batch: Mapping[str, Batch]) -> None:
    if bool(torch.isfinite(torch.stack([v.double() for v in values.values()])).all()):
        return
    bad = ", ".join(name for name, value in values.items() if not torch.isfinite(value))
    where = "; ".join(f"{name} batch: images {b.index.tolist()}" for name, b in batch.items())
    raise FloatingPointError(
        f"step {step}: {bad} is not finite ({where}). The weights before this task are kept; "
        "try a smaller learning rate or penalty weight."
    )
