"""The training of one task: a harness, readable from top to bottom, around a method's steps."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from accelerate.utils import parse_flag_from_env
from torch import Tensor

from gift import distributed, weights
from gift.best import Best
from gift.config import ScheduleName, TrainingSettings
from gift.data.images import ImageSet
from gift.data.loader import Batch, Loading, set_batches, task_batches
from gift.distributed import fsdp
from gift.distributed.signals import deferred
from gift.methods import Method, TaskContext
from gift.optimization import learning_rate, make_optimizer
from gift.progress import report
from gift.runs.checkpoint import Checkpoints
from gift.vlm import VisionLanguageModel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepRecord:
    """What one step did, for the log.

    Attributes:
        step: its number, from 0.
        losses: by name; without those that are not finite.
        lr: its learning rate, that of the first parameter group.
        images_per_second: since the training was started.
        left_out: whether the update was skipped, since a loss was not finite.
    """

    step: int
    losses: dict[str, float]
    lr: float
    images_per_second: float
    left_out: bool = False

    def __str__(self) -> str:
        """The figures on a line, the task's own loss before all others."""
        losses = [f"{name} {value:.3g}" for name, value in self.losses.items() if name != "task"]
        figures = [f"learning rate {self.lr:.2g}", f"{self.images_per_second:.3g} images/s"]
        own = [f"loss {self.losses['task']:.3g}"] if "task" in self.losses else []
        return ", ".join(own + figures + losses)


Recorder = Callable[[StepRecord], None]
"""Takes the records of the logged steps."""


@dataclass(frozen=True)
class Trained:
    """What a training ended with.

    Attributes:
        ending_seconds: that the method took to end the task.
        best_step: steps that the kept weights had, where the best ones were chosen.
        best_accuracy: percent, of those weights on the validation images.
    """

    ending_seconds: float = 0.0
    best_step: int | None = None
    best_accuracy: float | None = None


def training_device() -> torch.device:
    """The device of this process, see :func:`gift.distributed.device`.

    Raises:
        ValueError: the launcher asks for FSDP, or a device that is not there.
    """
    if parse_flag_from_env("ACCELERATE_USE_FSDP"):
        raise ValueError(
            "accelerate's FSDP is switched on (--use_fsdp, or fsdp_config in its configuration), "
            "but weights are sharded by training.shard = true; start without it and set that."
        )
    return distributed.device()


