"""Measure accuracies."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gift.cli import completion
from gift.cli.options import (
    ColumnNames,
    DataRoot,
    FollowLinks,
    Home,
    Json,
    Learner,
    Nested,
    OnBadImageOption,
    Reading,
    Rename,
    Templates,
    paths_of,
    task_of,
)
from gift.cli.show import print_accuracies, print_json, print_text, reporter


def eval_command(
    learner: Learner,
    task: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder with one sub-folder per class, or a table with the columns path and "
            "label; repeatable."
        ),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="All tasks of a benchmark.", autocompletion=completion.benchmarks),
    ] = None,
    template: Templates = None,
    test_fraction: Annotated[
        float | None, typer.Option(help="Measure on the fraction that 'learn' held out.")
    ] = None,
    rename: Rename = None,
    nested: Nested = False,
    on_bad_image: OnBadImageOption = "stop",
    columns: ColumnNames = None,
    follow_links: FollowLinks = False,
    data_root: DataRoot = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Measure a learner's accuracy on folders of images or on a benchmark.

    Folders are measured among their own classes and among all classes seen; one that was learned,
    with the templates that it was learned with unless others are given.
    """
    reading = Reading(template, test_fraction, follow_links, nested, on_bad_image, rename, columns)
    tasks = [task_of(source, reading) for source in task or []]
    from gift.commands import evaluate

    with reporter("evaluating"):
        accuracies = evaluate(
            learner, tasks, benchmark, templates=template, paths=paths_of(home, data_root)
        )
    if as_json:
        print_json({"accuracy": list(map(asdict, accuracies))})
        return
    print_accuracies(accuracies)
    if without := [chosen.name for chosen in tasks if chosen.evaluated_split == "train"]:
        print_text(
            "Without a test split, all images are measured, also those that were learned: "
            f"{', '.join(without)}."
        )
