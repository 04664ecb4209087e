"""Classify images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gift.cli.options import (
    Home,
    Json,
    Learner,
    paths_of,
)
from gift.cli.show import print_error, print_json, print_text
from gift.text import one_line


def predict_command(
    learner: Learner,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    classes: Annotated[
        str | None, typer.Option(help="Class names to choose from: a,b,c or a text file.")
    ] = None,
    seen: Annotated[
        bool | None,
        typer.Option("--seen/--no-seen", help="Whether all classes seen so far compete."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Name of the learned task that the images belong to.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Class names per image.")] = 3,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Classify images among all classes seen, a task's, given ones, or both (--classes --seen)."""
    from gift.data import names_given

    given = None if classes is None else names_given(classes)
    from gift import Learner
    from gift.evaluate import Unreadable

    found = Learner.load(learner, paths=paths_of(home)).predict_each(
        images, classes=given, seen=seen, task=task, top=top
    )
    result: dict[str, dict[str, float] | None] = {}
    for image, prediction in zip(images, found, strict=True):
        if isinstance(prediction, Unreadable):
            print_error(prediction.reason)
            result[str(image)] = None
            continue
        ranked = dict(zip(prediction.names, prediction.probabilities, strict=True))
        result[str(image)] = ranked
        if not as_json:
            names = ", ".join(f"{name} {100 * value:.1f} %" for name, value in ranked.items())
            print_text(f"{one_line(image)}: {names}")
    if as_json:
        print_json(result)
    if None in result.values():
        raise typer.Exit(1)
