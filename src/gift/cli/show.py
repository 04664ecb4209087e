"""What the commands print: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gift.cli.console import Reporter, shown
from gift.text import one_line

if TYPE_CHECKING:
    from gift.estimate import Plan
    from gift.evaluate import Accuracy
    from gift.runs import Kept, Summary

log = logging.getLogger(__name__)


def reporter(title: str, overall: str = "tasks") -> Reporter:
    """A live progress bar; see :class:`gift.cli.console.Reporter`."""
    return Reporter(title, overall)


def speaks() -> bool:
    """Whether this process is the first, or only, one of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def this_command() -> str:
    """How the program was called."""
    return shlex.join(["gift", *sys.argv[1:]])


def print_text(text: str) -> None:
    """Lines on standard output, as they are but for control characters."""
    Console(highlight=False, soft_wrap=True).print(shown(text), markup=False)


def print_json(value: Any) -> None:
    """One JSON object on standard output, in ASCII: nothing in it moves a cursor."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_plan(plan: Plan, *, as_json: bool) -> None:
    """What a command would do, and how long it takes."""
    if as_json:
        print_json({**asdict(plan), "seconds": plan.seconds})
        return
    for line in plan.lines():
        print_text(one_line(line))


def print_accuracies(accuracies: Sequence[Accuracy]) -> None:
    """A table of accuracies: of what each is stands beside it."""
    from gift.evaluate import AMONG

    table = Table("task", "accuracy %", "among", "images", "model", box=None)
    for one in accuracies:
        images = f"{one.images}, mean per class" if one.metric != "top1" else one.images
        words = (AMONG[one.among], images, one.model)
        cells = (Text(shown(word), overflow="fold") for word in words)
        table.add_row(Text(shown(one.task), overflow="fold"), f"{one.value:.1f}", *cells)
    Console().print(table)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table without lines; texts are made safe, and folded where the terminal is narrow."""
    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*(Text(shown(text), overflow="fold") for text in row))
    Console().print(table)


def print_kept(kept: Kept) -> None:
    """A table of what was kept while a task was learned, and a line in words."""
    if not (words := kept.in_words()):
        return
    rows = []
    for group in kept.generated:
        numbers = (f"{value:.1f}" for value in (group.agreement, group.before, group.after))
        rows.append([group.name or "general class names", "generated", str(group.images), *numbers])
    for folder in kept.folders:
        numbers = (f"{value:.1f}" for value in (folder.before, folder.after))
        rows.append([folder.name, "its folder", str(folder.images), "-", *numbers])
    print_table(("kept of", "images", "number", "as before %", "before %", "after %"), rows)
    print_text(words)


def print_summaries(summaries: Sequence[Summary]) -> None:
    """Transfer / Avg. / Last with the zero-shot row on top."""
    from gift import metrics

    table = Table("method", "Transfer", "Avg.", "Last", "Forgetting", "minutes", box=None)
    first = summaries[0]
    accuracies = [value for name, value in first.zero_shot.items() if name != "mean"]
    seen_only = first.setting["label_space"] == "seen"
    zero_shot = metrics.zero_shot_metrics(accuracies, seen_only=seen_only)
    table.add_row("zero-shot", *map(_number, (zero_shot.transfer, zero_shot.avg, zero_shot.last)))
    for summary in summaries:
        values = (summary.transfer, summary.avg, summary.last, summary.forgetting)
        minutes = f"{summary.seconds['total'] / 60:.1f}"
        table.add_row(Text(shown(summary.method)), *map(_number, values), minutes)
    Console().print(table)
    print_text(f"Accuracy in percent on {metrics.rule_in_words(first.setting)}.")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def print_error(text: str) -> None:
    """A line on standard error, and in the log file."""
    log.error("%s", text)


def fail(message: str, status: int) -> None:
    """One message on standard error, and the end."""
    print_error(message)
    raise SystemExit(status)
