"""Process group and shared locks: the same computation on several processes, sharded by rows.

All processes hold the same weights and run the same code. What is costly is sharded by rows:
images to decode, images and texts to encode. The rows that other processes encoded come back
without their graph, so every process has the loss of the whole batch, and its gradient is the part
that flows through its own rows; the parts add up to the gradient. In a single process nothing here
changes anything.

The processes are those of ``accelerate launch`` or ``torchrun``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from accelerate import PartialState
from filelock import FileLock, Timeout
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from gift.distributed import DEVICE

T = TypeVar("T")


def initialise() -> None:
    """Initialise the process group where a launcher has started several processes.

    They may wait long for one another: one may fetch data for all.
    """
    PartialState(timeout=timedelta(days=7))


def device() -> torch.device:
    """The device of this process: that of :data:`DEVICE`, else the best that there is.

    Raises:
        ValueError: it is not on this machine, or one is named where a launcher gives each process
            its own.
    """
    best: torch.device = PartialState().device
    name = os.environ.get(DEVICE)
    if not name:
        return best
    if world_size() > 1:
        raise ValueError(
            f"device = {name!r} cannot be chosen for several processes, each of which has its own; "
            "leave it out, and choose with the launcher (CUDA_VISIBLE_DEVICES)."
        )
    there = _devices()
    chosen = f"{name}:0" if f"{name}:0" in there else name
    if chosen not in there:
        raise ValueError(
            f"device = {name!r} is not on this machine, which has {', '.join(there)}; choose one "
            "of these."
        )
    return torch.device(chosen)


def _devices() -> list[str]:
    """The devices of this machine by their names in torch."""
    found = ["cpu"]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None:
        found += [f"{accelerator.type}:{i}" for i in range(torch.accelerator.device_count())]
    return found


def world_size() -> int:
    """How many processes work together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the process that writes and speaks."""
    return rank() == 0


def shard(count: int, process: int | None = None) -> range:
    """The rows of a process (by default this one) out of ``count``.

    They are neighbours, and as many as the others' or one more.
    """
    process = rank() if process is None else process
    least, more = divmod(count, world_size())
    start = process * least + min(process, more)
    return range(start, start + least + (process < more))


def gather(own: Tensor, count: int) -> Tensor:
    """All ``count`` rows, of which each process has its :func:`shard`.

    Args:
        own: [len(shard(count)), ...], the same shape but for the first axis and the same type on
            every process.
        count: rows of all processes together.

    Returns:
        [count, ...]; the own rows keep their graph, the others have none.
    """
    if world_size() == 1:
        return own
    shards = [shard(count, process) for process in range(world_size())]
    sent = own.new_zeros((len(shards[0]), *own.shape[1:]))
    sent[: len(own)] = own.detach()
    received = [torch.empty_like(sent) for _ in shards]
    distributed.all_gather(received, sent)
    parts = [rows[: len(part)] for rows, part in zip(received, shards, strict=True)]
    parts[rank()] = own
    return torch.cat(parts)


def map_rows(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """``function(inputs)`` row by row, each process computing its shard.

    Args:
        function: maps rows to as many rows, each by itself.
        inputs: the same on every process, at least one row.
    """
    if world_size() == 1:
        return function(inputs)
    rows = shard(len(inputs))
    own = inputs[rows.start : rows.stop]
    # A process without rows still needs their shape, and a graph to run backward on.
    made = function(own) if len(own) else function(inputs[:1])[:0]
    return gather(made, len(inputs))


def backward(loss: Tensor, parameters: Iterable[Tensor]) -> None:
    """``loss.backward()`` for the gradient through the rows of all processes.

    Args:
        loss: the same on every process, made of rows from :func:`map_rows`.
        parameters: whose ``.grad`` grows by the gradient; what it holds already is whole.
    """
    if world_size() == 1:
        loss.backward()
        return
    tensors = list(parameters)
    if any(isinstance(tensor, DTensor) for tensor in tensors):
        # FSDP adds the mean over the processes to the gradients that are there.
        (world_size() * loss).backward()
        return
    before = [tensor.grad for tensor in tensors]
    for tensor in tensors:
        tensor.grad = None
    loss.backward()
    all_reduce(tensor.grad for tensor in tensors)
    for tensor, earlier in zip(tensors, before, strict=True):
        if earlier is not None:
            tensor.grad = earlier if tensor.grad is None else earlier.add_(tensor.grad)


def all_reduce(gradients: Iterable[Tensor | None]) -> None:
    """Replace each gradient by the sum over the processes, in place; None stays None."""
    if world_size() == 1:
        return
    found = [gradient for gradient in gradients if gradient is not None]
    for work in [distributed.all_reduce(gradient, async_op=True) for gradient in found]:
        work.wait()


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any process."""
    return any(all_gather_objects([flag]))


def all_gather_objects(own: Sequence[T]) -> list[T]:
    """The entries of all processes, in the order of their ranks."""
    gathered: list[Sequence[T]] = [own] * world_size()
    if world_size() > 1:
        distributed.all_gather_object(gathered, own)
    return [entry for entries in gathered for entry in entries]


def on_main(make: Callable[[], T]) -> T:
    """What the main process makes, on all of them; an error there is raised everywhere."""
    if world_size() == 1:
        return make()
    outcome: list[Any] = [None, None]
    if is_main():
        try:
            outcome[0] = make()
        except Exception as error:
            outcome[1] = error
    distributed.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return cast(T, outcome[0])


def barrier() -> None:
    """Until all processes have come here."""
    if world_size() > 1:
        distributed.barrier()


@contextmanager
def main_first() -> Iterator[None]:
    """Run a block on the main process, then on the others."""
    if not is_main():
        barrier()
    try:
        yield
    finally:
        if is_main():
            barrier()


@contextmanager
def shared_lock(path: Path, *, meet_every: float = 60.0) -> Iterator[None]:
    """Hold a file lock on the main process for all of them; any other job waits for it.

    Args:
        path: the lock file.
        meet_every: seconds after which waiting processes communicate. The backend gives up
            processes that are silent for longer than its timeout (10 minutes with NCCL).
    """
    lock = FileLock(path)

    def acquired() -> bool:
        try:
            lock.acquire(timeout=meet_every)
        except Timeout:
            return False
        return True

    while not on_main(acquired):
        pass
    try:
        yield
    finally:
        lock.release()
