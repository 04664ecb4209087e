"""Take back the last task of a learner."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from gift.cli.options import Json, Learner
from gift.cli.show import print_error, print_json, print_text


def undo_command(
    learner: Learner,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Take back the last task of a learner: it is as it was before that task.

    One step back is kept. What was learned, measured and recorded with the task is deleted.
    """
    from gift.commands import undo, undoable

    if not yes:
        planned = undoable(learner)
        print_error(
            f"{learner}: {planned.task} is taken back; the model after it and what was measured "
            f"then are deleted. Still learned are {', '.join(planned.tasks)}."
        )
        if not sys.stdin.isatty():
            raise ValueError("nobody can be asked here; give --yes to take it back.")
        typer.confirm(f"Take back {planned.task!r}?", abort=True, err=True)
    found = undo(learner)
    if as_json:
        print_json({"folder": str(learner), **asdict(found)})
        return
    print_text(f"Taken back: {found.task}\nLearned:    {', '.join(found.tasks)}")
