"""Classify images."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gift.cli.options import (
    Device,
    Home,
    Json,
    Learner,
    paths_of,
)
from gift.cli.show import print_error, print_json, print_text, reporter
from gift.text import one_line, shortened, user_path

if TYPE_CHECKING:
    from gift.predict import Prediction, Unreadable

_MOST_WORKERS = 4
"""More threads than these decode by default only where they are asked for: each holds a photo."""


def predict_command(
    learner: Learner,
    images: Annotated[
        list[Path] | None, typer.Argument(help="Image files, and folders of them at any depth.")
    ] = None,
    list_file: Annotated[
        Path | None,
        typer.Option("--list", help="File with a path of an image or folder a line; - reads them."),
    ] = None,
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
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|calibrated",
            help="Answer 'unknown' where no class has this probability (0..1); 'calibrated': what "
            "'gift eval --calibrate' found.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write a table: FILE.csv, FILE.jsonl or FILE.parquet.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images classified together.")] = 32,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Threads that decode images. [default: one per core, at most 4]"),
    ] = None,
    fast_decode: Annotated[
        bool,
        typer.Option(
            "--fast-decode",
            help="Decode JPEG files smaller: faster, and pixels change a little.",
        ),
    ] = False,
    device: Device = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Classify images among all classes seen, a task's, given ones, or both (--classes --seen).

    A file that cannot be read costs that file, and the exit status is then 1.
    """
    from gift.data import names_given
    from gift.data.finding import image_files
    from gift.rows import check_row_file

    given = None if classes is None else names_given(classes)
    least = _threshold(threshold)
    if output is not None:
        check_row_file(output)
    files = image_files(_named(images or [], list_file))
    from gift import Learner
    from gift.commands.predicting import STAGE, Speed, origin_of, predict, predict_to

    classifier = Learner.load(learner, paths=paths_of(home)).classifier(
        classes=given, seen=seen, task=task, top=top, threshold=least
    )
    cores = min(_MOST_WORKERS, os.cpu_count() or 1)
    speed = Speed(batch_size, cores if workers is None else workers, fast_decode)
    if output is not None:
        with reporter(STAGE, STAGE):
            done = predict_to(output, classifier, files, speed, origin=origin_of(learner))
        if as_json:
            print_json(asdict(done))
        else:
            unknown = f", {done.unknown} unknown" if least is not None else ""
            count = "1 image" if done.images == 1 else f"{done.images} images"
            print_text(f"{output}: {count}{unknown}, {done.unreadable} unreadable.")
        unreadable = done.unreadable
    else:
        scrolls = sys.stdout.isatty()  # a bar would be torn by the answers
        show = _print_json if as_json else _print_lines
        with nullcontext() if scrolls else reporter(STAGE, STAGE):
            unreadable = show(predict(classifier, files, speed))
    if unreadable:
        raise typer.Exit(1)


def _named(images: list[Path], list_file: Path | None) -> list[Path]:
    """The paths on the command line, then those of the list."""
    from gift.data.finding import listed_paths

    if list_file is None:
        if not images:
            raise ValueError("no images: give files or folders, or --list FILE.")
        return images
    if str(list_file) == "-":
        return images + listed_paths(sys.stdin.buffer.read(), "standard input")
    path = user_path(list_file)
    if not path.is_file():
        raise ValueError(f"--list: {path} is no file; give a text file with a path a line.")
    return images + listed_paths(path.read_bytes(), str(path))


def _threshold(value: str | None) -> float | Literal["calibrated"] | None:
    """The threshold in words or as a number; its range is checked where it is used."""
    if value is None or value == "calibrated":
        return None if value is None else "calibrated"
    try:
        return float(value)
    except ValueError:
        raise ValueError(
            f"threshold = {shortened(value)}: give a probability in 0..1, or 'calibrated'."
        ) from None


def _print_lines(found: Iterable[tuple[Path, Prediction | Unreadable]]) -> int:
    """A line for each image; returns how many could not be read."""
    from gift.predict import Unreadable

    unreadable = 0
    for image, prediction in found:
        if isinstance(prediction, Unreadable):
            print_error(prediction.reason)
            unreadable += 1
        else:
            print_text(f"{one_line(image)}: {prediction}")
    return unreadable


def _print_json(found: Iterable[tuple[Path, Prediction | Unreadable]]) -> int:
    """One JSON object, an image a line; returns how many could not be read.

    An image has its best classes and their probabilities: none where it is "unknown", and null
    where it could not be read.
    """
    from gift.predict import Unreadable

    unreadable, separator = 0, "{\n"
    for image, prediction in found:
        ranked: dict[str, float] | None = None
        if isinstance(prediction, Unreadable):
            print_error(prediction.reason)
            unreadable += 1
        elif prediction.answer is None:
            ranked = {}
        else:
            ranked = dict(zip(prediction.names, prediction.probabilities, strict=True))
        sys.stdout.write(f"{separator}  {json.dumps(str(image))}: {json.dumps(ranked)}")
        separator = ",\n"
    sys.stdout.write("\n}\n")
    return unreadable
