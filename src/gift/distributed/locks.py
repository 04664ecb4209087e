"""What processes that were launched together need to share one piece of work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from torch import distributed

from gift.distributed.processes import on_main, world_size

T = TypeVar("T")

# Processes that wait for each other longer than the backend's timeout (10 minutes with NCCL) are
# given up, so those that wait for a lock meet more often than that.
_MEET_EVERY = 60.0


def all_gather_objects(own: Sequence[T]) -> list[T]:
    """The entries of all processes, in their order."""
    parts: list[Any] = [own] * world_size()
    if world_size() > 1:
        distributed.all_gather_object(parts, own)
    return [entry for part in parts for entry in part]


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """A lock that the first process holds for all of them; whoever else wants it waits."""
    lock = FileLock(path)
    while not on_main(lambda: _acquired(lock)):
        pass
    try:
        yield
    finally:
        lock.release()


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=_MEET_EVERY)
    except Timeout:
        return False
    return True
