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
from typing import TypeVar

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
