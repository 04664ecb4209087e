"""From an experiment's rows to runs: which configuration, which seed, which folder.

A run's folder is named after all that its configuration changes of the benchmark's recipe, so rows
of different experiments that mean the same run share it, and two different ones never do.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gift import benchmark as experiment
from gift.benchmark import check_same_benchmark
from gift.config import RunConfig
from gift.data import BenchmarkEntry, load_benchmark, short_name, split_order
from gift.methods import method_class
from gift.runs import RunFolder
from gift.settings import absolute, identity, merge, nest, validate
from gift.studies.entries import Experiment, Row
from gift.text import unknown

KeyPath = tuple[str, ...]
LONGEST_NAME = 120  # characters of a folder's name; file systems allow 255 bytes
OWN_SETTINGS = {
    "seed": "choose seeds with --seeds or --seed",
    "benchmark": "choose one with --benchmark",
    "method": "each row has its own",
}


@dataclass(frozen=True)
class PlannedRun:
    """One run of a row.

    Attributes:
        config: its configuration.
        changes: what the configuration changes of the benchmark's recipe, the seed left out.
        folder: the run folder.
    """

    config: RunConfig
    changes: Mapping[KeyPath, Any]
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether the folder holds this run, whole: same settings, same benchmark."""
        folder = RunFolder(self.folder)
        matrix = folder.read_matrix()
        if matrix is None or not (self.folder / "summary.json").is_file() or not folder.has_config:
            return False
        try:
            stored = validate(RunConfig, folder.read_config())
            check_same_benchmark(matrix, self.config, self.folder)
        except ValueError:  # another benchmark, or settings that this version does not know
            return False
        return settings_of(stored) == settings_of(self.config)

    @property
    def command(self) -> str:
        """The same run as one command, for its summary."""
        words = ["gift", "run", self.config.benchmark, "--method", self.config.method]
        words += ["--seed", str(self.config.seed)]
        for path, value in self.changes.items():
            words += ["--set", f"{'.'.join(path)}={json.dumps(value, ensure_ascii=False)}"]
        return shlex.join([*words, "--out", str(self.folder)])


@dataclass(frozen=True)
class PlannedRow:
    """A row of an experiment on a benchmark, with one run per seed."""

    entry: Row
    label: str
    runs: tuple[PlannedRun, ...]

    @property
    def finished(self) -> tuple[PlannedRun, ...]:
        return tuple(run for run in self.runs if run.finished)


def plan(
    entry: Experiment,
    benchmark: str,
    *,
    seeds: Sequence[int],
    runs: Path,
    settings: Mapping[str, Any] | None = None,
    rows: Sequence[str] | None = None,
    redraw: bool = False,
) -> tuple[PlannedRow, ...]:
    """All rows of an experiment with their runs.

    A method that learns nothing is run once, with the first seed, unless the data are redrawn.

    Args:
        entry: the experiment.
        benchmark: name or YAML file.
        seeds: one run per row and seed.
        runs: folder of run folders; those of a benchmark are in a folder of its name.
        settings: settings laid over every row.
        rows: only these rows.
        redraw: every seed k gets draw k of the benchmark's data.

    Raises:
        ValueError: a row is wrong on this benchmark, or there is none of a name.
    """
    benchmark = from_anywhere(benchmark)
    known = load_benchmark(benchmark)
    entry.check_published()
    planned = []
    for row in entry.rows:
        layer = own_settings(row, known, settings or {})
        if redraw and "draw" in layer:
            raise ValueError("redraw gives every seed a draw of its own; leave 'draw' out.")
        config, changes = _reduced(benchmark, row.method, layer)
        trains = method_class(row.method).trains
        row_runs = tuple(
            _planned_run(config, changes, seed, redraw, runs)
            for seed in (seeds if trains or redraw else seeds[:1])
        )
        planned.append(PlannedRow(row, _label(row.name, config), row_runs))
    labels = [row.label for row in planned]
    if repeated := [label for label, count in Counter(labels).items() if count > 1]:
        raise ValueError(
            f"{entry.name}: several rows are called {repeated[0]!r} on {benchmark}; rename them."
        )
    for name in rows or ():
        if name not in labels:
            raise ValueError(unknown("row", name, labels))
    return tuple(row for row in planned if rows is None or row.label in rows)


def default_folder(config: RunConfig, runs: Path) -> Path:
    """Where a run goes that names no folder: the one that an experiment's row would have."""
    name = folder_name(config.method, changes_of(config), config.seed)
    return runs / short_name(config.benchmark) / name


def changes_of(config: RunConfig) -> dict[KeyPath, Any]:
    """What a configuration changes of its benchmark's recipe, the seed left out."""
    plain = settings_of(experiment.resolve(config.benchmark, config.method))
    wanted = settings_of(config).items()
    return {
        path: value
        for path, value in wanted
        if path != ("seed",) and (path not in plain or plain[path] != value)
    }


