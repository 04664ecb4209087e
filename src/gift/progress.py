"""Progress of long work: whoever works reports, whoever shows listens.

Work is reported by stage ("decode", "learning pets"), so that nothing has to be passed through the
functions in between::

    for image in track(images, "decode"):
        ...

    with listening(show):
        learner.learn(task)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

Listener = Callable[[str, int, int], None]
"""Called with (stage, done, total) while long work goes on."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Let a function hear of all work in the block; None: nobody hears of it."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


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


def report(stage: str, done: int, total: int) -> None:
    """Say that ``done`` of ``total`` parts of a stage are done."""
    if (listener := _listener.get()) is not None:
        listener(stage, done, total)


def track(items: Iterable[T], stage: str, total: int | None = None) -> Iterator[T]:
    """The items, each reported when the work on it is done.

    Args:
        items: what is worked on.
        stage: what is done with them.
        total: how many there are; by default their length.

    >>> with listening(lambda stage, done, total: print(f"{stage} {done}/{total}")):
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
