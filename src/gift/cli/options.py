"""Options that several commands share, and how they become settings and paths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gift.data import Paths, Task
    from gift.settings import Values

MOST_SEED = 2**31 - 1
"""The largest seed that every library takes, see :data:`gift.settings.Seed`."""

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Home = Annotated[
    Path | None, typer.Option(help="Cache directory. [default: $GIFT_HOME or ~/.cache/gift]")
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Directory of the data sets. [default: HOME/data]")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, e.g. training.iterations=500."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file with settings.")]
Templates = Annotated[
    list[str] | None,
    typer.Option("--template", help="Prompt template with {} for the class name; repeatable."),
]
OnNonfinite = Annotated[
    str | None,
    typer.Option(help="A step whose losses are not finite: 'stop' or 'skip'. [default: stop]"),
]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Follow links that lead out of a task's folder.")
]


def paths_of(home: Path | None, data_root: Path | None = None) -> Paths:
    """The cache and data directories."""
    from gift.data import Paths

    return Paths.of(home, data_root)


def read_settings(
    config: Path | None, overrides: Sequence[str] | None, **named: str | int | None
) -> Values:
    """The user's settings: the file's, then the named options', then --set's."""
    from gift.settings import merge, parse_override, read_yaml

    options: Values = {key: value for key, value in named.items() if value is not None}
    if "generator" in options:
        options["synthesis"] = {"generator": options.pop("generator")}
    if "on_nonfinite" in options:
        options["training"] = {"on_nonfinite": options.pop("on_nonfinite")}
    layers = [parse_override(text) for text in overrides or []]
    return merge(read_yaml(config) if config else {}, options, *layers)


def task_of(folder: Path, template: Sequence[str] | None, **options: Any) -> Task:
    """The task in a folder; without templates, with the usual one."""
    from gift.data import Task

    if template:
        options["templates"] = tuple(template)
    return Task.from_folder(folder, **options)
