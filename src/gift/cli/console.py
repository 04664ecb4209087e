"""What long work shows on standard error and writes to a log file: progress, log lines, errors."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

import gift.progress
from gift.progress import listening
from gift.text import one_line

log = logging.getLogger("gift")


def shown(text: str) -> str:
    """The text made safe for a terminal: control characters but line breaks are spelled out.

    So are marks that reverse the writing direction.
    """
    lines = map(one_line, text.split("\n"))
    return _REVERSING.sub(lambda mark: f"\\u{ord(mark[0]):04x}", "\n".join(lines))


_REVERSING = re.compile("[\u202a-\u202e\u2066-\u2069]")

_threshold: ContextVar[int] = ContextVar("threshold", default=logging.INFO)
"""The level of :mod:`logging` from which on something is shown while long work goes on."""


def show_from(level: int) -> None:
    """Show log records from a level on: ERROR means errors alone, DEBUG everything."""
    _threshold.set(level)
    log.setLevel(min(level, logging.INFO))


def log_to(path: Path) -> None:
    """Append the library's log to a file, a line each with time and level; its folder is made.

    Raises:
        ValueError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log.addHandler(_LogFile(path, encoding="utf-8", errors="backslashreplace"))
    except OSError as error:
        raise ValueError(
            f"--log-file {path} cannot be written ({error.strerror}); give another one."
        ) from error


@contextmanager
def logging_to_console(*, quiet: bool = False) -> Iterator[None]:
    """Show the library's log in the block on standard error: warnings, and what is asked for.

    Args:
        quiet: show errors alone.
    """
    before, level = list(log.handlers), log.level
    token = _threshold.set(logging.INFO)
    show_from(logging.ERROR if quiet else logging.INFO)
    log.addHandler(LogLines())
    try:
        yield
    finally:
        for handler in [each for each in log.handlers if each not in before]:
            log.removeHandler(handler)
            handler.close()
        log.setLevel(level)
        _threshold.reset(token)


class LogLines(logging.Handler):
    """Shows warnings on standard error, and less or more where that is asked for.

    While a :class:`Reporter` is active, that one shows them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def emit(self, record: logging.LogRecord) -> None:
        asked = _threshold.get()
        least = logging.WARNING if asked == logging.INFO else asked
        is_shown = any(isinstance(handler, Reporter) for handler in log.handlers)
        if record.levelno >= least and not is_shown:
            self._console.print(f"gift: {shown(record.getMessage())}", markup=False)


class _LogFile(logging.FileHandler):
    """Writes a line for every line of a message, each with its time and level."""

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        head = f"{when} {record.levelname.lower():<7}"
        return "\n".join(f"{head} {line}" for line in shown(record.getMessage()).split("\n"))


class Reporter(logging.Handler):
    """A progress listener: an overall bar with the time left and one for the current stage.

    Below the bars it shows the figures of a training: loss, learning rate, images per second. Where
    standard error is no terminal, it prints the lines that :mod:`gift.progress` logs. As a log
    handler it shows what else the library logs, above the bars.

    Args:
        title: name of the overall bar.
        overall: the stage that it counts; all others are nested in it.
    """

    def __init__(self, title: str, overall: str = "tasks") -> None:
        super().__init__(_threshold.get())
        self._stack = ExitStack()
        self._console = Console(stderr=True)
        shows_bars = self._console.is_terminal and self.level < logging.WARNING
        self._bars = _Bars(
            TextColumn("{task.description:<28.28}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            redirect_stdout=False,  # results go there also while bars are shown
            speed_estimate_period=float("inf"),  # tasks may take minutes
            disable=not shows_bars,
        )
        self._title = shown(title)
        self._counted = overall
        self._overall: TaskID | None = None
        self._whole = 0
        self._stage: tuple[str, TaskID] | None = None
        self._started = time.monotonic()

    def __enter__(self) -> Reporter:
        self._stack.callback(log.setLevel, log.level)
        self._stack.callback(log.removeHandler, self)
        self._stack.enter_context(listening(None if self._bars.disable else self))
        self._stack.enter_context(self._bars)
        log.addHandler(self)
        if not log.isEnabledFor(logging.INFO):
            log.setLevel(logging.INFO)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def emit(self, record: logging.LogRecord) -> None:
        line = shown(record.getMessage())
        if record.name == gift.progress.log.name:
            if not self._bars.disable:
                return
            line = f"{time.monotonic() - self._started:7.0f} s  {line}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __call__(self, now: gift.progress.Progress) -> None:
        if now.stage == "tasks" != self._counted:
            return  # a bar counts whole runs here
        self._bars.note = now.note
        if now.stage == self._counted:
            self._whole = now.done
            if self._overall is None:
                self._overall = self._bars.add_task(self._title, total=now.total)
            self._bars.update(self._overall, completed=now.done, total=now.total)
        else:
            self._show(shown(now.stage), now.done, now.total)

    def _show(self, stage: str, done: int, total: int) -> None:
        if self._stage is None or self._stage[0] != stage:
            if self._stage is not None:
                self._bars.remove_task(self._stage[1])
            self._stage = (stage, self._bars.add_task(f"  {stage}", total=total, completed=done))
        self._bars.update(self._stage[1], completed=done, total=total)
        if self._overall is not None and self._counted == "tasks" and stage.startswith("learning"):
            self._bars.update(self._overall, completed=self._whole + 0.9 * done / total)


class _Bars(Progress):
    """Bars with a line of figures below them."""

    note = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        if self.note:
            yield Text(f"    {shown(self.note)}", no_wrap=True, overflow="ellipsis")
