"""What a learner is and what it has learned."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from gift.cli.options import Json, Learner
from gift.cli.show import print_json, print_kept, print_table, print_text

if TYPE_CHECKING:
    from gift.runs.description import LearnerInfo, TaskInfo
    from gift.settings import Values

_NAMES = 12
"""Class names of a task that are listed."""


def info_command(
    learner: Learner,
    as_json: Json = False,
) -> None:
    """Show a learner: its model and method, the tasks that it has learned, and what it kept."""
    from gift.commands import info

    found = info(learner)
    if as_json:
        print_json(_plain(found))
        return
    _print(found)


def _plain(found: LearnerInfo) -> Values:
    """The same as JSON."""
    values = asdict(found)
    for task, values_of_task in zip(found.tasks, values["tasks"], strict=True):
        values_of_task["kept"] = task.kept and task.kept.model_dump(mode="json")
    return values


def _print(found: LearnerInfo) -> None:
    from rich.filesize import decimal

    beside = f" and {decimal(found.method_bytes)} beside it" if found.method_bytes > 1000 else ""
    print_text(f"Learner:    {found.folder}")
    print_text(f"Started as: {found.model}")
    print_text(f"Model:      {found.plain_model}, {decimal(found.model_bytes)}{beside}")
    print_text(f"Method:     {found.method}")
    if found.generator is not None:
        print_text(f"Generator:  {found.generator}")
    print_text(f"Settings:   {_settings(found.settings)}")
    if found.undo is not None:
        kept = decimal(found.previous_bytes)
        print_text(f"Undo:       takes back {found.undo} (the state before it: {kept})")
    print_text("")
    print_table(
        ("task", "classes", "images", "learned", "took", "device", "then %", "now %"),
        [_row(number, task) for number, task in enumerate(found.tasks, start=1)],
    )
    print_text(
        "then, now: accuracy when it was learned and after the last task, among its own classes / "
        "among all classes seen; - where it was not measured."
    )
    for task in found.tasks:
        more = f" and {len(task.classes) - _NAMES} more" if len(task.classes) > _NAMES else ""
        into = f" (into {task.extends})" if task.extends else ""
        print_text(f"\n{task.name}{into}: {', '.join(task.classes[:_NAMES])}{more}")
        if others := task.other_settings(found.settings):
            print_text(f"learned with {_settings(others)}")
        if task.kept is not None:
            print_kept(task.kept)


def _row(number: int, task: TaskInfo) -> list[str]:
    return [
        f"{number} {task.name}",
        str(len(task.classes)),
        "-" if task.images is None else str(task.images),
        "-" if task.learned is None else task.learned[:10],
        "-" if task.seconds is None else f"{task.seconds:.0f} s",
        task.device or "-",
        _accuracies(task.then, task.then_seen),
        _accuracies(task.now, task.now_seen),
    ]


def _accuracies(own: float | None, seen: float | None) -> str:
    values = [one for one in (own, seen) if one is not None]
    return " / ".join(f"{value:.1f}" for value in values) or "-"


def _settings(settings: Values) -> str:
    return ", ".join(f"{path} = {value}" for path, value in settings.items()) or "the defaults"
