"""Runs of benchmarks: run, report."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gift.cli import completion
from gift.cli.options import (
    MOST_SEED,
    Benchmark,
    ConfigFile,
    DataRoot,
    Device,
    DryRun,
    Home,
    Json,
    Method,
    OnBadImageOption,
    OnNonfinite,
    Overrides,
    Precision,
    Reading,
    Track,
    Yes,
    confirmed,
    default,
    paths_of,
    read_settings,
    task_of,
)
from gift.cli.show import (
    print_json,
    print_plan,
    print_summaries,
    print_text,
    reporter,
    this_command,
)

RECIPE = "The benchmark's recipe may name another."


def run_command(
    benchmark: Benchmark,
    method: Method = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MOST_SEED,
            help="Seed of batches, crops and synthetic images. " + default("seed"),
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder. [default: runs/BENCHMARK/METHOD[-CHECKSUM]-seedN]"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help=f"CLIP-like model. {RECIPE} " + default("model"))
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(
            help=f"Diffusers text-to-image pipeline. {RECIPE} " + default("synthesis.generator")
        ),
    ] = None,
    device: Device = None,
    precision: Precision = None,
    on_nonfinite: OnNonfinite = None,
    track: Track = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    data_root: DataRoot = None,
    home: Home = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Learn a benchmark's tasks in order and measure all of them after each.

    Running it again on the same folder continues after the last finished task.
    """
    from gift.data import load_benchmark

    load_benchmark(benchmark)  # is refused before the heavy imports
    settings = read_settings(
        config,
        overrides,
        model=model,
        generator=generator,
        method=method,
        seed=seed,
        precision=precision,
        on_nonfinite=on_nonfinite,
        track=track,
    )
    from gift.benchmark import preview, resolve, run
    from gift.studies import default_folder

    resolved = resolve(benchmark, settings.pop("method", "gift"), settings)
    paths, folder = paths_of(home, data_root), out or default_folder(resolved, Path("runs"))
    if dry_run:
        with reporter("timing a few steps"):
            plan = preview(resolved, paths=paths)
        print_plan(plan, as_json=as_json)
        return
    with reporter(f"{benchmark}, {resolved.method}"):
        summary = run(
            resolved,
            folder,
            paths=paths,
            command=this_command(),
            confirm=lambda plan: confirmed(plan, yes),
        )
    if as_json:
        print_json({"folder": str(folder), **summary.model_dump(mode="json")})
        return
    print_summaries([summary])
    print_text(f"Run folder: {folder}\nLook at it:  gift report {shlex.quote(str(folder))}")


def report_command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, or one learner folder.",
            metavar="FOLDER...",
            autocompletion=completion.learners,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("report"),
    embedding: Annotated[
        bool,
        typer.Option(
            "--embedding",
            help="Show test images in feature space, of runs with evaluation.embedding_images.",
        ),
    ] = False,
    sessions: Annotated[
        str | None,
        typer.Option(
            help="After how many tasks, e.g. 1,6,11. [default: the first, the middle, the last]"
        ),
    ] = None,
    task: Annotated[
        list[Path] | None,
        typer.Option(
            help="Of a learner: folder whose images are classified; repeatable. [default: those "
            "that it learned, where they still lie as they were]"
        ),
    ] = None,
    test_fraction: Annotated[
        float | None, typer.Option(help="Of a learner: the fraction that 'learn' held out.")
    ] = None,
    on_bad_image: OnBadImageOption = "stop",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write the page, figures and tables of one or several runs, or the page of a learner."""
    from gift.runs import RunFolder

    if any(RunFolder(run).is_learner for run in runs):
        if len(runs) > 1 or embedding or sessions is not None:
            raise ValueError(
                "a learner has a page of its own; give one learner folder alone, without "
                "--embedding and --sessions, or run folders."
            )
        reading = Reading(test_fraction=test_fraction, on_bad_image=on_bad_image)
        tasks = [task_of(folder, reading) for folder in task or []]
        from gift.commands import report_learner

        with reporter(f"report of {runs[0].name}"):
            page = report_learner(runs[0], out, tasks, paths=paths_of(home))
        _tell(page, as_json)
        return
    if task or test_fraction is not None or on_bad_image != "stop":
        raise ValueError(
            "--task, --test-fraction and --on-bad-image are for a learner; a run has its own tasks."
        )
    if sessions is not None and not embedding:
        raise ValueError("--sessions chooses panels of --embedding; give both.")
    parts = [] if sessions is None else [part.strip() for part in sessions.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(
            f"--sessions {sessions!r} must be numbers of learned tasks, such as 1,6,11."
        )
    from gift.report import write_report

    files = write_report(runs, out, embedding=tuple(map(int, parts)) if embedding else None)
    _tell(files.page, as_json)


def _tell(page: Path, as_json: bool) -> None:
    if as_json:
        print_json({"page": str(page)})
    else:
        print_text(f"Page: {page}")
