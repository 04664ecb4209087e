"""The commands that the micro benchmark adds to ``gift``: demo, micro build, micro generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gift.cli.options import MOST_SEED, Home, Json, paths_of
from gift.cli.show import print_json, print_summaries, print_text, reporter
from gift_micro import GENERATORS

micro = typer.Typer(help="The micro benchmark's models.", no_args_is_help=True)


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the runs and the page.")] = Path("runs/demo"),
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Seed of order, crops and images.")
    ] = 0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Five tasks of the micro benchmark: zero-shot, fine-tuning and GIFT side by side."""
    from gift.report import write_report
    from gift_micro.demo import demo

    with reporter("demo", overall="methods"):
        summaries = demo(out, paths=paths_of(home), seed=seed)
    files = write_report([out / summary.method for summary in summaries], out / "report")
    if as_json:
        values = [summary.model_dump(mode="json") for summary in summaries]
        print_json({"summaries": values, "page": str(files.page)})
        return
    print_summaries(summaries)
    print_text(
        f"Page: {files.page}\n\n"
        "Try next:\n"
        "  gift run micro-1 --method gift        all eleven tasks\n"
        "  gift learn my-learner --task FOLDER --recipe micro\n"
        "                                        teach the small model your own images\n"
        "  gift methods                          what else there is"
    )


@micro.command()
def build(
    out: Annotated[Path, typer.Argument(help="Folder; an interrupted build there is resumed.")],
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of everything.")] = 0,
    as_json: Json = False,
) -> None:
    """Train the benchmark's CLIP and diffusion model from a seed (about an hour on 2 cores)."""
    from gift_micro.build import build

    with reporter("building the models"):
        result = build(out, seed=seed)
    if as_json:
        print_json(result)
    else:
        print_text(f"Models: {out / 'clip'} and {out / 'diffusion'}")


@micro.command()
def generator(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(GENERATORS)}.")],
    out: Annotated[
        Path | None,
        typer.Argument(help="Folder. [default: where builtin:micro/generator-NAME is looked for]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Train a generator of the experiment 'foreign-generator' (about 25 minutes on 2 cores)."""
    from gift_micro.generators import build_generator

    folder = out or paths_of(home).models / "micro" / f"generator-{name}"
    with reporter(f"building the generator {name}"):
        result = build_generator(name, folder, seed=seed)
    if as_json:
        print_json(result)
    else:
        print_text(f"Generator: {folder}\nWhat it has in common with the model: {folder}.json")