def own_settings(row: Row, benchmark: BenchmarkEntry, more: Mapping[str, Any]) -> dict[str, Any]:
    """What a row lays over a benchmark's recipe.

    Raises:
        ValueError: a setting that the experiment decides itself.
    """
    own = merge(row.settings, row.recipes.get(benchmark.recipe or "", {}), more)
    only = own.get("tasks") or benchmark.tasks
    first = next((name for name in benchmark.tasks if name in only), "")
    for key, cure in OWN_SETTINGS.items():
        if key in own:
            raise ValueError(f"an experiment sets {key!r} itself, {cure}.")
    filled = _filled(own, first)
    assert isinstance(filled, dict)
    return filled


def settings_of(config: RunConfig) -> dict[KeyPath, Any]:
    """Every setting of a run by its path, the method's with their defaults."""
    values = identity(config)
    values["benchmark"] = from_anywhere(config.benchmark)
    return flat(values)


def flat(values: Mapping[str, Any], prefix: KeyPath = ()) -> dict[KeyPath, Any]:
    """Nested settings by their paths."""
    found: dict[KeyPath, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, (*prefix, key))
        else:
            found[*prefix, key] = value
    return found


def from_anywhere(benchmark: str) -> str:
    """The benchmark's name, or the full path of its file: workers may run in another folder."""
    path, order = split_order(benchmark)
    if not path.endswith((".yaml", ".yml")):
        return benchmark
    return absolute(path) if order is None else f"{absolute(path)}@{order}"


def folder_name(method: str, changes: Mapping[KeyPath, Any], seed: int) -> str:
    """A readable name that only runs with the same settings have.

    A setting is called by the last part of its path where no other setting ends like that.
    What a file system may not hold is left out; a checksum then keeps the name unique.

    >>> folder_name("gift", {("training", "warmup"): 3, ("method_settings", "beta"): 0.5}, 0)
    'gift+beta=0.5+warmup=3-seed0'
    """
    endings = _endings(method)
    names = {path: path[-1] if endings[path[-1]] == 1 else ".".join(path) for path in changes}
    ordered = sorted(changes, key=lambda path: names[path])
    parts = [method, *(f"{names[path]}={_shown(changes[path])}" for path in ordered)]
    exact = "+".join(parts)
    safe = "+".join(re.sub(r"[^\w.,=-]+", "-", part) for part in parts)[:LONGEST_NAME]
    if safe != exact:
        canonical = json.dumps(sorted((path, changes[path]) for path in changes))
        safe += f"-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"
    return f"{safe}-seed{seed}"


def _reduced(
    benchmark: str, method: str, layer: Mapping[str, Any]
) -> tuple[RunConfig, dict[KeyPath, Any]]:
    """A row's configuration, made of no more than what changes the benchmark's recipe; and that."""
    changes = changes_of(experiment.resolve(benchmark, method, layer))
    layers = (nest(path, value) for path, value in changes.items())
    return experiment.resolve(benchmark, method, *layers), changes


def _planned_run(
    config: RunConfig,
    changes: Mapping[KeyPath, Any],
    seed: int,
    redraw: bool,
    runs: Path,
) -> PlannedRun:
    """A row's run with a seed."""
    draw = seed if redraw else config.draw
    if redraw and draw:
        changes = {**changes, ("draw",): draw}
    own = validate(RunConfig, config.model_dump() | {"seed": seed, "draw": draw})
    return PlannedRun(own, changes, default_folder(own, runs))


def _filled(value: Any, first_task: str) -> Any:
    """The value with ``{first_task}`` replaced, at any depth."""
    if isinstance(value, Mapping):
        return {key: _filled(item, first_task) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, first_task) for item in value]
    return value.replace("{first_task}", first_task) if isinstance(value, str) else value


def _label(name: str, config: RunConfig) -> str:
    """A row's name with its ``{key.path}`` filled in."""
    values = {".".join(path): value for path, value in settings_of(config).items()}

    def fill(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise ValueError(f"row {name!r}: {unknown('setting', found[1], values)}")
        value = values[found[1]]
        return f"{value:g}" if isinstance(value, float) else str(value)

    return re.sub(r"\{([\w.]+)\}", fill, name)


def _endings(method: str) -> Counter[str]:
    """How many settings end in a name, over all of a run and of the method."""
    return Counter([*_last_keys(RunConfig), *method_class(method).Settings.model_fields])


def _last_keys(model: type[BaseModel]) -> list[str]:
    names: list[str] = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            names += _last_keys(annotation)
        else:
            names.append(name)
    return names


def _shown(value: Any) -> str:
    """A setting's value in a folder's name."""
    if isinstance(value, list):
        return ",".join(map(_shown, value))
    if isinstance(value, str):
        return value if value and not set(',"') & set(value) else json.dumps(value)
    return json.dumps(value)
