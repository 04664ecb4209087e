"""Measure accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gift.cli import completion
from gift.cli.options import (
    ColumnNames,
    DataRoot,
    Device,
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

if TYPE_CHECKING:
    from gift.calibration import Goal
    from gift.data import Paths, Task


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
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit on the folders when 'predict --threshold calibrated' answers 'unknown'.",
        ),
    ] = False,
    precision: Annotated[
        float | None,
        typer.Option(help="With --calibrate: fraction of answers to be correct. [default: 0.95]"),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(help="With --calibrate: fraction of images to be answered, instead."),
    ] = None,
    device: Device = None,
    data_root: DataRoot = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Measure a learner's accuracy on folders of images or on a benchmark.

    Folders are measured among their own classes and among all classes seen; one that was learned,
    with the templates that it was learned with unless others are given.

    With --calibrate, a temperature and a threshold for 'gift predict' are fitted on the folders and
    kept with the learner, until it learns another task. Images of classes that it never learned
    count as such that are to be 'unknown'.
    """
    if not calibrate and (precision is not None or coverage is not None):
        raise ValueError("--precision and --coverage belong to --calibrate; give that too.")
    if calibrate and benchmark is not None:
        raise ValueError("--calibrate fits on folders: give --task FOLDER, not --benchmark.")
    if precision is not None and coverage is not None:
        raise ValueError("give --precision or --coverage: one threshold cannot be chosen for both.")
    reading = Reading(template, test_fraction, follow_links, nested, on_bad_image, rename, columns)
    tasks = [task_of(source, reading) for source in task or []]
    if calibrate:
        _calibrate(learner, tasks, precision, coverage, paths_of(home, data_root), as_json=as_json)
        return
    from gift.commands import evaluate

    with reporter("evaluating"):
        accuracies = evaluate(
            learner, tasks, benchmark, templates=template, paths=paths_of(home, data_root)
        )
    if as_json:
        print_json({"accuracy": list(map(asdict, accuracies))})
        return
    print_accuracies(accuracies)
    _say_training(tasks)


def _say_training(tasks: Sequence[Task]) -> None:
    """Say which tasks were measured on images that may have been learned."""
    if without := [chosen.name for chosen in tasks if chosen.evaluated_split == "train"]:
        print_text(
            "Without a test split, all images are measured, also those that were learned: "
            f"{', '.join(without)}."
        )


def _calibrate(
    learner: Path,
    tasks: Sequence[Task],
    precision: float | None,
    coverage: float | None,
    paths: Paths,
    *,
    as_json: bool,
) -> None:
    from gift.commands import calibrate

    target = coverage if coverage is not None else 0.95 if precision is None else precision
    goal: Goal = "precision" if coverage is None else "coverage"
    with reporter("calibrating"):
        found = calibrate(learner, tasks, goal=goal, target=target, paths=paths)
    if as_json:
        print_json({"calibration": found.model_dump()})
        return
    others = f", {found.others} of other classes" if found.others else ""
    before, after = _percent(found.error_before), _percent(found.error)
    lines = {
        "images": f"{found.known} of the classes seen{others}",
        "accuracy": f"{_percent(found.accuracy)} among all classes seen",
        "temperature": f"{found.temperature:.3g}",
        "calibration error": f"{before} before, {after} after",
        "threshold": f"{found.threshold:.3f}, for a {goal} of {100 * target:g} %",
        "  correct": f"{_percent(found.precision)} of {found.answers} answers",
        "  answered": f"{_percent(found.coverage)} of the images of the classes seen",
    }
    if found.rejected is not None:
        lines["  unknown"] = f"{_percent(found.rejected)} of the images of other classes"
    print_text("\n".join(f"{name:<19}{value}" for name, value in lines.items()))
    print_text(
        "On other images than these it will do a little worse. It is kept until another task is "
        f"learned. Use it: gift predict {learner} PHOTOS --threshold calibrated"
    )
    _say_training(tasks)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
