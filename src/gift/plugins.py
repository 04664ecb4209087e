"""Extensions by other packages, found through their entry points.

A package that registers an entry point in one of these groups needs no change here:

- ``gift.catalogues``: a :class:`Catalogue` of data sets, benchmarks, recipes and models;
- ``gift.commands``: a function or a ``typer.Typer``, which becomes a command of its name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from gift.text import unknown

log = logging.getLogger(__name__)

T = TypeVar("T")

MakeDataset = Callable[[str, Path, int], None]
"""Called with (data set, folder, data seed): writes the data set's image folder."""


@dataclass(frozen=True)
class Catalogue:
    """What a package ships for use by name.

    Attributes:
        folder: holds any of ``datasets/``, ``benchmarks/`` and ``recipes/`` (a YAML file per name),
            ``classnames/`` and ``labels/`` (a text file per name) and ``models/`` (a folder per
            name, ``builtin:<catalogue>/<name>``).
        make: writes those data sets whose entry has ``made_by: <catalogue>``.
        buildable: models that are not shipped but built by a command -> the command, see
            :func:`gift.settings.locate`.
    """

    folder: Path
    make: MakeDataset | None = None
    buildable: Mapping[str, str] = field(default_factory=dict)


def load(group: str, *kinds: type[T]) -> dict[str, T]:
    """The objects that packages registered in a group, by name.

    One that cannot be imported, or is of none of the kinds, is skipped with a warning.
    """
    found = {}
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            value = point.load()
            if not isinstance(value, kinds):
                wanted = " or ".join(kind.__name__ for kind in kinds)
                raise TypeError(f"{point.value} is a {type(value).__name__}, not a {wanted}")
        except Exception as error:  # a foreign package may raise anything
            package = point.dist.name if point.dist else "an unknown package"
            reason = f"{type(error).__name__}: {error}"
            log.warning("%s %r of %s is skipped: %s", group, point.name, package, reason)
        else:
            found[point.name] = value
    return found


@cache
def catalogues() -> dict[str, Catalogue]:
    """All catalogues by name, this package's own first."""
    return {"gift": Catalogue(Path(__file__).parent / "data")} | load("gift.catalogues", Catalogue)


def shipped_files(folder: str, suffix: str) -> dict[str, Path]:
    """The files in a folder of all catalogues, by name; of equal names the first."""
    found: dict[str, Path] = {}
    for catalogue in catalogues().values():
        for path in sorted((catalogue.folder / folder).glob(f"*{suffix}")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def shipped_models() -> dict[str, Path]:
    """The model folders of all catalogues, by ``<catalogue>/<model>``."""
    return {
        f"{name}/{path.name}": path
        for name, catalogue in catalogues().items()
        for path in sorted((catalogue.folder / "models").glob("*/"))
    }


def buildable_models() -> dict[str, str]:
    """The commands that build the models which are not shipped, by ``<catalogue>/<model>``."""
    return {
        f"{name}/{model}": command
        for name, catalogue in catalogues().items()
        for model, command in catalogue.buildable.items()
    }


def maker(name: str) -> MakeDataset:
    """The function of a catalogue that writes its data sets.

    Raises:
        ValueError: no installed catalogue of that name makes data sets.
    """
    makers = {key: value.make for key, value in catalogues().items() if value.make is not None}
    if name not in makers:
        raise ValueError(f"made_by: {unknown('catalogue', name, makers)} Install its package.")
    return makers[name]
