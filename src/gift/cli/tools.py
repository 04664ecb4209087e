"""What stands beside learning: synthesize, methods."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gift.cli.options import MOST_SEED, Json
from gift.cli.show import print_json, print_text, reporter


def synthesize_command(
    out: Annotated[Path, typer.Argument(help="Folder for the image sets.")],
    classes: Annotated[str, typer.Option(help="Class names: a,b,c or a text file.")],
    generator: Annotated[
        str, typer.Option(help="Diffusers pipeline: folder or hub id.")
    ] = "stable-diffusion-v1-5/stable-diffusion-v1-5",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Images to generate.")] = 1000,
    template: Annotated[str, typer.Option(help="Prompt template with {}.")] = "a photo of a {}.",
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 50,
    guidance: Annotated[float, typer.Option(min=0.0, help="Guidance scale.")] = 7.5,
    scheduler: Annotated[str, typer.Option(help="Sampler.")] = "default",
    size: Annotated[
        int | None, typer.Option(help="Pixels a side; by default the pipeline's own.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, float16 or bfloat16; by default by device.")
    ] = None,
    no_safety_checker: Annotated[
        bool, typer.Option("--no-safety-checker", help="Do not load the pipeline's.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 8,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Seed of prompts and images.")
    ] = 42,
    as_json: Json = False,
) -> None:
    """Generate image-text pairs from class names. Resumes where it was interrupted."""
    from gift.data import names_given

    names = names_given(classes)
    from gift.commands import synthesize
    from gift.distributed import is_main

    settings = {
        "generator": generator,
        "revision": revision,
        "images": images,
        "base_template": template,
        "steps": steps,
        "guidance": guidance,
        "scheduler": scheduler,
        "size": size,
        "dtype": dtype,
        "safety_checker": False if no_safety_checker else None,
        "batch_size": batch_size,
        "seed": seed,
    }
    with reporter("synthesize"):
        generated = synthesize(out, names, settings)
    if not is_main():
        return
    folder = generated.files[0].parent
    if as_json:
        print_json({"folder": str(folder), "images": len(generated)})
    else:
        print_text(f"{len(generated)} images with captions in {folder} (metadata.jsonl)")


def methods_command(
    method: Annotated[str | None, typer.Argument(help="Name: its settings, one by one.")] = None,
    as_json: Json = False,
) -> None:
    """List the methods, or the settings of one."""
    from gift.methods import method_class, method_names

    names = method_names() if method is None else [method]
    classes = {name: method_class(name) for name in names}
    if as_json:
        print_json(
            {
                name: {
                    "summary": _first_line(cls),
                    "streams": list(cls.streams),
                    "settings": cls.Settings.model_json_schema().get("properties", {}),
                }
                for name, cls in classes.items()
            }
        )
        return
    if method is None:
        table = Table("method", "what it does", box=None)
        for name, cls in classes.items():
            table.add_row(name, _first_line(cls))
        Console().print(table)
        print_text("\nSettings of one: gift methods NAME. Formulas and sources: docs/methods.")
        return
    print_text(f"{method}: {_first_line(classes[method])}\n")
    table = Table("method_settings.", "default", "meaning", box=None)
    for key, field in classes[method].Settings.model_fields.items():
        default = "-" if field.default is None else str(field.default)
        table.add_row(key, default, Text(field.description or ""))
    if table.row_count:
        Console().print(table)
    else:
        print_text("It has no settings of its own.")


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]
