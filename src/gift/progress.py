"""Progress of long work: whoever works reports, whoever shows listens.

Work is reported by stage ("decode", "learning pets"), so that nothing has to be passed through the
functions in between::

    for image in track(images, "decode"):
        ...

    with listening(show):
        learner.learn(task)

It is also logged as ``gift.progress``, level INFO: a line when a stage ends and every half minute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from gift.text import one_line

T = TypeVar("T")

log = logging.getLogger(__name__)

_LINE_SECONDS = 30.0
"""Seconds between two lines of a stage in the log."""


class Progress(NamedTuple):
    """How far long work is.

    Attributes:
        stage: what is done.
        done: parts that are done.
        total: all parts.
        note: figures of the last part, such as ``loss 0.52, rate 1e-05, 45 images/s``.
    """

    stage: str
    done: int
    total: int
    note: str = ""


Listener = Callable[[Progress], None]
"""Called while long work goes on."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_is_reported: ContextVar[bool] = ContextVar("is_reported", default=True)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Let a function hear of all work in the block; None: nobody hears of it."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def unreported() -> Iterator[None]:
    """Nothing in the block is reported: trials that only look like the work itself."""
    token = _is_reported.set(False)
    try:
        yield
    finally:
        _is_reported.reset(token)


@contextmanager
def silenced(level: int, *libraries: Any) -> Iterator[None]:
    """No progress bars of Hugging Face's libraries, and no log lines below a level.

    Args:
        level: of :mod:`logging`.
        libraries: their logging modules, such as ``transformers.utils.logging``.
    """
    before = [(library.is_progress_bar_enabled(), library.get_verbosity()) for library in libraries]
    for library in libraries:
        library.disable_progress_bar()
        library.set_verbosity(level)
    try:
        yield
    finally:
        for library, (bars, verbosity) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if bars:
                library.enable_progress_bar()


@dataclass
class _Lines:
    """Writes progress to the log, a line now and then.

    Attributes:
        started: of each stage that is not finished, when it was first heard of and what was done.
        last: when the last line was written.
    """

    started: dict[str, tuple[float, int]] = field(default_factory=dict)
    last: float = field(default_factory=time.monotonic)

    def write(self, now: Progress) -> None:
        seconds = time.monotonic()
        begun, before = self.started.setdefault(now.stage, (seconds, now.done))
        if now.done < before:  # it began anew
            begun, before = self.started[now.stage] = seconds, now.done
        finished = now.done >= now.total
        if finished:
            del self.started[now.stage]
        elif seconds - self.last < _LINE_SECONDS:
            return
        self.last = seconds
        words = [f"{one_line(now.stage)}: {now.done} of {now.total}"]
        if now.note:
            words.append(now.note)
        if not finished and now.done > before:
            left = (seconds - begun) / (now.done - before) * (now.total - now.done)
            words.append(f"{timedelta(seconds=round(left))} left")
        log.info("%s", ", ".join(words))


_lines = _Lines()


def report(stage: str, done: int, total: int, note: str = "") -> None:
    """Say that ``done`` of ``total`` parts of a stage are done; see :class:`Progress`."""
    if not _is_reported.get():
        return
    now = Progress(stage, done, total, note)
    _lines.write(now)
    if (listener := _listener.get()) is not None:
        listener(now)


def track(items: Iterable[T], stage: str, total: int | None = None) -> Iterator[T]:
    """The items, each reported when the work on it is done.

    Args:
        items: what is worked on.
        stage: what is done with them.
        total: how many there are; by default their length.

    >>> with listening(lambda now: print(f"{now.stage} {now.done}/{now.total}")):
    ...     sum(track([1, 2], "adding"))
    adding 1/2
    adding 2/2
    3
    """
    if total is None:
        assert isinstance(items, Sized), "give the total of items without a length"
        total = len(items)
    for done, item in enumerate(items, start=1):
        yield item
        report(stage, done, total)
