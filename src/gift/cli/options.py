"""Options that several commands share, and how they become settings and paths."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gift.cli import completion
from gift.distributed import DEVICE

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from gift.data import Paths, Task
    from gift.estimate import Plan
    from gift.settings import Values


def _choose_device(name: str | None) -> str | None:
    """Name the device for this process and those that it starts."""
    if name is not None:
        os.environ[DEVICE] = name
    return name


Device = Annotated[
    str | None,
    typer.Option(
        help="cpu, cuda, cuda:1, mps, ... [default: $GIFT_DEVICE, or the best there is]",
        callback=_choose_device,
    ),
]

MOST_SEED = 2**31 - 1
"""The largest seed that every library takes, see :data:`gift.settings.Seed`."""

OVERRIDE = "KEY=VALUE"
"""How a setting is given to ``--set``."""


def default(setting: str) -> str:
    """Stands in a help text for the default of a setting; see :func:`with_defaults`."""
    return f"[default of {setting}]"


def with_defaults(text: str) -> str:
    """A help text with the defaults that settings have, from their models."""

    def written(match: re.Match[str]) -> str:
        from gift.config import RunConfig
        from gift.settings import described

        return f"[default: {described(RunConfig)[match[1]][0]}]"

    return re.sub(r"\[default of ([\w.]+)\]", written, text)


def settings_of(command: str) -> Collection[str]:
    """The dotted paths of the settings that a command takes; without those of methods."""
    from gift.config import LearnerConfig, RunConfig
    from gift.explain import setting_paths

    return [path for path, _ in setting_paths(LearnerConfig if command == "learn" else RunConfig)]


Learner = Annotated[
    Path, typer.Argument(help="Learner or run folder.", autocompletion=completion.learners)
]
Benchmark = Annotated[
    str,
    typer.Argument(
        help="Name of a benchmark, or its YAML file.", autocompletion=completion.benchmarks
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        help="See 'gift methods'. " + default("method"), autocompletion=completion.methods
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Draw losses and accuracies with a tracker: tensorboard, wandb, mlflow, ...; "
        "repeatable.",
        autocompletion=completion.trackers,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Home = Annotated[
    Path | None, typer.Option(help="Cache directory. [default: $GIFT_HOME or ~/.cache/gift]")
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Directory of the data sets. [default: HOME/data]")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar=OVERRIDE,
        autocompletion=completion.settings,
        help="A setting, e.g. training.iterations=500; repeatable. 'gift settings' lists them.",
    ),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file with settings.")]
Templates = Annotated[
    list[str] | None,
    typer.Option("--template", help="Prompt template with {} for the class name; repeatable."),
]
OnNonfinite = Annotated[
    str | None,
    typer.Option(
        help="A step whose losses are not finite: 'stop' or 'skip'. "
        + default("training.on_nonfinite")
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="Of the forward pass of training: 'fp32', or 'bf16' on GPUs that have it. "
        + default("training.precision")
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done and how long it takes, and stop.")
]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Begin also what takes more than an hour on a CPU.")
]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Follow links that lead out of a task's folder.")
]
Rename = Annotated[
    Path | None,
    typer.Option(
        "--rename",
        metavar="FILE",
        help="Class names of folders: YAML, JSON or CSV, folder and class name. Folders of one "
        "name are one class.",
    ),
]
Nested = Annotated[
    bool, typer.Option("--nested", help="Sub-folders of a class folder belong to the class.")
]
OnBadImageOption = Annotated[
    str, typer.Option("--on-bad-image", help="An image that cannot be read: 'stop' or 'skip'.")
]
ColumnNames = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="KIND=NAME",
        help="A column of a table: image=, label= or split=NAME; repeatable.",
    ),
]


@dataclass(frozen=True)
class Reading:
    """How the folder or table of a task is read.

    Attributes:
        template: prompt templates; none: the usual one.
        test_fraction, follow_links, nested: see :meth:`gift.data.Task.from_folder`.
        on_bad_image: ``stop`` or ``skip``.
        rename: file that maps folders to class names.
        columns: of a table, KIND=NAME each.
    """

    template: Sequence[str] | None = None
    test_fraction: float | None = None
    follow_links: bool = False
    nested: bool = False
    on_bad_image: str = "stop"
    rename: Path | None = None
    columns: Sequence[str] | None = None


def paths_of(home: Path | None, data_root: Path | None = None) -> Paths:
    """The cache and data directories."""
    from gift.data import Paths

    return Paths.of(home, data_root)


_SETTINGS = {
    "generator": "synthesis.generator",
    "on_nonfinite": "training.on_nonfinite",
    "precision": "training.precision",
    "keep": "training.keep",
    "track": "tracking",
    "validation_fraction": "training.validation_fraction",
}
"""The settings that options stand for, where they are called otherwise."""


def read_settings(
    config: Path | None,
    overrides: Sequence[str] | None,
    **named: str | int | float | list[str] | None,
) -> Values:
    """The user's settings: the file's, then the named options', then --set's."""
    from gift.settings import merge, nest, parse_override, read_yaml

    options = [
        nest(_SETTINGS.get(name, name).split("."), value)
        for name, value in named.items()
        if value is not None
    ]
    layers = [parse_override(text) for text in overrides or []]
    return merge(read_yaml(config) if config else {}, *options, *layers)


def task_of(source: Path, reading: Reading, name: str | None = None) -> Task:
    """The task that a folder or a table of paths and labels holds.

    Raises:
        ValueError: options that do not go with it, or a task that cannot be used.
    """
    from gift.data import Task
    from gift.data.naming import read_renames
    from gift.data.sources import is_table

    options: dict[str, Any] = {
        "name": name,
        "test_fraction": reading.test_fraction,
        "follow_links": reading.follow_links,
        "on_bad_image": reading.on_bad_image,
    }
    if reading.template:
        options["templates"] = tuple(reading.template)
    if reading.rename is not None:
        options["classnames"] = read_renames(reading.rename)
    if is_table(source):
        if reading.nested:
            raise ValueError(f"--nested is for folders, but {source} is a table; leave it out.")
        return Task.from_csv(source, **options, **_columns(reading.columns or ()))
    if reading.columns:
        raise ValueError(f"--columns is for tables, but {source} is none; leave it out.")
    return Task.from_folder(source, nested=reading.nested, **options)


def _columns(given: Sequence[str]) -> dict[str, Any]:
    """Kind of column -> its name."""
    from gift.text import unknown

    found: dict[str, str] = {}
    for text in given:
        kind, equals, name = text.partition("=")
        if not equals or not name:
            raise ValueError(f"--columns {text} is not KIND=NAME; write for instance image=file.")
        if kind not in ("image", "label", "split"):
            raise ValueError(unknown("kind of column", kind, ("image", "label", "split")))
        found[kind] = name
    return found


def confirmed(plan: Plan, yes: bool) -> None:
    """Say what will be done, and let a person confirm what takes more than an hour on a CPU.

    Raises:
        ValueError: it was not confirmed.
    """
    from gift.text import duration, one_line

    for line in plan.lines():
        log.info("%s", one_line(line))
    if not plan.is_long or yes:
        return
    hours = duration(sum(plan.seconds.values()))
    if sys.stdin.isatty() and typer.confirm(f"This takes about {hours} on {plan.device}. Begin?"):
        return
    raise ValueError(
        f"nothing was begun: it takes about {hours} on {plan.device}. Use a machine with a GPU, "
        "fewer or smaller steps (--set training.iterations=..., --set synthesis.images=...), a "
        "smaller model, or add --yes."
    )
