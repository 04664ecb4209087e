"""A learner and folders of images: learn, predict, eval."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gift.cli.options import (
    ConfigFile,
    DataRoot,
    FollowLinks,
    Home,
    Json,
    OnNonfinite,
    Overrides,
    Templates,
    paths_of,
    read_settings,
    task_of,
)
from gift.cli.show import print_accuracies, print_error, print_json, print_text, reporter
from gift.text import one_line


def learn_command(
    learner: Annotated[Path, typer.Argument(help="Learner folder; made if it is not there.")],
    task: Annotated[Path, typer.Option(help="One sub-folder per class, or train/ and test/.")],
    name: Annotated[str | None, typer.Option(help="Name of the task. [default: FOLDER's]")] = None,
    template: Templates = None,
    test_fraction: Annotated[
        float | None, typer.Option(help="Fraction of the images to hold out for testing.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="New learner: CLIP-like model.")] = None,
    method: Annotated[str | None, typer.Option(help="New learner: see 'gift methods'.")] = None,
    generator: Annotated[
        str | None, typer.Option(help="New learner: diffusers text-to-image pipeline.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="New learner: settings of a recipe; 'micro' is for the small models."),
    ] = None,
    on_nonfinite: OnNonfinite = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    follow_links: FollowLinks = False,
    data_root: DataRoot = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let a learner learn one more folder of images.

    The accuracies before and after are those among the task's own classes, and among all classes
    seen.
    """
    from gift.settings import load_recipe, merge

    chosen = task_of(
        task, template, name=name, test_fraction=test_fraction, follow_links=follow_links
    )
    settings = read_settings(
        config,
        overrides,
        model=model,
        generator=generator,
        method=method,
        on_nonfinite=on_nonfinite,
    )
    if recipe is not None:
        settings = merge(load_recipe(recipe, settings.get("method", "gift")), settings)
    from gift import commands

    with reporter(f"learning {chosen.name}"):
        learned = commands.learn(learner, chosen, settings, paths=paths_of(home, data_root))
    accuracies = [*learned.before, *learned.after]
    if as_json:
        print_json(
            {
                "folder": str(learner),
                "accuracy": list(map(asdict, accuracies)),
                "tasks": list(learned.tasks),
                "plain_model": learned.plain_model,
            }
        )
        return
    print_accuracies(accuracies)
    folder = learner / "learner" / "model"
    print_text(f"Learner folder: {learner}\nPlain model:    {folder} ({learned.plain_model})")
    if learned.one_per_task:
        export = ["gift", "export", str(learner), "FOLDER", "--task", learned.task]
        print_text(f"Model of a task: {shlex.join(export)}")


def predict_command(
    learner: Annotated[Path, typer.Argument(help="Learner or run folder.")],
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


def eval_command(
    learner: Annotated[Path, typer.Argument(help="Learner or run folder.")],
    task: Annotated[
        list[Path] | None, typer.Option(help="Folder with one sub-folder per class; repeatable.")
    ] = None,
    benchmark: Annotated[str | None, typer.Option(help="All tasks of a benchmark.")] = None,
    template: Templates = None,
    test_fraction: Annotated[
        float | None, typer.Option(help="Measure on the fraction that 'learn' held out.")
    ] = None,
    follow_links: FollowLinks = False,
    data_root: DataRoot = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Measure a learner's accuracy on folders of images or on a benchmark.

    Folders are measured among their own classes and among all classes seen; one that was learned,
    with the templates that it was learned with unless others are given.
    """
    tasks = [
        task_of(folder, template, test_fraction=test_fraction, follow_links=follow_links)
        for folder in task or []
    ]
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


def export_command(
    learner: Annotated[Path, typer.Argument(help="Learner or run folder.")],
    out: Annotated[Path, typer.Argument(help="Model folder; it may not be there yet.")],
    task: Annotated[
        str | None,
        typer.Option(help="Learned task, for methods that have a model for each."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a learner's model as an ordinary folder of the transformers library."""
    from gift.commands import export

    with reporter("export"):
        export(learner, out, task)
    if as_json:
        print_json({"folder": str(out)})
    else:
        print_text(f"Model folder: {out}")
