"""Options that several commands share, and how they become settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Home = Annotated[
    Path | None, typer.Option(help="Cache folder. [default: $GIFT_HOME or ~/.cache/gift]")
]
DataRoot = Annotated[Path | None, typer.Option(help="Where the data sets are.")]
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
    bool,
    typer.Option("--follow-links", help="Follow links that lead out of a task's folder."),
]


def read_settings(
    config: Path | None, overrides: Sequence[str] | None, **named: str | int | None
) -> dict[str, Any]:
    """The user's settings: the file's, then the named options', then --set's."""
    from gift.settings import merge, parse_override, read_yaml

    options: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    if "generator" in options:
        options["synthesis"] = {"generator": options.pop("generator")}
    if "on_nonfinite" in options:
        options["training"] = {"on_nonfinite": options.pop("on_nonfinite")}
    layers = [parse_override(text) for text in overrides or []]
    return merge(read_yaml(config) if config else {}, options, *layers)


def templates_of(template: Sequence[str] | None) -> dict[str, Any]:
    """The argument that replaces a task's templates, where some are given."""
    return {"templates": tuple(template)} if template else {}


def names_of(value: str) -> list[str]:
    """Class names from ``a,b,c`` or from a text file with one name per line."""
    if "," not in value and Path(value).is_file():
        lines = Path(value).read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip()]
    return [name.strip() for name in value.split(",")]
