"""Write a model by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gift.cli.options import (
    Json,
)
from gift.cli.show import print_json, print_text, reporter


def export_command(
    learner: Annotated[Path, typer.Argument(help="Learner or run folder.")],
    out: Annotated[Path, typer.Argument(help="Model folder; it may not be there yet.")],
    task: Annotated[
        str | None,
        typer.Option(help="Learned task, for methods that have a model for each."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a learner's model as an ordinary folder of the transformers library."""
    from gift.commands import export

    with reporter("export"):
        export(learner, out, task)
    if as_json:
        print_json({"folder": str(out)})
    else:
        print_text(f"Model folder: {out}")
