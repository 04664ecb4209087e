"""An experiment from its name to its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gift.data import Paths, load_benchmark, short_name
from gift.files import write_json, write_text
from gift.report.tables import Table
from gift.settings import flat
from gift.studies.entries import PER_DATASET, Experiment, load_experiment
from gift.studies.figures import draw
from gift.studies.plan import PlannedRow, plan
from gift.studies.table import build_dataset_table, build_table, figures_title, read_rows, row_json
from gift.studies.work import Workers, make_runs, missing_runs


@dataclass(frozen=True)
class Result:
    """An experiment on a benchmark as far as it is run.

    Attributes:
        entry: the experiment.
        benchmark: name or YAML file.
        seeds: one run per row and seed.
        rows: the rows with what their finished runs measured.
        table: the table of these.
        per_dataset: more tables, one for each metric, where the experiment has them.
        heading: what the table shows, in one paragraph.
        failures: why runs failed, by folder.
        files: what was written: tables as Markdown, CSV and JSON, perhaps a picture.
    """

    entry: Experiment
    benchmark: str
    seeds: tuple[int, ...]
    rows: tuple[PlannedRow, ...]
    table: Table
    per_dataset: tuple[Table, ...]
    heading: str = ""
    failures: Mapping[Path, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def markdown(self) -> str:
        """All tables, those per data set below their titles."""
        titled = (f"\n**{table.title}**\n\n{table.markdown()}" for table in self.per_dataset)
        return "".join([self.table.markdown(), *titled])

    def to_json(self) -> dict[str, object]:
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
    settings: Mapping[str, object] | None = None,
    redraw: bool = False,
    runs: Path = Path("runs"),
    workers: Workers | None = None,
    paths: Paths | None = None,
) -> Result:
    """Make the missing runs of an experiment and write its table and picture.

    Started again, it resumes; runs that another experiment made are used.

    Args:
        name: a shipped experiment, or a user's YAML file.
        benchmark: name or YAML file; the experiment's own by default.
        seeds: one run per row and seed.
        rows: only these rows.
        settings: settings laid over every row.
        redraw: every seed k is also the data seed (``draw``).
        runs: folder of run folders; tables go to ``runs/tables/<benchmark>``.
        workers: where runs are made; None makes none and only writes the table.
        paths: cache directory and data sets.

    Raises:
        ValueError: unknown experiment, benchmark, row or setting.
        OSError: the tables cannot be written, or the cluster does not answer.
    """
    entry = load_experiment(name)
    benchmark = benchmark or entry.benchmark
    planned = plan(
        entry, benchmark, seeds=seeds, runs=runs, settings=settings, rows=rows, redraw=redraw
    )
    missing = missing_runs(planned) if workers else []
    failures = make_runs(missing, workers, paths or Paths.of()) if workers and missing else {}
    result = replace(
        _result(entry, benchmark, seeds, planned),
        heading=_heading(entry, benchmark, seeds, settings or {}, redraw),
        failures=failures,
    )
    return replace(result, files=_write(result, runs / "tables" / short_name(benchmark)))


def experiment_table(
    name: str, benchmark: str, runs: Path, seeds: Sequence[int], *, redraw: bool = False
) -> str:
    """The tables of an experiment as Markdown, from the folders that are there."""
    entry = load_experiment(name)
    planned = plan(entry, benchmark, seeds=seeds, runs=runs, redraw=redraw)
    return _result(entry, benchmark, seeds, planned).markdown()


def _result(
    entry: Experiment, benchmark: str, seeds: Sequence[int], planned: Sequence[PlannedRow]
) -> Result:
    """The tables of what is there; nothing is written."""
    rows = read_rows(planned)
    table = build_table(entry, benchmark, rows)
    metrics = [column for column in entry.columns if entry.per_dataset and column in PER_DATASET]
    per_dataset = (build_dataset_table(entry, rows, _tasks(rows), metric) for metric in metrics)
    return Result(entry, benchmark, tuple(seeds), rows, table, tuple(per_dataset))


def _tasks(rows: Sequence[PlannedRow]) -> tuple[str, ...]:
    """The tasks that the rows learn, in order."""
    config = rows[0].runs[0].config
    chosen = load_benchmark(config.benchmark).datasets(config.tasks)
    return tuple(task.name for task in chosen)


def _heading(
    entry: Experiment,
    benchmark: str,
    seeds: Sequence[int],
    settings: Mapping[str, object],
    redraw: bool,
) -> str:
    known = load_benchmark(benchmark)
    where = f"{known.name} ({known.title})" if known.title else known.name
    listed = ", ".join(map(str, seeds))
    text = f"{entry.title}, on {where}, seed{'s' if len(seeds) > 1 else ''} {listed}."
    if len(seeds) > 1:
        text += " Mean ± sample standard deviation."
        text += " Every seed is also the data seed." if redraw else ""
    if settings:
        chosen = (f"{path} = {value}" for path, value in flat(settings).items())
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
