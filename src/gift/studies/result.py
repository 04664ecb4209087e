"""An experiment from its name to its table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gift.data import Paths, load_benchmark, short_name
from gift.files import replacing_file, write_json, write_text
from gift.metrics import rule_in_words
from gift.report.tables import Table
from gift.runs import RunFolder
from gift.runs.read import Run
from gift.settings import flat
from gift.studies.entries import PER_DATASET, Experiment, load_experiment
from gift.studies.figure_data import data_file, make_data
from gift.studies.figures import draw
from gift.studies.pictures import Loss
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
        figure_data: the file of what the picture shows beside what runs measured, if it needs one.
        failures: why runs failed, by folder; why the data of the picture could not be computed.
        files: what was written: tables as Markdown, CSV and JSON, perhaps a picture.
    """

    entry: Experiment
    benchmark: str
    seeds: tuple[int, ...]
    rows: tuple[PlannedRow, ...]
    table: Table
    per_dataset: tuple[Table, ...]
    heading: str = ""
    figure_data: Path | None = None
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
            "heading": self.heading,
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
    paths, missing = paths or Paths.of(), missing_runs(planned) if workers else []
    failures = make_runs(missing, workers, paths) if workers and missing else {}
    data = data_file(entry, planned, runs)
    if workers and data:
        try:
            make_data(entry, planned, data, paths)
        except (ValueError, OSError) as error:  # the table is written all the same
            failures[data] = str(error)
    result = replace(
        _result(entry, benchmark, seeds, planned),
        heading=_heading(entry, planned, seeds, settings or {}, redraw),
        figure_data=data,
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


def experiment_picture(
    name: str,
    benchmark: str,
    runs: Path,
    seeds: Sequence[int],
    folder: Path,
    *,
    redraw: bool = False,
) -> tuple[Path, ...]:
    """Write the picture of an experiment as PNG and PDF; none where there is nothing to show."""
    entry = load_experiment(name)
    planned = plan(entry, benchmark, seeds=seeds, runs=runs, redraw=redraw)
    return draw(entry, read_rows(planned), data_file(entry, planned, runs), folder)


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
    config = rows[0].config
    chosen = load_benchmark(config.benchmark).datasets(config.tasks)
    return tuple(task.name for task in chosen)


def _heading(
    entry: Experiment,
    rows: Sequence[PlannedRow],
    seeds: Sequence[int],
    settings: Mapping[str, object],
    redraw: bool,
) -> str:
    known = [load_benchmark(name) for name in dict.fromkeys(row.benchmark for row in rows)]
    where = " and ".join(f"{one.name} ({one.title})" if one.title else one.name for one in known)
    listed = ", ".join(map(str, seeds))
    text = f"{entry.title}, on {where}, seed{'s' if len(seeds) > 1 else ''} {listed}."
    setting = flat(settings)
    if len(seeds) > 1:
        text += " Mean ± sample standard deviation."
        text += " Every seed is also the data seed." if redraw else ""
    if settings:
        chosen = (f"{path} = {value}" for path, value in setting.items())
        text += f" All rows with {', '.join(chosen)}."
    if entry.difference_to is not None:
        text += f" In brackets the difference to {entry.difference_to}"
        text += ", with its 95 % interval over paired seeds." if entry.intervals else "."
    split = setting.get("evaluation.split", "test")
    rules = [{"label_space": b.label_space, "task_id": b.task_id, "split": split} for b in known]
    measured = " and ".join(dict.fromkeys(map(rule_in_words, rules)))
    text += f" Accuracy in percent on {measured}."
    if title := figures_title(entry, rows[0].benchmark):
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
    return markdown, *tables, values, *draw(result.entry, result.rows, result.figure_data, folder)


def keep(result: Result, out: Path) -> list[Path]:
    """Copy what is worth committing of an experiment, enough to make its table and picture again.

    Every finished run's folder goes to ``out/<benchmark>/<folder>``, for a picture of a loss with
    the lines of ``events.jsonl`` that it shows; the data of a picture to
    ``out/<benchmark>/figures``.
    """
    picture, kept = result.entry.figure, []
    for run in {run.folder: run for row in result.rows for run in row.measured}.values():
        files = RunFolder(run.folder).results()
        if isinstance(picture, Loss) and (events := _loss_events(run, picture)):
            files["events.jsonl"] = events
        kept.append(_copied(files, out / run.folder.parent.name / run.folder.name))
    if (data := result.figure_data) is not None and data.exists():
        kept.append(_copied({data.name: data.read_bytes()}, out / Path(*data.parts[-3:-1])))
    return kept


def _copied(files: Mapping[str, bytes], folder: Path) -> Path:
    for name, content in files.items():
        with replacing_file(folder / name) as file:
            file.write(content)
    return folder


def _loss_events(run: Run, picture: Loss) -> bytes:
    """The lines of ``events.jsonl`` with the shown loss in the shown tasks, and no more in them."""
    shown = run.matrix.tasks[: picture.tasks]
    lines = [
        {
            "stage": "train",
            "task": step.task,
            "step": step.step,
            "losses": {picture.loss: round(step.losses[picture.loss], 4)},
        }
        for step in run.steps
        if step.task in shown and picture.loss in step.losses
    ]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()
