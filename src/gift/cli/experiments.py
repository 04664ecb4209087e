"""Many runs at once: experiment, search."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gift.cli import completion
from gift.cli.options import (
    MOST_SEED,
    Benchmark,
    DataRoot,
    DryRun,
    Home,
    Json,
    Overrides,
    Track,
    read_settings,
)
from gift.cli.show import print_error, print_json, print_text, reporter

if TYPE_CHECKING:
    from gift.config import RunConfig
    from gift.data import Paths
    from gift.studies import Outcome, Result, Space

Jobs = Annotated[int, typer.Option(min=1, max=256, help="Runs at the same time.")]


def experiment_command(
    name: Annotated[
        str | None, typer.Argument(help="Name, or a YAML file; without it, all are listed.")
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            help="Name, or a YAML file. [default: the experiment's]",
            autocompletion=completion.benchmarks,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Seeds 0, 1, ... up to this number. [default: 1]"),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, max=MOST_SEED, help="A single seed; repeatable.")
    ] = None,
    rows: Annotated[list[str] | None, typer.Option(help="Only this row; repeatable.")] = None,
    jobs: Jobs = 1,
    backend: Annotated[
        str, typer.Option(help="joblib's: loky (this machine) or dask (with --cluster).")
    ] = "loky",
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster.")
    ] = None,
    track: Track = None,
    overrides: Overrides = None,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Every seed is also the data seed.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of run folders and tables.")] = Path("runs"),
    keep: Annotated[
        Path | None, typer.Option(help="Copy the small files of finished runs there.")
    ] = None,
    table_only: Annotated[
        bool, typer.Option("--table-only", help="Run nothing, show what is there.")
    ] = False,
    print_commands: Annotated[
        bool,
        typer.Option(
            "--print", help="Run nothing, print the missing runs as commands, a line each."
        ),
    ] = False,
    show_list: Annotated[bool, typer.Option("--list", help="List the experiments.")] = False,
    dry_run: DryRun = False,
    data_root: DataRoot = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a table or figure of the paper: all of its rows, beside the paper's numbers.

    Finished runs are not run again; stopped and started again, it resumes.
    """
    from gift import studies
    from gift.data import Paths
    from gift.tracking import check_trackers

    if name is None or show_list:
        _list_experiments(as_json)
        return
    if seeds is not None and seed:
        raise ValueError("--seeds 3 means the seeds 0, 1 and 2; give it or --seed, not both.")
    settings = read_settings(None, overrides, track=track)
    check_trackers(settings.get("tracking", ()))
    workers = studies.Workers(jobs, "dask" if cluster else backend, cluster)
    with reporter(name, overall="runs"):
        result = studies.compare(
            name,
            benchmark=benchmark,
            seeds=seed or range(seeds or 1),
            rows=rows,
            settings=settings,
            redraw=redraw,
            runs=out,
            workers=None if table_only or print_commands or dry_run else workers,
            paths=Paths.of(home, data_root),
        )
    if dry_run:
        missing = [one.config for one in studies.missing_runs(result.rows)]
        _print_forecast(missing, Paths.of(home, data_root), jobs, as_json)
        return
    if print_commands:
        _print_commands(result, {"--home": home, "--data-root": data_root}, as_json)
        return
    if keep is not None:
        studies.keep(result, keep)
    if as_json:
        print_json({**result.to_json(), "files": [str(path) for path in result.files]})
    else:
        _print_result(result)
    for folder, reason in result.failures.items():
        print_error(f"failed: {folder}: {reason}")
    if result.failures:
        raise typer.Exit(1)


