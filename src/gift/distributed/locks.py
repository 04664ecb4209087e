"""Objects and locks shared by processes that were launched together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from torch import distributed

from gift.distributed.processes import on_main, world_size

T = TypeVar("T")


def all_gather_objects(own: Sequence[T]) -> list[T]:
    """The entries of all processes, in the order of their ranks."""
    gathered: list[Sequence[T]] = [own] * world_size()
    if world_size() > 1:
        distributed.all_gather_object(gathered, own)
    return [entry for entries in gathered for entry in entries]


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
