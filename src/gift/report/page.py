"""Write a report: one page that opens offline, its figures as files and its tables as files."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from gift.files import write_text
from gift.progress import report
from gift.report import figures, style
from gift.report.comparison import Comparison, compare
from gift.report.embedding import PERPLEXITY, Embedding, embeddings
from gift.report.embedding import figure as embedding_figure
from gift.report.gallery import gallery
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

SECTIONS = (
    "sequence",
    "matrices",
    "embedding",
    "losses",
    "costs",
)  # those of the page that hold figures


@dataclass(frozen=True)
class ReportFiles:
    """What a report wrote: the page, and per figure PNG and PDF, per table .md, .csv and .tex."""

    page: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]


@dataclass(frozen=True)
class Drawing:
    """A figure on the page."""

    name: str
    svg: Markup


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
            ``embedding`` needs.
    """
    read = []
    for done, folder in enumerate(runs):
        report("report", done, len(runs) + 1)
        read.append(read_run(Path(folder), images_per_task=images_per_task))
    comparison = compare(read, labels)
    embedded = () if embedding is None else embeddings(comparison, embedding)
    report("report", len(runs), len(runs) + 1)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    tables = _tables(comparison)
    drawings, figure_files = _draw(comparison, embedded, out / "figures")
    page = out / "report.html"
    write_text(page, _render(comparison, tables, drawings, title))
    table_files = tuple(_table_files(tables.values(), out / "tables"))
    report("report", len(runs) + 1, len(runs) + 1)
    return ReportFiles(page, figure_files, table_files)


def _tables(comparison: Comparison) -> dict[str, Table]:
    slugs = _slugs(comparison)
    matrices = [
        matrix_table(comparison, group, f"accuracy-{slugs[group.label]}")
        for group in comparison.groups
    ]
    tables = [
        metrics_table(comparison),
        gains_table(comparison),
        *(per_task_table(comparison, metric) for metric in per_task_metrics(comparison)),
        *matrices,
    ]
    if len((costs := costs_table(comparison)).header) > 1:
        tables.append(costs)
    return {table.name: table for table in tables}


def _draw(
    comparison: Comparison, embedded: Sequence[Embedding], folder: Path
) -> tuple[dict[str, list[Drawing]], tuple[Path, ...]]:
    """Draw every figure that the runs have data for; the key is the section of the page."""
    slugs = _slugs(comparison)
    drawn: dict[str, list[tuple[str, str, Figure]]] = {}
    files: list[Path] = []
    drawings: dict[str, list[Drawing]] = {section: [] for section in SECTIONS}
    with style.drawing():
        if any(group.matrices.size for group in comparison.groups):
            drawn["sequence"] = [_sequence(comparison)]
            scale = figures.heat_scale(comparison)
            drawn["matrices"] = [
                (
                    f"accuracy-{slugs[group.label]}",
                    f"Heat map: accuracy matrix of {group.label}",
                    figures.accuracy_matrix(comparison, group, scale),
                )
                for group in comparison.groups
                if group.matrices.size
            ]
        drawn["embedding"] = [
            (
                f"embedding-{slugs[one.group.label]}",
                f"Scatter plots: test images in the feature space of {one.group.label}",
                embedding_figure(comparison, one),
            )
            for one in embedded
        ]
        if figures.loss_names(comparison):
            label = "Line charts: training losses over the sequence of tasks"
            drawn["losses"] = [("losses", label, figures.losses(comparison))]
        if len((table := costs_table(comparison)).header) > 1:
            label = "Bar charts: time per stage, peak memory and storage of each method"
            drawn["costs"] = [("costs", label, figures.costs(table))]
        for section, content in drawn.items():
            for name, label, figure in content:
                style.settle(figure)
                svg = Markup(style.inline_svg(figure, name, label))
                drawings[section].append(Drawing(name, svg))
                files += style.save(figure, folder, name)
    return drawings, tuple(files)


def _sequence(comparison: Comparison) -> tuple[str, str, Figure]:
    """Name, description and drawing of how accuracy went on."""
    name = "accuracy-over-sequence"
    if comparison.start.seen_only:
        label = "Line chart: accuracy over the classes seen after each learned task"
        return name, label, figures.accuracy_of_classes_seen(comparison)
    label = "Line charts: accuracy on each task after each learned task"
    return name, label, figures.accuracy_over_sequence(comparison)


def _render(
    comparison: Comparison,
    tables: dict[str, Table],
    drawings: dict[str, list[Drawing]],
    title: str | None,
) -> str:
    environment = Environment(
        loader=PackageLoader("gift.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = environment.get_template("report.js").render()
    colors = [f"var(--series-{i % len(style.SERIES) + 1})" for i in range(len(comparison.groups))]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template("report.html.j2").render(
        title=printable(title or comparison.start.benchmark),
        comparison=comparison,
        tables=tables,
        per_task=[tables[f"{metric}-per-task"] for metric in per_task_metrics(comparison)],
        swatches=dict(zip((g.label for g in comparison.groups), colors, strict=True)),
        drawings=drawings,
        heat_scale=figures.heat_scale(comparison),
        perplexity=PERPLEXITY,
        gallery=gallery(comparison),
        environment=_environments(comparison),
        zero_shot=ZERO_SHOT,
        light=style.css_variables(style.LIGHT),
        dark=style.css_variables(style.DARK),
        script=Markup(script),
        script_hash=digest,
    )


def _environments(comparison: Comparison) -> dict[str, list[str]]:
    """Every key of the environments with its different values."""
    found: dict[str, dict[str, None]] = {}
    for group in comparison.groups:
        for run in group.runs:
            for key, value in run.environment.items():
                found.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in found.items()}


def _slugs(comparison: Comparison) -> dict[str, str]:
    """File names for the methods by label: labels are data, never a path."""
    slugs: dict[str, str] = {}
    for group in comparison.groups:
        slug = re.sub(r"[^a-z0-9]+", "-", group.label.lower()).strip("-")[:60] or "method"
        while slug in slugs.values():
            slug = f"{slug}-{len(slugs) + 1}"
        slugs[group.label] = slug
    return slugs


def _table_files(tables: Iterable[Table], folder: Path) -> Iterable[Path]:
    for table in tables:
        for suffix, text in (
            ("md", table.markdown()),
            ("csv", table.csv()),
            ("tex", table.latex()),
        ):
            path = folder / f"{table.name}.{suffix}"
            write_text(path, text)
            yield path
