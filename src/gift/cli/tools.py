"""What stands beside learning: synthesize, methods, settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gift.cli import completion
from gift.cli.options import MOST_SEED, Device, DryRun, Json, Yes, confirmed, default
from gift.cli.show import print_json, print_plan, print_text, reporter


def synthesize_command(
    out: Annotated[Path, typer.Argument(help="Folder for the image sets.")],
    classes: Annotated[str, typer.Option(help="Class names: a,b,c or a text file.")],
    generator: Annotated[
        str | None,
        typer.Option(
            help="Diffusers pipeline: folder or hub id. " + default("synthesis.generator")
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Images to generate. " + default("synthesis.images"))
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="Prompt template with {}. " + default("synthesis.base_template")),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Denoising steps. " + default("synthesis.steps"))
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(min=0.0, help="Guidance scale. " + default("synthesis.guidance")),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Sampler. " + default("synthesis.scheduler"))
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels a side; by default the pipeline's own.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, float16 or bfloat16; by default by device.")
    ] = None,
    no_safety_checker: Annotated[
        bool, typer.Option("--no-safety-checker", help="Do not load the pipeline's.")
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images at once. " + default("synthesis.batch_size"))
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Seed of prompts and images.")
    ] = 42,
    device: Device = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Generate image-text pairs from class names. Resumes where it was interrupted."""
    from gift.data import names_given

    names = names_given(classes)
    from gift.commands import preview_synthesis, synthesize
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
    given = {key: value for key, value in settings.items() if value is not None}
    if dry_run:
        with reporter("timing an image"):
            plan = preview_synthesis(out, names, given)
        print_plan(plan, as_json=as_json)
        return
    with reporter("synthesize"):
        generated = synthesize(out, names, given, confirm=lambda plan: confirmed(plan, yes))
    if not is_main():
        return
    folder = generated.files[0].parent
    if as_json:
        print_json({"folder": str(folder), "images": len(generated)})
    else:
        print_text(f"{len(generated)} images with captions in {folder} (metadata.jsonl)")


def methods_command(
    method: Annotated[
        str | None,
        typer.Argument(help="Name: its settings, one by one.", autocompletion=completion.methods),
    ] = None,
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


def settings_command(
    section: Annotated[
        str | None, typer.Argument(help="Only this one, or those that begin so: training")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the settings that --set and configuration files take, with their defaults.

    Those of a method, method_settings, are shown by 'gift methods NAME'.
    """
    from gift.config import RunConfig
    from gift.settings import described
    from gift.text import unknown

    every = described(RunConfig)
    found = {path: one for path, one in every.items() if path.startswith(section or "")}
    if not found:
        raise ValueError(unknown("setting", str(section), every))
    if as_json:
        print_json({path: {"default": one[0], "meaning": one[1]} for path, one in found.items()})
        return
    table = Table(box=None)
    table.add_column("setting", no_wrap=True)
    table.add_column("default", overflow="fold")
    table.add_column("meaning")
    for path, (value, meaning) in found.items():
        shown = (
            "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        )
        table.add_row(path, Text(shown), Text(meaning))
    Console().print(table)


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]
