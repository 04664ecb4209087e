"""Progress bars and log lines of long work, on standard error."""

from __future__ import annotations

import logging
import re
import time
from contextlib import ExitStack

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gift.progress import listening
from gift.text import one_line


def shown(text: str) -> str:
    """The text made safe for a terminal: control characters but line breaks are spelled out.

    So are marks that reverse the writing direction.
    """
    lines = map(one_line, text.split("\n"))
    return _REVERSING.sub(lambda mark: f"\\u{ord(mark[0]):04x}", "\n".join(lines))


_REVERSING = re.compile("[\u202a-\u202e\u2066-\u2069]")


class LogLines(logging.Handler):
    """Shows the library's warnings on standard error while no :class:`Reporter` does.

    Args:
        quiet: show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(logging.WARNING)
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
        self._log = logging.getLogger("gift")

    def __enter__(self) -> LogLines:
        self._log.addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._log.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if not any(isinstance(handler, Reporter) for handler in self._log.handlers):
            self._console.print(f"gift: {shown(record.getMessage())}", markup=False)


class Reporter(logging.Handler):
    """A progress listener: an overall bar with the time left and one for the current stage.

    Where standard error is no terminal, a line is printed when a stage ends and every half minute.
    As a log handler it shows what the library logs above the bars.

    Args:
        title: name of the overall bar.
        overall: the stage that it counts; all others are nested in it.
        quiet: show nothing.
    """

    def __init__(self, title: str, overall: str = "tasks", *, quiet: bool = False) -> None:
        super().__init__(logging.INFO)
        self._stack = ExitStack()
        self._console = Console(stderr=True, quiet=quiet)
        self._bars = Progress(
            TextColumn("{task.description:<28.28}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            speed_estimate_period=float("inf"),  # tasks may take minutes
            disable=not self._console.is_terminal,
        )
        self._title = shown(title)
        self._counted = overall
        self._overall: TaskID | None = None
        self._whole = 0
        self._stage: tuple[str, TaskID] | None = None
        self._started = self._last_line = time.monotonic()

    def __enter__(self) -> Reporter:
        log = logging.getLogger("gift")
        self._stack.callback(log.setLevel, log.level)
        self._stack.callback(log.removeHandler, self)
        self._stack.enter_context(listening(self))
        self._stack.enter_context(self._bars)
        log.addHandler(self)
        log.setLevel(logging.INFO)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def emit(self, record: logging.LogRecord) -> None:
        line = shown(record.getMessage())
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage == "tasks" != self._counted:
            return  # a bar counts whole runs here
        stage = shown(stage)
        if not self._console.is_terminal:
            self._print_line(stage, done, total)
        elif stage == self._counted:
            self._whole = done
            if self._overall is None:
                self._overall = self._bars.add_task(self._title, total=total, completed=done)
            self._bars.update(self._overall, completed=done, total=total)
        else:
            self._show(stage, done, total)

    def _show(self, stage: str, done: int, total: int) -> None:
        if self._stage is None or self._stage[0] != stage:
            if self._stage is not None:
                self._bars.remove_task(self._stage[1])
            self._stage = (stage, self._bars.add_task(f"  {stage}", total=total, completed=done))
        self._bars.update(self._stage[1], completed=done, total=total)
        if self._overall is not None and self._counted == "tasks" and stage.startswith("learning"):
            self._bars.update(self._overall, completed=self._whole + 0.9 * done / total)

    def _print_line(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self._last_line < 30:
            return
        self._last_line = now
        name = self._title if stage == self._counted else stage
        line = f"{now - self._started:7.0f} s  {name}: {done} of {total}"
        self._console.print(line, markup=False, highlight=False)
