"""The training of one task, readable from top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import parse_flag_from_env
from torch import Tensor

from gift import distributed
from gift import weights as consolidation
from gift.config import TrainingSettings
from gift.data.images import LabeledImages
from gift.data.labels import LabelSpace
from gift.data.loader import Batch, ImageTexts, set_batches, task_batches
from gift.distributed import fsdp
from gift.distributed.signals import deferred
from gift.methods import Loss, Method, TaskContext
from gift.methods.base import Parameters
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
        lr: its learning rate.
        images_per_second: since the training was started.
        left_out: whether the weights stayed as they were, since a loss was not finite.
    """

    step: int
    losses: dict[str, float]
    lr: float
    images_per_second: float
    left_out: bool = False


Recorder = Callable[[StepRecord], None]
"""Takes the records of the logged steps."""


def accelerator(precision: str = "fp32") -> Accelerator:
    """Device and precision of the training, from the machine and the launcher.

    Raises:
        ValueError: this process has trained in another precision before, or the launcher asks for
            FSDP.
    """
    if parse_flag_from_env("ACCELERATE_USE_FSDP"):
        raise ValueError(
            "accelerate's FSDP is switched on (--use_fsdp, or fsdp_config in its configuration), "
            "but weights are spread by training.shard = true; start without it and set that."
        )
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
    checkpoints: Checkpoints | None = None,
    finish: bool = True,
) -> float:
    """Teach a model one task.

    Args:
        model: changed in place; also where the training is resumed, it comes as it was before.
        method: its hooks are called; it must not have begun the task.
        labels: the task's class names and templates.
        images: its training images.
        settings: iterations, batch size, schedule.
        sets: the image sets that the method asked for; those it calls streams give batches.
        seed: of batch order and augmentation; every step's batch depends on (seed, step) alone.
        sentences: texts of no task, see :class:`~gift.methods.TaskContext`.
        record: called every ``settings.log_every`` steps, at the last one, and for steps left out.
        checkpoints: where unfinished trainings are kept; what is there is gone on with.
        finish: False leaves the task before its end: the weights after the last step are kept in
            ``checkpoints``, from where the same training finishes it later.

    Returns:
        The seconds that the method took to end the task.

    Raises:
        FloatingPointError: a loss is not finite; the weights are those before that step, with
            ``settings.shard`` those before the task.
        ValueError: weights that cannot be spread, see :func:`gift.fsdp.check`.
        KeyboardInterrupt: the process was asked to stop; a checkpoint was kept before.
    """
    context = accelerator(settings.precision)
    device = context.device
    model.to(device)
    with _spread(model, method, settings, device):
        model.save_memory(
            parts=settings.accumulate, checkpoint_layers=settings.gradient_checkpointing
        )
        if settings.compile:
            model.compile_layers()
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
        first = _resume(checkpoints, parameters, optimizer, method)
        place = {"seed": seed, "device": device, "first": first, "workers": settings.workers}
        place |= {"steps": settings.iterations, "batch_size": settings.batch_size}
        batches = {
            "task": task_batches(images, model.preprocess, name=labels.name, **place),
            **{
                name: set_batches(
                    sets[name],
                    model.preprocess,
                    name=f"{name} for {labels.name}",
                    **place,
                )
                for name in method.streams
                if name in sets
            },
        }
        model.train()
        started, seen = time.perf_counter(), 0
        with deferred() as is_asked_to_stop:
            for step in range(first, settings.iterations):
                rate = learning_rate(
                    step,
                    peak=settings.rate_of(labels.name),
                    warmup=settings.warmup,
                    iterations=settings.iterations,
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.zero_grad(set_to_none=True)
                batch = {name: next(stream) for name, stream in batches.items()}
                values: dict[str, Tensor] = {}
                for loss in _autocast(context, method.losses(model, batch)):
                    logged = {loss.name: loss.value, **loss.parts}
                    values |= {name: value.detach() for name, value in logged.items()}
                    further = method.backward(loss, parameters)
                    values |= {name: fsdp.full(value) for name, value in further.items()}
                left_out = not _is_finite(values, settings.on_nonfinite, labels.name, step, batch)
                if not left_out:
                    optimizer.step()
                method.after_step(model, step)

                seen += sum(len(part.index) for part in batch.values())
                report(f"learning {labels.name}", step + 1, settings.iterations)
                is_last = step + 1 == settings.iterations
                if record and (left_out or is_last or step % settings.log_every == 0):
                    found = {name: float(value) for name, value in values.items()}
                    finite = {name: value for name, value in found.items() if math.isfinite(value)}
                    speed = seen / (time.perf_counter() - started)
                    record(StepRecord(step, finite, rate, speed, left_out))
                stop = distributed.any_rank(is_asked_to_stop())
                if checkpoints and (stop or checkpoints.is_due(step + 1)):
                    checkpoints.keep(step + 1, _state(parameters, optimizer, method))
                if stop:
                    raise KeyboardInterrupt
        optimizer.zero_grad(set_to_none=True)
        model.eval()
        started = time.perf_counter()
        if finish:
            method.end_task(model, task)
        elif checkpoints:
            state = _state(parameters, optimizer, method).items()
            trained = {key: value for key, value in state if not key.startswith("optimizer/")}
            checkpoints.keep(settings.iterations, trained)
        return time.perf_counter() - started


@contextmanager
def _spread(
    model: VisionLanguageModel, method: Method, settings: TrainingSettings, device: torch.device
) -> Iterator[None]:
    """Let the processes share the weights while a task is learned, where that is wanted.

    Afterwards each has all weights again: the learned ones, or after an error those before.
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


def _state(
    parameters: Parameters, optimizer: torch.optim.Optimizer, method: Method
) -> dict[str, Tensor]:
    """All that the further steps depend on, by name; whole on the main process."""
    state = {
        **{f"weights/{name}": parameter for name, parameter in parameters.items()},
        **{
            f"optimizer/{key}/{name}": value
            for name, parameter in parameters.items()
            for key, value in optimizer.state[parameter].items()
        },
        **{f"method/{name}": value for name, value in method.training_state().items()},
    }
    return fsdp.full_on_main(state)


def _resume(
    checkpoints: Checkpoints | None,
    parameters: Parameters,
    optimizer: torch.optim.Optimizer,
    method: Method,
) -> int:
    """Take back the newest :func:`_state`; returns the step to go on with."""
    moment = checkpoints.newest() if checkpoints else None
    if moment is None:
        return 0
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "optimizer": {}, "method": {}}
    for path, tensor in moment.tensors.items():
        part, _, name = path.partition("/")
        parts[part][name] = tensor
    for name, parameter in parameters.items():
        weight = fsdp.shard_like(parts["weights"][name], parameter)
        consolidation.put({name: parameter}, {name: weight})
    for path, value in parts["optimizer"].items():
        key, _, name = path.partition("/")
        parameter = parameters[name]
        # A copy: on a CPU the tensor is a view of the file, which is deleted later.
        optimizer.state[parameter][key] = fsdp.shard_like(value, parameter)
    method.load_training_state(parts["method"])
    return moment.step


def _autocast(context: Accelerator, losses: Iterator[Loss]) -> Iterator[Loss]:
    """The losses, each forward pass in the training's precision; backward runs outside."""
    while True:
        with context.autocast():
            loss = next(losses, None)
        if loss is None:
            return
        yield loss


def _is_finite(
    values: Mapping[str, Tensor], otherwise: str, task: str, step: int, batch: Mapping[str, Batch]
) -> bool:
    """Whether all values are finite; raises for one that is not unless it may be skipped."""
    if bool(torch.isfinite(torch.stack([v.double() for v in values.values()])).all()):
        return True
    bad = ", ".join(name for name, value in values.items() if not torch.isfinite(value))
    where = "; ".join(f"{name} batch: images {b.index.tolist()}" for name, b in batch.items())
    problem = f"task {task}, step {step}: {bad} is not finite ({where})."
    if otherwise == "skip":
        log.warning("%s The step is left out.", problem)
        return False
    raise FloatingPointError(
        f"{problem} The weights before this task are kept; try a smaller learning rate or penalty "
        "weight, or leave such steps out with --on-nonfinite skip (training.on_nonfinite = skip)."
    )
