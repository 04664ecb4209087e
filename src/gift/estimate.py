"""What work will cost: known from the settings, and timed in a few steps on this machine."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from gift.data import Task
from gift.data.loader import ImageTexts
from gift.learner import Learner
from gift.methods import TaskContext, create_method
from gift.progress import unreported
from gift.text import count_of, duration
from gift.train import train_task
from gift.vlm.features import pixel_batch

_BATCHES = (2, 8)
"""Batch sizes that are timed where a whole batch would take long; its time follows from these."""

_SECONDS = 5.0
"""A whole batch that seems to take less is timed itself."""

_STEPS = 3
"""Training steps of each timing; the fastest but for the first one counts."""

LONG = 3600.0
"""Seconds of work on a CPU from which on it is not begun unasked."""

_SHORT = 10**11
"""Parameters times steps times batch size up to which a training takes minutes at most anywhere."""


@dataclass(frozen=True)
class Timings:
    """What was timed on this machine.

    Attributes:
        step: seconds of a training step.
        classified: seconds to classify an image.
        generated: seconds to generate an image; 0 where none is to be generated.
        memory: bytes at the most, of the main memory or of a GPU's; 0 where it is not known.
    """

    step: float = 0.0
    classified: float = 0.0
    generated: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Plan:
    """What a command will do, and what it will cost.

    Attributes:
        device: where it runs.
        model: folder or id of the CLIP-like model; None where none is used.
        parameters: numbers in it; 0 while it is not downloaded.
        method: its name; None where nothing is learned.
        generator: folder or id of the text-to-image pipeline; None where none is used.
        tasks: how many are learned.
        images: training images of them.
        generate: synthetic images to be generated.
        stored: synthetic images that are in the store already.
        steps: training steps in all.
        batch_size: images per step and stream.
        classified: images that are classified, one counted as often as that is done.
        downloads: what will be downloaded, in words.
        timings: what was timed here; None where it was not.
    """

    device: str
    model: str | None = None
    parameters: int = 0
    method: str | None = None
    generator: str | None = None
    tasks: int = 0
    images: int = 0
    generate: int = 0
    stored: int = 0
    steps: int = 0
    batch_size: int = 0
    classified: int = 0
    downloads: tuple[str, ...] = ()
    timings: Timings | None = None

    @property
    def seconds(self) -> dict[str, float]:
        """Estimated seconds by what is done; empty where nothing was timed."""
        if self.timings is None:
            return {}
        return {
            "generating": self.timings.generated * self.generate,
            "learning": self.timings.step * self.steps,
            "measuring": self.timings.classified * self.classified,
        }

    @property
    def is_short(self) -> bool:
        """Whether learning takes minutes at most on any machine, so that timing is no use."""
        return self.parameters * self.steps * self.batch_size < _SHORT and not self.downloads

    @property
    def is_long(self) -> bool:
        """Whether it takes more than an hour on a CPU."""
        return self.device.startswith("cpu") and sum(self.seconds.values()) > LONG

    def lines(self) -> list[str]:
        """The plan for people, a line each."""
        found = []
        if self.model is not None:
            size = f" ({self.parameters / 1e6:.1f} million parameters)" if self.parameters else ""
            found.append(f"Model:      {self.model}{size}")
        if self.method is not None:
            tasks = f"{self.tasks} tasks, " if self.tasks > 1 else ""
            found.append(f"Method:     {self.method}")
            found.append(
                f"Training:   {tasks}{self.images} images, {self.steps} steps of {self.batch_size}"
            )
        if self.generator is not None:
            images = f"{self.generate} images to generate"
            stored = f", {self.stored} are there already" if self.stored else ""
            found.append(f"Generator:  {self.generator}: {images}{stored}")
        found.append(f"Device:     {self.device}")
        found += [f"Download:   {one}" for one in self.downloads]
        if self.timings is not None:
            parts = [f"{what} {duration(s)}" for what, s in self.seconds.items() if s >= 1]
            of = f" ({', '.join(parts)})" if len(parts) > 1 else ""
            found.append(f"Time:       about {duration(sum(self.seconds.values()))}{of}")
            if self.timings.memory:
                found.append(f"Memory:     about {self.timings.memory / 1e9:.1f} GB")
        return found


def device_words(device: torch.device) -> str:
    """A device in words: with its name, or the threads that are used of a CPU.

    >>> device_words(torch.device("cpu")).startswith("cpu (")
    True
    """
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"{device} ({count_of(torch.get_num_threads(), 'thread')})"
    return str(device)


def timed(learner: Learner, task: Task, *, generates: bool) -> Timings:
    """Time a few training steps of the learner's method, and its generator.

    The learner stays as it is, and so do the generators of random numbers.

    Args:
        learner: with its model loaded.
        task: that it is about to learn; a few of its images are decoded.
        generates: whether images are to be generated: the pipeline is loaded and tried.

    Raises:
        ValueError: the generator cannot be loaded or generates no images.
    """
    device = learner.model.device
    is_gpu = device.type == "cuda"
    with unreported(), torch.random.fork_rng(devices=[device] if is_gpu else []):
        generated = 0.0
        if generates:
            generated = learner.streams.generator.seconds_per_image()
            learner.streams.generator.release()
        before = psutil.Process().memory_info().rss
        step = _full_step(learner, task)
        growth = max(0, psutil.Process().memory_info().rss - before)
        classified = _seconds_to_classify(learner)
    memory = before + growth + step.graph_bytes
    if is_gpu:
        memory = torch.cuda.max_memory_allocated(device)
    return Timings(step.seconds, classified, generated, memory)


@dataclass(frozen=True)
class _Step:
    """Seconds of a training step, and the bytes that its graph keeps for the backward pass."""

    seconds: float
    graph_bytes: int


def _full_step(learner: Learner, task: Task) -> _Step:
    """A step of a whole batch: as it is timed, or as it follows from two smaller ones."""
    size, (few, more) = learner.config.training.batch_size, _BATCHES
    if size <= more:
        return _steps(learner, task, size)
    first = _steps(learner, task, few)
    if first.seconds * size / few < _SECONDS:
        return _steps(learner, task, size)
    last = _steps(learner, task, more)
    # Noise must not make more images cheaper.
    slope = max((last.seconds - first.seconds) / (more - few), last.seconds / more / 2)
    return _Step(last.seconds + slope * (size - more), last.graph_bytes * size // more)


def _steps(learner: Learner, task: Task, batch: int) -> _Step:
    """A few steps of the method on a copy of the model; its further images are noise."""
    config = learner.config
    method = create_method(config.method, config.method_settings)
    if not method.trains or method.steps(config.training.iterations) == 0:
        return _Step(0.0, 0)
    model = copy.deepcopy(learner.model)
    method.load_state_dict({k: v.clone() for k, v in learner.method.state_dict().items()})
    assert task.train is not None, "it is about to be learned"
    images = task.train.select([i % len(task.train) for i in range(max(batch, 4))])
    captions = tuple(task.labels.prompts[label] for label in images.labels)
    noise = ImageTexts(_noise(len(images), model.preprocess.size), captions)
    sets = dict.fromkeys((*method.streams, *method.sets), noise)
    context = TaskContext(
        task.labels, config.training.label_smoothing, sets, captions, learner.memory, config.seed
    )
    plain = {"iterations": _STEPS, "batch_size": batch, "log_every": 1, "keep": "last"}
    plain |= {"warmup": 0, "workers": 0, "compile": False, "shard": False, "on_nonfinite": "skip"}
    settings, times = config.training.model_copy(update=plain), [time.perf_counter()]
    graph = _Graph(model)
    with saved_tensors_hooks(graph.pack, graph.unpack):
        train_task(
            model,
            method,
            context,
            images,
            settings,
            record=lambda step: times.append(time.perf_counter()),
        )
    return _Step(min(b - a for a, b in pairwise(times[1:])), graph.most)


def _seconds_to_classify(learner: Learner) -> float:
    """Seconds to encode an image, of a few."""
    model, count = learner.model, _BATCHES[-1]
    batch = pixel_batch(model, _noise(count, model.preprocess.size), range(count))
    times = []
    with torch.no_grad():
        for _ in range(2):
            started = time.perf_counter()
            model.encode_images(batch).sum().item()
            times.append(time.perf_counter() - started)
    return min(times) / count


def _noise(count: int, side: int) -> NDArray[np.uint8]:
    """Images, uint8 [count, side, side, 3]."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


class _Graph:
    """Counts the bytes that graphs keep for their backward pass, at the most at one time.

    Weights do not count. A graph is taken to end where the first tensor of it is used.
    """

    def __init__(self, model: nn.Module) -> None:
        self._weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self._kept: set[int] = set()
        self._bytes = 0
        self._ends = False
        self.most = 0

    def pack(self, tensor: Tensor) -> Tensor:
        if self._ends:
            self._kept, self._bytes, self._ends = set(), 0, False
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place not in self._weights and place not in self._kept:
            self._kept.add(place)
            self._bytes += storage.nbytes()
            self.most = max(self.most, self._bytes)
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        self._ends = True
        return tensor
