"""Write a learner's classifier by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gift.cli.options import Home, Json, Learner, paths_of
from gift.cli.show import print_json, print_text, reporter


def export_command(
    learner: Learner,
    out: Annotated[Path, typer.Argument(help="Folder for the export; it may not be there yet.")],
    task: Annotated[
        str | None,
        typer.Option(help="Only this learned task; needed where each has a model of its own."),
    ] = None,
    format: Annotated[
        list[str] | None,
        typer.Option(
            help="transformers (model folder for its pipeline), head (class embeddings), onnx or "
            "torch (image tower with the classes in it); repeatable. [default: transformers]"
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a learner's classifier for use without gift, with its class list and a model card.

    Each format is compared with the learner before the folder appears.
    """
    from gift.commands import export

    with reporter("export"):
        done = export(learner, out, task, format or ["transformers"], paths=paths_of(home))
    if as_json:
        print_json(
            {
                "folder": str(done.folder),
                "task": done.task,
                "classes": list(done.classes),
                "differences": done.differences,
            }
        )
        return
    print_text(f"{len(done.classes)} classes in {done.folder} (README.md says how to use them)")
    for name, value in done.differences.items():
        print_text(f"  {name}: differs from the learner by at most {value:.1e}")
