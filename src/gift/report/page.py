"""Write a report: one page that opens offline, its figures as files and its tables as files."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from gift.files import write_text
from gift.progress import report
from gift.report import figures, style
from gift.report.comparison import Comparison, Group, compare
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


@dataclass(frozen=True)
class ReportFiles:
    """What a report wrote: the page, and per figure PNG and PDF, per table .md, .csv and .tex."""

    page: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]


@dataclass(frozen=True)
class Drawing:
    """A figure, in which section of the page it stands, and its description."""

    section: str
    name: str
    label: str
    figure: Figure


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
    tables = {table.name: table for table in _tables(comparison)}
    pictures: dict[str, dict[str, Markup]] = {}
    figure_files: list[Path] = []
    with style.drawing():
        for drawing in _drawings(comparison, embedded, tables):
            style.settle(drawing.figure)
            svg = style.inline_svg(drawing.figure, drawing.name, drawing.label)
            pictures.setdefault(drawing.section, {})[drawing.name] = Markup(svg)
            figure_files += style.save(drawing.figure, out / "figures", drawing.name)
    page = out / "report.html"
    write_text(page, _render(comparison, tables, pictures, title))
    table_files = tuple(_table_files(tables.values(), out / "tables"))
    report("report", len(runs) + 1, len(runs) + 1)
    return ReportFiles(page, tuple(figure_files), table_files)


def _tables(comparison: Comparison) -> Iterator[Table]:
    yield metrics_table(comparison)
    yield gains_table(comparison)
    for metric in per_task_metrics(comparison):
        yield per_task_table(comparison, metric)
    for group, slug in _slugs(comparison):
        yield matrix_table(comparison, group, f"accuracy-{slug}")
    costs = costs_table(comparison)
    if len(costs.header) > 1:
        yield costs


def _drawings(
    comparison: Comparison, embedded: Sequence[Embedding], tables: Mapping[str, Table]
) -> Iterator[Drawing]:
    """Every figure that the runs have data for."""
    slugs = {group.label: slug for group, slug in _slugs(comparison)}
    learned = [group for group in comparison.groups if group.matrices.size]
    if learned and comparison.start.seen_only:
        label = "Line chart: accuracy over the classes seen after each learned task"
        figure = figures.accuracy_of_classes_seen(comparison)
        yield Drawing("sequence", "accuracy-over-sequence", label, figure)
    elif learned:
        label = "Line charts: accuracy on each task after each learned task"
        figure = figures.accuracy_over_sequence(comparison)
        yield Drawing("sequence", "accuracy-over-sequence", label, figure)
    scale = figures.heat_scale(comparison)
    for group in learned:
        label = f"Heat map: accuracy matrix of {group.label}"
        figure = figures.accuracy_matrix(comparison, group, scale)
        yield Drawing("matrices", f"accuracy-{slugs[group.label]}", label, figure)
    for one in embedded:
        label = f"Scatter plots: test images in the feature space of {one.group.label}"
        figure = embedding_figure(comparison, one)
        yield Drawing("embedding", f"embedding-{slugs[one.group.label]}", label, figure)
    if figures.loss_names(comparison):
        label = "Line charts: training losses over the sequence of tasks"
        yield Drawing("losses", "losses", label, figures.losses(comparison))
    if "costs" in tables:
        label = "Bar charts: time per stage, peak memory and storage of each method"
        yield Drawing("costs", "costs", label, figures.costs(tables["costs"]))


def _render(
    comparison: Comparison,
    tables: Mapping[str, Table],
    pictures: Mapping[str, Mapping[str, Markup]],
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
        pictures=pictures,
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
    for run in comparison.runs:
        for key, value in run.environment.items():
            found.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in found.items()}


def _slugs(comparison: Comparison) -> Iterator[tuple[Group, str]]:
    """The methods with names for their files: labels are data, never a path."""
    taken: set[str] = set()
    for group in comparison.groups:
        slug = re.sub(r"[^a-z0-9]+", "-", group.label.lower()).strip("-")[:60] or "method"
        while slug in taken:
            slug = f"{slug}-{len(taken) + 1}"
        taken.add(slug)
        yield group, slug


def _table_files(tables: Iterable[Table], folder: Path) -> Iterator[Path]:
    for table in tables:
        texts = {"md": table.markdown(), "csv": table.csv(), "tex": table.latex()}
        for suffix, text in texts.items():
            path = folder / f"{table.name}.{suffix}"
            write_text(path, text)
            yield path
