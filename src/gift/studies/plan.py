"""From an experiment's rows to runs: which configuration, which seed, which folder.

Rows of different experiments that mean the same run share it: runs are found by the identity of
their configuration, whatever their folder is called.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from gift.benchmark import changes, check_same_benchmark, resolve
from gift.config import RunConfig
from gift.data import BenchmarkEntry, benchmark_names, load_benchmark, other_orders, short_name
from gift.methods import method_class
from gift.runs import RunFolder
from gift.runs.read import Run
from gift.settings import Values, fingerprint, flat, merge
from gift.studies.entries import Experiment, Printed, Row
from gift.text import unknown

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
        changes: what the configuration changes of the benchmark's recipe, by dotted path; without
            the seed.
        folder: the run folder.
    """

    config: RunConfig
    changes: Values
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether the folder holds this run, whole: same settings, same benchmark."""
        if not (self.folder / "summary.json").is_file():
            return False
        if _fingerprint_in(self.folder) != fingerprint(self.config):
            return False
        try:
            if matrix := RunFolder(self.folder).read_matrix():
                check_same_benchmark(matrix, self.config, self.folder)
        except ValueError:  # of another version of the benchmark, or damaged
            return False
        return matrix is not None

    @property
    def command(self) -> str:
        """The same run as one command."""
        words = ["gift", "run", self.config.benchmark, "--method", self.config.method]
        words += ["--seed", str(self.config.seed)]
        for path, value in self.changes.items():
            words += ["--set", f"{path}={json.dumps(value, ensure_ascii=False)}"]
        return shlex.join([*words, "--out", str(self.folder)])


@dataclass(frozen=True)
class PlannedRow:
    """A row of an experiment on a benchmark.

    Attributes:
        entry: the row.
        benchmark: name or YAML file.
        name: what it is called, with the values of its settings.
        label: what its line is called: the name, with the order where there are several.
        config: its configuration, with the first seed.
        changes: what that changes of the benchmark's recipe, see :class:`PlannedRun`.
        runs: one per seed; none where the experiment has no columns to measure.
        paper: what papers print for it, by ``metric`` or ``dataset/metric``.
        measured: what finished runs hold, see :func:`gift.studies.table.read_rows`.
    """

    entry: Row
    benchmark: str
    name: str
    label: str
    config: RunConfig
    changes: Values
    runs: tuple[PlannedRun, ...]
    paper: Mapping[str, Printed]
    measured: tuple[Run, ...] = ()

    @property
    def finished(self) -> tuple[PlannedRun, ...]:
        return tuple(run for run in self.runs if run.finished)


def plan(
    entry: Experiment,
    benchmark: str,
    *,
    seeds: Sequence[int],
    runs: Path,
    settings: Mapping[str, object] | None = None,
    rows: Sequence[str] | None = None,
    redraw: bool = False,
) -> tuple[PlannedRow, ...]:
    """All rows of an experiment with their runs.

    A method that learns nothing is run once, with the first seed, unless the data are resampled.
    On a benchmark that hides the task, methods that never ask for it share the runs of the one that
    gives it, see :func:`equivalent_benchmark`.

    Args:
        entry: the experiment; one with ``orders`` has its rows on every order of the benchmark.
        benchmark: name or YAML file.
        seeds: one run per row and seed.
        runs: folder of run folders; those of a benchmark are in a folder of its name.
        settings: settings laid over every row.
        rows: only these rows.
        redraw: every seed k is also the data seed (``draw``).

    Raises:
        ValueError: a row is wrong on this benchmark, or there is none of a name.
    """
    benchmarks = other_orders(benchmark) if entry.orders else [benchmark]
    planned = [
        row for one in benchmarks for row in _plan(entry, one, seeds, runs, settings or {}, redraw)
    ]
    names = [row.name for row in planned]
    for name in rows or ():
        if name not in names:
            raise ValueError(unknown("row", name, names))
    if len(benchmarks) > 1:
        orders = [short_name(row.benchmark) for row in planned]
        planned = [
            replace(row, label=f"{row.name}, {order}")
            for row, order in zip(planned, orders, strict=True)
        ]
    return tuple(row for row in planned if rows is None or row.name in rows)


def _plan(
    entry: Experiment,
    benchmark: str,
    seeds: Sequence[int],
    runs: Path,
    settings: Mapping[str, object],
    redraw: bool,
) -> list[PlannedRow]:
    """All rows on one benchmark."""
    known = load_benchmark(benchmark)
    existing, recipe = cache(find_runs), cache(resolve)
    planned = []
    for row in entry.rows:
        layer = own_settings(row, known, settings)
        if redraw and "draw" in layer:
            raise ValueError("redraw makes every seed the data seed too; remove 'draw'.")
        where = equivalent_benchmark(benchmark, row.method)
        folder = runs / short_name(where)
        config, plain = resolve(where, row.method, layer), recipe(where, row.method)
        once = not method_class(row.method).trains and not redraw
        own: list[PlannedRun] = []
        for seed in seeds[:1] if once else seeds:
            draw = seed if redraw else config.draw
            seeded = config.model_copy(update={"seed": seed, "draw": draw})
            new = folder / folder_name(seeded, plain)
            path = existing(folder).get(fingerprint(seeded), new)
            own.append(PlannedRun(seeded, changes(seeded, plain), path))
        name = _label(row.name, config)
        planned.append(
            PlannedRow(
                row,
                benchmark,
                name,
                name,
                own[0].config,
                own[0].changes,
                tuple(own) if entry.columns else (),
                entry.printed(row, benchmark),
            )
        )
    names = Counter(row.name for row in planned)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise ValueError(
            f"{entry.name}: several rows are called {repeated[0]!r} on {benchmark}; rename them."
        )
    return planned


@cache
def equivalent_benchmark(benchmark: str, method: str) -> str:
    """The benchmark whose runs give what a method scores on one that hides the task of an image.

    A method that never asks for the task scores the same where it is given: the shipped benchmark
    that is the same but for that. Otherwise the benchmark itself.
    """
    entry = load_benchmark(benchmark)
    if entry.task_id == "given" or method_class(method).uses_task_id():
        return benchmark
    for name in benchmark_names():
        other = load_benchmark(name)
        named = {"name": entry.name, "title": entry.title, "task_id": entry.task_id}
        if other.task_id == "given" and other.model_copy(update=named) == entry:
            return name
    return benchmark


def default_folder(config: RunConfig, runs: Path) -> Path:
    """The folder of a run that names none, for instance ``runs/micro-1/gift-seed0``."""
    return runs / short_name(config.benchmark) / folder_name(config)


def find_runs(folder: Path) -> dict[str, Path]:
    """The run folders directly in a folder, by the fingerprint of their configuration.

    Of several with the same settings a finished one counts.
    """
    found: dict[str, Path] = {}
    paths = [path.parent for path in sorted(folder.glob("*/config.yaml"))]
    for path in sorted(paths, key=lambda path: not (path / "summary.json").is_file()):
        if key := _fingerprint_in(path):
            found.setdefault(key, path)
    return found


def own_settings(row: Row, benchmark: BenchmarkEntry, more: Mapping[str, object]) -> Values:
    """What a row lays over a benchmark's recipe.

    Raises:
        ValueError: a setting that the experiment decides itself.
    """
    own = merge(row.settings, row.recipes.get(benchmark.recipe or "", {}), more)
    only = own.get("tasks") or benchmark.tasks
    first = next((name for name in benchmark.tasks if name in only), benchmark.tasks[0])
    for key, hint in OWN_SETTINGS.items():
        if key in own:
            raise ValueError(f"an experiment sets {key!r} itself, {hint}.")
    return {key: _filled(value, first) for key, value in own.items()}


def _filled(value: Any, first_task: str) -> Any:
    """The value with ``{first_task}`` replaced, at any depth."""
    if isinstance(value, Mapping):
        return {key: _filled(item, first_task) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, first_task) for item in value]
    return value.replace("{first_task}", first_task) if isinstance(value, str) else value


def _label(name: str, config: RunConfig) -> str:
    """A row's name with its ``{key.path}`` filled in."""
    values = flat(config.model_dump(mode="json"))

    def fill(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise ValueError(f"row {name!r}: {unknown('setting', found[1], values)}")
        value = values[found[1]]
        return f"{value:g}" if isinstance(value, float) else str(value)

    return re.sub(r"\{([\w.]+)\}", fill, name)


def folder_name(config: RunConfig, recipe: RunConfig | None = None) -> str:
    """``METHOD[-CHECKSUM]-seedN``, with the checksum where the settings are not the recipe's.

    Args:
        config: the run's configuration.
        recipe: the recipe's, where it is known already.
    """
    recipe = recipe or resolve(config.benchmark, config.method)
    own, plain = (fingerprint(c, without={"seed"}) for c in (config, recipe))
    middle = "" if own == plain else f"-{own[:8]}"
    return re.sub(r"[^\w.-]+", "-", f"{config.method}{middle}-seed{config.seed}")


def _fingerprint_in(folder: Path) -> str | None:
    """The fingerprint of a folder's configuration; None where it has none that is valid now."""
    path = folder / "config.yaml"
    return _fingerprint_at(folder, path.stat().st_mtime_ns) if path.is_file() else None


@cache
def _fingerprint_at(folder: Path, modified: int) -> str | None:
    """As above; the time of the last change makes it read again what was written since."""
    try:
        return fingerprint(RunFolder(folder).read_config(RunConfig))
    except ValueError:  # settings that this version does not know
        return None