def train_task(
    model: VisionLanguageModel,
    method: Method,
    task: TaskContext,
    images: ImageSet,
    settings: TrainingSettings,
    *,
    record: Recorder | None = None,
    checkpoints: Checkpoints | None = None,
    validate: Callable[[], float] | None = None,
) -> Trained:
    """Teach a model one task.

    Args:
        model: changed in place; also where the training is resumed, it comes as it was before.
        method: its hooks are called; it must not have begun the task.
        task: its label space, and the image sets that the method asked for. Its seed is that of
            batch order and augmentation, too: a step's batch depends on (seed, step) alone.
        images: its training images.
        settings: iterations, batch size, schedule.
        record: called every ``settings.log_every`` steps, at the last one, and for skipped updates.
        checkpoints: where unfinished trainings are kept; what is there is resumed.
        validate: measures the model's accuracy on validation images; the weights that were best
            are kept. None keeps those of the last step.

    Raises:
        FloatingPointError: a loss is not finite; the weights are those before that step, with
            ``settings.shard`` those before the task.
        ValueError: weights that cannot be sharded, see :func:`gift.distributed.fsdp.check`.
        KeyboardInterrupt: the process was asked to stop; a checkpoint was kept before.
    """
    device, name = training_device(), task.labels.name
    model.to(device)
    with _sharded(model, method, settings, device):
        model.prepare_training(
            precision=settings.precision,
            parts=settings.accumulate,
            checkpoint_layers=settings.gradient_checkpointing,
            compile_layers=settings.compile,
        )
        method.begin_task(model, task)
        parameters = model.trainable_parameters()
        optimizer = method.optimizer(
            model,
            learning_rate=settings.rate_of(name),
            weight_decay=settings.weight_decay,
        ) or make_optimizer(
            settings.optimizer,
            parameters.values(),
            learning_rate=settings.rate_of(name),
            weight_decay=settings.weight_decay,
            momentum=settings.momentum,
        )
        peaks = [group["lr"] for group in optimizer.param_groups]
        backward = partial(distributed.backward, parameters=parameters.values())
        best = None if validate is None else Best(validate, model)
        first = _resume(checkpoints, model, optimizer, method, best)
        last = method.steps(settings.iterations)
        warmup = settings.warmup_of(last)
        if warmup < settings.warmup and first < last:
            log.info(
                "%s: the warm-up is %d of the %d steps, a tenth, since training.warmup = %d would "
                "not leave any after it.",
                name,
                warmup,
                last,
                settings.warmup,
            )
        scheduled = partial(_rate, method, settings.schedule, warmup=warmup, iterations=last)
        batches = _batches(model, method, task, images, settings, range(first, last))
        started, seen, note = time.perf_counter(), 0, ""
        with _training(model, optimizer), deferred() as is_asked_to_stop:
            for step in range(first, last):
                for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                    group["lr"] = scheduled(step, peak=peak)
                optimizer.zero_grad(set_to_none=True)
                batch = {name: next(stream) for name, stream in batches.items()}
                losses = _detached(method.step(model, batch, backward))
                skipped = not _is_finite(losses, settings.on_nonfinite, name, step, batch)
                if not skipped:
                    method.update(model, optimizer)
                method.after_step(model, step)
                if best and settings.is_validated(step + 1, last):
                    best.measure(step + 1)

                seen += sum(len(part.index) for part in batch.values())
                if skipped or step + 1 == last or step % settings.log_every == 0:
                    speed = seen / (time.perf_counter() - started)
                    rate = optimizer.param_groups[0]["lr"]
                    done = StepRecord(step, _finite(losses), rate, speed, skipped)
                    note = str(done)
                    if record:
                        record(done)
                report(f"learning {name}", step + 1, last, note)
                stop = distributed.any_rank(is_asked_to_stop())
                if checkpoints and (stop or checkpoints.is_due(step + 1)):
                    checkpoints.keep(step + 1, _state(parameters, optimizer, method, best))
                if stop:
                    raise KeyboardInterrupt
        if best:
            best.restore()
        started = time.perf_counter()
        method.end_task(model, task)
        ending = time.perf_counter() - started
    return Trained(ending, best.step, best.accuracy) if best else Trained(ending)


