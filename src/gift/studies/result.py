"""An experiment from its name to its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gift.data import load_benchmark, short_name
from gift.files import write_json, write_text
from gift.report.table import Table
from gift.studies.entries import Experiment, load_experiment
from gift.studies.figures import draw
from gift.studies.per_dataset import build_per_dataset
from gift.studies.plan import PlannedRow, flat, plan
from gift.studies.table import RowResult, build_table, figures_title, read_rows, row_json
from gift.studies.work import Workers, work_off


@dataclass(frozen=True)
class Result:
    """An experiment on a benchmark as far as it is run.

    Attributes:
        entry: the experiment.
        heading: what the table shows, in one paragraph.
        rows: the rows with their finished runs.
        table: the table of these.
        per_dataset: more tables, one for each metric, where the experiment has them.
        failures: why runs failed, by folder.
        files: what was written: tables as Markdown, CSV and JSON, perhaps a picture.
    """

    entry: Experiment
    benchmark: str
    seeds: tuple[int, ...]
    heading: str
    rows: tuple[RowResult, ...]
    table: Table
    per_dataset: tuple[Table, ...]
    failures: Mapping[Path, str]
    files: tuple[Path, ...]

    @property
    def planned(self) -> tuple[PlannedRow, ...]:
        return tuple(row.planned for row in self.rows)

    def markdown(self) -> str:
        """All tables, those per data set below their titles."""
        titled = (f"\n**{table.title}**\n\n{table.markdown()}" for table in self.per_dataset)
        return "".join([self.table.markdown(), *titled])

    def to_json(self) -> dict[str, Any]:
        tasks = _tasks(self.rows) if self.entry.per_dataset else ()
        return {
            "experiment": self.entry.name,
            "title": self.entry.title,
            "benchmark": self.benchmark,
            "seeds": list(self.seeds),
            "rows": [row_json(row, self.entry.columns, tasks) for row in self.rows],
            "notes": list(self.table.notes),
            "failures": {str(folder): reason for folder, reason in self.failures.items()},
        }


def compare(
    name: str,
    *,
    benchmark: str | None = None,
    seeds: Sequence[int] = (0,),
    rows: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    redraw: bool = False,
    runs: Path = Path("runs"),
    workers: Workers | None = None,
    home: Path | None = None,
    data_root: Path | None = None,
) -> Result:
    """Make the runs of an experiment that are not there yet and write its table and picture.

    Stopped and started again, it goes on; runs that another experiment made are used.

    Args:
        name: a shipped experiment, or a user's YAML file.
        benchmark: name or YAML file; the experiment's own by default.
        seeds: one run per row and seed.
        rows: only these rows.
        settings: settings laid over every row.
        redraw: every seed k gets draw k of the benchmark's data.
        runs: folder of run folders; tables go to ``runs/tables/<benchmark>``.
        workers: where runs are made; None makes none and only writes the table.
        home: cache folder.
        data_root: where the data sets are.

    Raises:
        ValueError: unknown experiment, benchmark, row or setting.
        OSError: the tables cannot be written, or the cluster does not answer.
    """
    entry = load_experiment(name)
    benchmark = benchmark or entry.benchmark
    planned = plan(
        entry, benchmark, seeds=seeds, runs=runs, settings=settings, rows=rows, redraw=redraw
    )
    failures = work_off(planned, workers, home=home, data_root=data_root) if workers else {}
    heading = _heading(entry, benchmark, seeds, settings or {}, redraw)
    result = _result(entry, benchmark, seeds, planned, heading, failures)
    folder = runs / "tables" / short_name(benchmark)
    return replace(result, files=_write(result, folder))


def experiment_table(
    name: str, benchmark: str, runs: Path, seeds: Sequence[int], *, redraw: bool = False
) -> str:
    """The tables of an experiment as Markdown, from the folders that are there."""
    entry = load_experiment(name)
    planned = plan(entry, benchmark, seeds=seeds, runs=runs, redraw=redraw)
    return _result(entry, benchmark, seeds, planned).markdown()


def _result(
    entry: Experiment,
    benchmark: str,
    seeds: Sequence[int],
    planned: Sequence[PlannedRow],
    heading: str = "",
    failures: Mapping[Path, str] | None = None,
) -> Result:
    """The tables of what is there; nothing is written."""
    rows = read_rows(entry, benchmark, planned)
    return Result(
        entry,
        benchmark,
        tuple(seeds),
        heading,
        rows,
        build_table(entry, benchmark, rows),
        build_per_dataset(entry, rows, _tasks(rows)) if entry.per_dataset else (),
        failures or {},
        (),
    )


def _tasks(rows: Sequence[RowResult]) -> tuple[str, ...]:
    """The tasks that the rows learn, in order."""
    config = rows[0].planned.runs[0].config
    chosen = load_benchmark(config.benchmark).datasets(config.tasks)
    return tuple(task.name for task in chosen)


def _heading(
    entry: Experiment,
    benchmark: str,
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    redraw: bool,
) -> str:
    known = load_benchmark(benchmark)
    where = f"{known.name} ({known.title})" if known.title else known.name
    listed = ", ".join(map(str, seeds))
    text = f"{entry.title}, on {where}, seed{'s' if len(seeds) > 1 else ''} {listed}."
    if len(seeds) > 1:
        text += " Mean ± sample standard deviation."
        text += " Every seed has a draw of the data of its own." if redraw else ""
    if settings:
        chosen = (f"{'.'.join(path)} = {value}" for path, value in flat(settings).items())
        text += f" All rows with {', '.join(chosen)}."
    if entry.difference_to is not None:
        text += f" In brackets the difference to {entry.difference_to}"
        text += ", with its 95 % interval over paired seeds." if entry.intervals else "."
    if title := figures_title(entry, benchmark):
        text += f" The paper's figures are those of {title}."
    return text


def _write(result: Result, folder: Path) -> tuple[Path, ...]:
    """The tables in three formats and the picture, if there is one."""
    name = result.entry.name
    markdown, values = folder / f"{name}.md", folder / f"{name}.json"
    write_text(markdown, f"{result.heading}\n\n{result.markdown()}")
    tables = {folder / f"{table.name}.csv": table for table in (result.table, *result.per_dataset)}
    for path, table in tables.items():
        write_text(path, table.csv())
    write_json(values, result.to_json())
    return markdown, *tables, values, *draw(result.entry, result.rows, folder)
