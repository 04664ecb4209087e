"""Write a report: one page that opens offline, its figures as files and its tables as files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from gift.data.output import refuse_data
from gift.files import refuse_special, write_text
from gift.progress import report
from gift.report import figures, style
from gift.report.comparison import Comparison, compare
from gift.report.embedding import PERPLEXITY, Stage, embeddings
from gift.report.embedding import figure as embedding_figure
from gift.report.gallery import gallery
from gift.report.rendering import render
from gift.report.tables import (
    ZERO_SHOT,
    Table,
    costs_table,
    gains_table,
    matrix_table,
    metrics_table,
    per_task_metrics,
    per_task_table,
)
from gift.runs.read import printable, read_run


@dataclass(frozen=True)
class ReportFiles:
    """What a report wrote: the page, and per figure PNG and PDF, per table .md, .csv and .tex."""

    page: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]


Drawing = tuple[str, str, str, Figure]
"""Its section of the page, the name of its files, its description and the figure."""


def write_report(
    runs: Sequence[Path],
    out: Path,
    *,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    images_per_task: int = 24,
    embedding: Sequence[int] | None = None,
) -> ReportFiles:
    """Compare runs of one benchmark on a page.

    Args:
        runs: run folders, finished or not, or result folders with ``matrix.json`` and
            ``summary.json``. Several seeds of a method are averaged.
        out: folder for ``report.html``, ``figures/`` and ``tables/``; files of an earlier report
            are replaced.
        labels: a name per run instead of its method's; runs with one label are averaged.
        title: heading of the page instead of the benchmark's name.
        images_per_task: how many synthetic images of each task the page shows.
        embedding: after how many tasks to show test images in feature space, beside the start; ()
            for after the first, the middle and the last one, None for no such picture.

    Raises:
        FileNotFoundError: a folder holds no ``matrix.json``.
        ValueError: no run, runs that measured different things, or none with the features that
            ``embedding`` needs; or ``out`` is a data set.
    """
    read = []
    for done, folder in enumerate(runs):
        report("report", done, len(runs) + 1)
        read.append(read_run(Path(folder), images_per_task=images_per_task))
    comparison = compare(read, labels)
    refuse_data(out, "the report")
    embedded = {} if embedding is None else embeddings(comparison, embedding)
    report("report", len(runs), len(runs) + 1)
    refuse_special(out, "figures", "tables", "report.html")
    for part in ("figures", "tables"):
        refuse_special(out / part)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    slugs = _slugs(comparison)
    tables = {table.name: table for table in _tables(comparison, slugs)}
    pictures: dict[str, dict[str, Markup]] = {}
    figure_files: list[Path] = []
    with style.drawing():
        for section, name, label, figure in _drawings(comparison, embedded, tables, slugs):
            style.settle(figure)
            svg = style.inline_svg(figure, name, label)
            pictures.setdefault(section, {})[name] = Markup(svg)
            figure_files += style.save(figure, out / "figures", name)
    page = out / "report.html"
    write_text(page, _render(comparison, tables, pictures, title))
    table_files = []
    for table in tables.values():
        texts = {"md": table.markdown(), "csv": table.csv(), "tex": table.latex()}
        for suffix, text in texts.items():
            table_files.append(out / "tables" / f"{table.name}.{suffix}")
            write_text(table_files[-1], text)
    report("report", len(runs) + 1, len(runs) + 1)
    return ReportFiles(page, tuple(figure_files), tuple(table_files))


def _tables(comparison: Comparison, slugs: Mapping[str, str]) -> Iterator[Table]:
    yield metrics_table(comparison)
    yield gains_table(comparison)
    for metric in per_task_metrics(comparison):
        yield per_task_table(comparison, metric)
    for group in comparison.groups:
        yield matrix_table(comparison, group, f"accuracy-{slugs[group.label]}")
    costs = costs_table(comparison)
    if len(costs.header) > 1:
        yield costs


def _drawings(
    comparison: Comparison,
    embedded: Mapping[str, Sequence[Stage]],
    tables: Mapping[str, Table],
    slugs: Mapping[str, str],
) -> Iterator[Drawing]:
    """Every figure that the runs have data for."""
    learned = [group for group in comparison.groups if group.matrices.size]
    if learned and comparison.start.seen_only:
        label = "Line chart: accuracy over the classes seen after each learned task"
        figure = figures.accuracy_of_classes_seen(comparison)
        yield "sequence", "accuracy-over-sequence", label, figure
    elif learned:
        label = "Line charts: accuracy on each task after each learned task"
        figure = figures.accuracy_over_sequence(comparison)
        yield "sequence", "accuracy-over-sequence", label, figure
    scale = figures.heat_scale(comparison)
    for group in learned:
        label = f"Heat map: accuracy matrix of {group.label}"
        figure = figures.accuracy_matrix(comparison, group, scale)
        yield "matrices", f"accuracy-{slugs[group.label]}", label, figure
    for method, stages in embedded.items():
        label = f"Scatter plots: test images in the feature space of {method}"
        figure = embedding_figure(comparison, method, stages)
        yield "embedding", f"embedding-{slugs[method]}", label, figure
    if figures.loss_names(comparison):
        label = "Line charts: training losses over the sequence of tasks"
        yield "losses", "losses", label, figures.losses(comparison)
    if "costs" in tables:
        label = "Bar charts: time per stage, peak memory and storage of each method"
        yield "costs", "costs", label, figures.costs(tables["costs"])


def _render(
    comparison: Comparison,
    tables: Mapping[str, Table],
    pictures: Mapping[str, Mapping[str, Markup]],
    title: str | None,
) -> str:
    colors = [f"var(--series-{i % len(style.SERIES) + 1})" for i in range(len(comparison.groups))]
    return render(
        "report.html.j2",
        title=printable(title or comparison.start.benchmark),
        comparison=comparison,
        tables=tables,
        per_task=[tables[f"{metric}-per-task"] for metric in per_task_metrics(comparison)],
        swatches=dict(zip((g.label for g in comparison.groups), colors, strict=True)),
        pictures=pictures,
        heat_scale=figures.heat_scale(comparison),
        perplexity=PERPLEXITY,
        gallery=gallery(comparison),
        environment=_environments(comparison),
        zero_shot=ZERO_SHOT,
    )


def _environments(comparison: Comparison) -> dict[str, list[str]]:
    """Every key of the environments with its different values."""
    found: dict[str, dict[str, None]] = {}
    for run in comparison.runs:
        for key, value in run.environment.items():
            found.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in found.items()}


def _slugs(comparison: Comparison) -> dict[str, str]:
    """Names for the files of each method: labels are data, never a path."""
    slugs: dict[str, str] = {}
    for group in comparison.groups:
        slug = re.sub(r"[^a-z0-9]+", "-", group.label.lower()).strip("-")[:60] or "method"
        while slug in slugs.values():
            slug = f"{slug}-{len(slugs) + 1}"
        slugs[group.label] = slug
    return slugs