def search_command(
    benchmark: Benchmark,
    trials: Annotated[int, typer.Option(min=1, max=10_000, help="How many settings are tried.")],
    method: Annotated[
        str, typer.Option(help="See 'gift methods'.", autocompletion=completion.methods)
    ] = "gift",
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="Values of a setting: a,b,c or low..high; repeatable. "
            "[default: what the benchmark's recipe says]",
        ),
    ] = None,
    jobs: Jobs = 1,
    out: Annotated[
        Path | None, typer.Option(help="Search folder. [default: runs/search/BENCHMARK-METHOD]")
    ] = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    data_root: DataRoot = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Search settings on validation images; test images are never opened.

    Stopped and started again, it resumes. Several commands may work on one folder.
    """
    from gift.data import Paths, short_name
    from gift.studies import parse_space, search, trial_config

    if dry_run:
        trial = trial_config(benchmark, method, read_settings(None, overrides))
        _print_forecast([trial] * trials, Paths.of(home, data_root), jobs, as_json)
        return
    folder = out or Path("runs") / "search" / f"{short_name(benchmark)}-{method}"
    with reporter(f"{benchmark}, {method}", overall="trials"):
        outcome = search(
            benchmark,
            method,
            space=parse_space(space) if space else _recipe_space(benchmark, method),
            trials=trials,
            folder=folder,
            settings=read_settings(None, overrides),
            jobs=jobs,
            paths=Paths.of(home, data_root),
        )
    if as_json:
        print_json({"folder": str(folder), **outcome})
        return
    _print_trials(outcome)
    print_text(f"All trials: {folder / 'search.json'}")


def _print_forecast(configs: Sequence[RunConfig], paths: Paths, jobs: int, as_json: bool) -> None:
    """How many runs are to be made, and how long they take."""
    from gift.studies import forecast
    from gift.text import duration

    with reporter("timing a few steps"):
        found = forecast(configs, paths)
    seconds = sum(one.seconds for one in found)
    if as_json:
        methods = {
            one.method: {"runs": one.runs, "seconds": one.seconds / one.runs} for one in found
        }
        print_json({"runs": len(configs), "seconds": seconds, "methods": methods})
        return
    print_text(f"Runs:   {len(configs)} to be made")
    for one in found:
        print_text(f"        {one.runs} of {one.method}, {duration(one.seconds / one.runs)} each")
    if found:
        at_once = f"; {jobs} at a time take less" if jobs > 1 else ""
        print_text(f"Time:   about {duration(seconds)} one after the other{at_once}")
        print_text(f"Device: {found[0].plan.device}")


def _print_commands(result: Result, options: Mapping[str, Path | None], as_json: bool) -> None:
    """The missing runs as ``gift run`` lines, for a scheduler or xargs."""
    from gift.studies import missing_runs

    more = [word for name, path in options.items() if path for word in (name, str(path))]
    lines = [shlex.join([*shlex.split(run.command), *more]) for run in missing_runs(result.rows)]
    if as_json:
        print_json({"commands": lines})
    elif lines:
        print_text("\n".join(lines))


def _list_experiments(as_json: bool) -> None:
    from gift.studies import experiment_names, load_experiment

    entries = [load_experiment(name) for name in experiment_names()]
    if as_json:
        print_json({entry.name: entry.model_dump(mode="json") for entry in entries})
        return
    table = Table("experiment", "what it shows", "rows", "benchmark of the paper", box=None)
    for entry in entries:
        table.add_row(entry.name, entry.title, str(len(entry.rows)), entry.benchmark)
    Console().print(table)


def _print_result(result: Result) -> None:
    """The tables' heading, rows and notes; a wide table in several blocks of columns."""
    import pandas as pd

    table = result.table
    heads = [re.sub(r"^paper \(.*\):", "paper:", head) for head in table.header]  # see the heading
    frame = pd.DataFrame(table.rows, columns=heads).set_index(heads[0])
    frame.columns.name, frame.index.name = frame.index.name, None
    print_text(f"{result.heading}\n")
    print_text(frame.to_string(line_width=Console().width - 2))
    for note in table.notes:
        print_text(note)
    print_text("\nWritten: " + ", ".join(map(str, result.files)))


def _recipe_space(benchmark: str, method: str) -> Space:
    """The space that the recipe of a benchmark proposes, without settings of other methods."""
    from gift.data import load_benchmark
    from gift.methods import method_class
    from gift.settings import read_recipe

    recipe = load_benchmark(benchmark).recipe
    proposed: Space = read_recipe(recipe).get("search", {}) if recipe else {}
    own = {f"method_settings.{name}" for name in method_class(method).Settings.model_fields}
    space = {
        key: values
        for key, values in proposed.items()
        if key in own or not key.startswith("method_settings.")
    }
    if not space:
        raise ValueError(
            f"the recipe of {benchmark} proposes no values to search; give --space KEY=a,b,c, for "
            "instance --space training.learning_rate=1e-5..1e-3."
        )
    return space


def _print_trials(outcome: Outcome) -> None:
    """The best trials, and how many failed."""
    good = [row for row in outcome["rows"] if "failure" not in row]
    ranked = sorted(good, key=lambda row: -float(row["avg"]))[:10]
    keys = list(ranked[0]["values"]) if ranked else []
    table = Table(*keys, "Transfer", "Avg.", "Last", box=None)
    for row in ranked:
        values = [f"{row['values'][key]}" for key in keys]
        metrics = ("-" if row[m] is None else f"{row[m]:.1f}" for m in ("transfer", "avg", "last"))
        table.add_row(*map(Text, values), *metrics)
    Console().print(table)
    print_text(f"{outcome['criterion']}; accuracy in percent.")
    print_text(f"{len(good)} trials, {len(outcome['rows']) - len(good)} failed; best first.")
