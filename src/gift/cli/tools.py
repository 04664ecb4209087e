"""What stands beside learning: synthesize, methods, micro build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gift.cli.options import Json, names_of
from gift.cli.show import print_json, print_text, reporter


def synthesize_command(
    out: Annotated[Path, typer.Argument(help="Folder for the image sets.")],
    classes: Annotated[str, typer.Option(help="Class names: a,b,c or a text file.")],
    generator: Annotated[
        str, typer.Option(help="Diffusers pipeline.")
    ] = "stable-diffusion-v1-5/stable-diffusion-v1-5",
    images: Annotated[int, typer.Option(min=1, help="Images to paint.")] = 1000,
    template: Annotated[str, typer.Option(help="Prompt template with {}.")] = "a photo of a {}.",
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 50,
    guidance: Annotated[float, typer.Option(min=0.0, help="Guidance scale.")] = 7.5,
    scheduler: Annotated[str, typer.Option(help="Sampler.")] = "default",
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of prompts and images.")] = 42,
    as_json: Json = False,
) -> None:
    """Paint image-text pairs from class names. Goes on where it was stopped."""
    from gift import experiment

    with reporter("painting") as progress:
        painted = experiment.synthesize(
            out,
            names_of(classes),
            generator=generator,
            count=images,
            template=template,
            steps=steps,
            guidance=guidance,
            scheduler=scheduler,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
    folder = painted.files[0].parent
    if as_json:
        print_json({"folder": str(folder), "images": len(painted)})
    else:
        print_text(f"{len(painted)} images with captions in {folder} (manifest.jsonl)")


def methods_command(as_json: Json = False) -> None:
    """List the methods and their settings."""
    from gift.methods import method_class, method_names

    classes = {name: method_class(name) for name in method_names()}
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
    table = Table("method", "what it does", "settings (default)", box=None)
    for name, cls in classes.items():
        fields = cls.Settings.model_fields.items()
        table.add_row(
            name, _first_line(cls), ", ".join(f"{key} ({field.default})" for key, field in fields)
        )
    Console().print(table)


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def build_command(
    out: Annotated[Path, typer.Argument(help="Folder; an interrupted build there goes on.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 0,
    as_json: Json = False,
) -> None:
    """Remake the tiny world's CLIP and diffusion model from a seed (under an hour on 2 cores)."""
    from gift.micro.build import build

    with reporter("building the tiny world") as progress:
        result = build(out, seed=seed, progress=progress)
    if as_json:
        print_json(result)
    else:
        print_text(f"Models: {out / 'clip'} and {out / 'diffusion'}")
