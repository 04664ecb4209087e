"""Learn one more folder of images."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gift.cli import completion
from gift.cli.options import (
    ColumnNames,
    ConfigFile,
    DataRoot,
    Device,
    DryRun,
    FollowLinks,
    Home,
    Json,
    Nested,
    OnBadImageOption,
    OnNonfinite,
    Overrides,
    Precision,
    Reading,
    Rename,
    Templates,
    Track,
    Yes,
    confirmed,
    default,
    paths_of,
    read_settings,
    task_of,
)
from gift.cli.show import print_accuracies, print_json, print_kept, print_plan, print_text, reporter


def learn_command(
    learner: Annotated[
        Path,
        typer.Argument(
            help="Learner folder; made if it is not there.", autocompletion=completion.learners
        ),
    ],
    task: Annotated[
        Path,
        typer.Option(
            help="Folder with one sub-folder per class, or train/ and test/; or a table (.csv, "
            ".tsv, .jsonl) with the columns path and label."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the task. [default: FOLDER's]")] = None,
    into: Annotated[
        str | None, typer.Option(help="Earlier task whose classes are added to.", metavar="TASK")
    ] = None,
    template: Templates = None,
    test_fraction: Annotated[
        float | None, typer.Option(help="Fraction of the images to hold out for testing.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="New learner: CLIP-like model. " + default("model"))
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="New learner: see 'gift methods'. " + default("method"),
            autocompletion=completion.methods,
        ),
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(
            help="New learner: diffusers text-to-image pipeline. " + default("synthesis.generator")
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="New learner: settings of a recipe; 'micro' is for the small models.",
            autocompletion=completion.recipes,
        ),
    ] = None,
    check: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of images measured before and after; repeatable."),
    ] = None,
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            help="Hold this fraction of the training images out, and keep the weights that are "
            "best on it."
        ),
    ] = None,
    device: Device = None,
    precision: Precision = None,
    on_nonfinite: OnNonfinite = None,
    track: Track = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    rename: Rename = None,
    nested: Nested = False,
    on_bad_image: OnBadImageOption = "stop",
    columns: ColumnNames = None,
    follow_links: FollowLinks = False,
    data_root: DataRoot = None,
    home: Home = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let a learner learn one more folder, or table, of images.

    The accuracies before and after are those among the task's own classes, and among all classes
    seen.
    """
    from gift.settings import load_recipe, merge
    from gift.text import count_of

    reading = Reading(template, test_fraction, follow_links, nested, on_bad_image, rename, columns)
    chosen = task_of(task, reading, name)
    if into is not None:
        chosen = chosen.extending(into)
    checked = [
        task_of(one, Reading(follow_links=follow_links, on_bad_image=on_bad_image))
        for one in check or []
    ]
    settings = read_settings(
        config,
        overrides,
        model=model,
        generator=generator,
        method=method,
        precision=precision,
        keep=None if validation_fraction is None else "best",
        validation_fraction=validation_fraction,
        on_nonfinite=on_nonfinite,
        track=track,
    )
    if recipe is not None:
        settings = merge(load_recipe(recipe, settings.get("method", "gift")), settings)
    from gift import commands

    paths = paths_of(home, data_root)
    if dry_run:
        with reporter("timing a few steps"):
            plan = commands.preview_learning(learner, chosen, settings, paths=paths)
        print_plan(plan, as_json=as_json)
        return
    with reporter(f"learning {chosen.name}"):
        learned = commands.learn(
            learner,
            chosen,
            settings,
            check=checked,
            paths=paths,
            confirm=lambda plan: confirmed(plan, yes),
        )
    accuracies = [*learned.before, *learned.after]
    if as_json:
        print_json(
            {
                "folder": str(learner),
                "accuracy": list(map(asdict, accuracies)),
                "tasks": list(learned.tasks),
                "skipped": learned.skipped,
                "plain_model": learned.plain_model,
                "kept": learned.kept.model_dump(mode="json"),
            }
        )
        return
    print_accuracies(accuracies)
    print_kept(learned.kept)
    if learned.skipped:
        print_text(f"Skipped, since they cannot be read: {count_of(learned.skipped, 'image')}.")
    folder = learner / "learner" / "model"
    print_text(f"Learner folder: {learner}\nPlain model:    {folder} ({learned.plain_model})")
    if learned.one_per_task:
        export = ["gift", "export", str(learner), "FOLDER", "--task", learned.task]
        print_text(f"Model of a task: {shlex.join(export)}")