@contextmanager
def _training(model: VisionLanguageModel, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Training mode; afterwards, also of an interrupted training, evaluation without gradients."""
    model.train()
    try:
        yield
    finally:
        optimizer.zero_grad(set_to_none=True)
        model.eval()


def _batches(
    model: VisionLanguageModel,
    method: Method,
    task: TaskContext,
    images: ImageSet,
    settings: TrainingSettings,
    steps: range,
) -> dict[str, Iterator[Batch]]:
    """The streams of a step by name: the task's own, and those that the method asked for."""
    loading = Loading(
        steps,
        settings.batch_size,
        seed=task.seed,
        workers=settings.workers,
        device=model.device,
        balanced=settings.balanced,
    )
    streams = {"task": task_batches(images, model.preprocess, loading, name=task.labels.name)}
    for name in (name for name in method.streams if name in task.sets):
        own = f"{name} for {task.labels.name}"
        streams[name] = set_batches(task.sets[name], model.preprocess, loading, name=own)
    return streams


@contextmanager
def _sharded(
    model: VisionLanguageModel, method: Method, settings: TrainingSettings, device: torch.device
) -> Iterator[None]:
    """Shard the weights over the processes while a task is learned, where that is asked for.

    Afterwards each process has all weights again: the learned ones, or after an error those before.
    """
    if not settings.shard:
        yield
        return
    fsdp.check(method.name(), is_able=method.shards)
    towers, state = model.towers, method.state_dict()
    model.towers = fsdp.shard_towers(towers, device)
    parameters = model.trainable_parameters()
    method.load_state_dict(
        {key: fsdp.shard_like(t, parameters.get(_parameter(key), t)) for key, t in state.items()}
    )
    try:
        with fsdp.quiet_views():
            yield
        state = {name: fsdp.full(tensor) for name, tensor in method.state_dict().items()}
        fsdp.copy_back(towers, model.towers)
    finally:
        model.towers = towers.to(device)
        method.load_state_dict(state)


def _parameter(key: str) -> str:
    """The parameter's name in a key of a method's state, such as ``initial/<name>``."""
    return key.rpartition("/")[2]


def _rate(
    method: Method,
    schedule: ScheduleName,
    step: int,
    *,
    peak: float,
    warmup: int,
    iterations: int,
) -> float:
    """The learning rate of a step, by the method's own schedule or that of the settings."""
    own = method.learning_rate(step, peak=peak, warmup=warmup, iterations=iterations)
    if own is not None:
        return own
    return learning_rate(schedule, step, peak=peak, warmup=warmup, iterations=iterations)


def _state(
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    method: Method,
    best: Best | None,
) -> dict[str, Tensor]:
    """All that the further steps depend on, by name; full tensors on the main process."""
    state = {
        **{f"weights/{name}": parameter for name, parameter in parameters.items()},
        **{
            f"optimizer/{key}/{name}": value
            for name, parameter in parameters.items()
            for key, value in optimizer.state[parameter].items()
            if isinstance(value, Tensor)
        },
        **weights.with_prefix("method", method.training_state()),
        **weights.with_prefix("best", best.state() if best else {}),
    }
    return fsdp.full_on_main(state)


def _resume(
    checkpoints: Checkpoints | None,
    model: VisionLanguageModel,
    optimizer: torch.optim.Optimizer,
    method: Method,
    best: Best | None,
) -> int:
    """Load the newest :func:`_state`; returns the step to continue with."""
    newest = checkpoints.newest() if checkpoints else None
    if newest is None:
        return 0
    parameters = model.trainable_parameters()
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "optimizer": {}, "method": {}, "best": {}}
    for path, tensor in newest.tensors.items():
        part, _, name = path.partition("/")
        parts[part][name] = tensor
    for name, parameter in parameters.items():
        weight = fsdp.shard_like(parts["weights"][name], parameter)
        weights.assign({name: parameter}, {name: weight})
    for path, value in parts["optimizer"].items():
        key, _, name = path.partition("/")
        parameter = parameters[name]
        # A copy: on a CPU the tensor is a view of the file, which is deleted later.
        optimizer.state[parameter][key] = fsdp.shard_like(value, parameter)
    method.load_training_state(parts["method"])
    if best:
        best.load_state(parts["best"])
    return newest.step


def _detached(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: fsdp.full(value.detach()) for name, value in losses.items()}


def _finite(losses: Mapping[str, Tensor]) -> dict[str, float]:
    found = {name: float(value) for name, value in losses.items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _is_finite(
    losses: Mapping[str, Tensor], otherwise: str, task: str, step: int, batch: Mapping[str, Batch]
) -> bool:
    """Whether all losses are finite; raises for one that is not unless it may be skipped."""
    if bool(torch.isfinite(torch.stack([v.double() for v in losses.values()])).all()):
        return True
    bad = ", ".join(name for name, value in losses.items() if not torch.isfinite(value))
    where = "; ".join(f"{name} batch: images {b.index.tolist()}" for name, b in batch.items())
    problem = f"task {task}, step {step}: {bad} is not finite ({where})."
    if otherwise == "skip":
        log.warning("%s The step is skipped.", problem)
        return False
    raise FloatingPointError(
        f"{problem} The weights before this task are kept; try a smaller learning rate or penalty "
        "weight, or skip such steps with --on-nonfinite skip (training.on_nonfinite = skip)."
    )
