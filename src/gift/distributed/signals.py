"""Stop signals (SIGINT, SIGTERM), handled between two training steps instead of inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ASKING_TO_STOP = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what a cluster sends before it takes a machine away."""


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Defer stop signals while the block runs.

    A second Ctrl-C raises at once; SIGTERM may come several times, from a launcher and a cluster.
    At the end of the block a signal that came raises KeyboardInterrupt. In a thread other than the
    main one nothing is deferred.

    Yields:
        A function that returns whether a signal has come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if number == signal.SIGINT:
            signal.signal(number, before[signal.SIGINT])

    before = {number: signal.signal(number, note) for number in ASKING_TO_STOP}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt
