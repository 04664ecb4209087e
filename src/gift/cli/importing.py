"""Bring in a checkpoint of another library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gift.cli.options import Json
from gift.cli.show import print_json, print_text


def import_command(
    checkpoint: Annotated[
        Path, typer.Argument(help="OpenCLIP's folder (open_clip_config.json), or its weights.")
    ],
    out: Annotated[Path, typer.Argument(help="Model folder; it may not be there yet.")],
    config: Annotated[
        Path | None,
        typer.Option(help="OpenCLIP's configuration. [default: the one beside the weights]"),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Folder with tokenizer.json. [default: that of the weights]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a model folder of an OpenCLIP checkpoint, for 'gift learn --model FOLDER'."""
    from gift.commands import import_open_clip

    done = import_open_clip(checkpoint, out, config=config, tokenizer=tokenizer)
    if as_json:
        print_json(
            {
                "folder": str(done.folder),
                "parameters": done.parameters,
                "image_size": done.image_size,
                "licence": done.licence,
            }
        )
        return
    print_text(
        f"Model folder: {done.folder} ({done.parameters / 1e6:.1f} million parameters, images of "
        f"{done.image_size} pixels, licence: {done.licence})"
    )
