"""Learn one more folder of images."""

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
from gift.cli.show import print_accuracies, print_json, print_kept, print_text, reporter


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
    check: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of images measured before and after; repeatable."),
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
    checked = [task_of(one, None, follow_links=follow_links) for one in check or []]
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
        learned = commands.learn(
            learner, chosen, settings, check=checked, paths=paths_of(home, data_root)
        )
    accuracies = [*learned.before, *learned.after]
    if as_json:
        print_json(
            {
                "folder": str(learner),
                "accuracy": list(map(asdict, accuracies)),
                "tasks": list(learned.tasks),
                "plain_model": learned.plain_model,
                "kept": learned.kept.model_dump(mode="json"),
            }
        )
        return
    print_accuracies(accuracies)
    print_kept(learned.kept)
    folder = learner / "learner" / "model"
    print_text(f"Learner folder: {learner}\nPlain model:    {folder} ({learned.plain_model})")
    if learned.one_per_task:
        export = ["gift", "export", str(learner), "FOLDER", "--task", learned.task]
        print_text(f"Model of a task: {shlex.join(export)}")
