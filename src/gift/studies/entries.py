"""Experiments: one YAML entry each, shipped with the package or written by the user.

An entry names the rows of a table: a method each, and what it changes of the benchmark's recipe::

    name: mine
    title: Weight of the penalty
    benchmark: micro-1
    columns: [transfer, avg, last]
    rows:
    - name: weak
      method: l2
      settings: {method_settings: {penalty_weight: 0.1}}
    - name: strong
      method: l2
      settings: {method_settings: {penalty_weight: 10.0}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from gift.methods import method_class
from gift.report.tables import METRICS
from gift.settings import Settings, Values, read_yaml, validate
from gift.studies.pictures import Landscape, Picture, Samples
from gift.text import unknown

COLUMNS = tuple(metric for metric in METRICS if metric != "seen")
"""What an experiment's table may show."""
PER_DATASET = ("transfer", "avg", "last")
"""The columns that have a figure for every data set."""
_SHIPPED = Path(str(files("gift.studies")))


def _known_column(name: str) -> str:
    if name not in COLUMNS:
        raise ValueError(unknown("column", name, COLUMNS))
    return name


Column = Annotated[str, AfterValidator(_known_column)]


class PublishedFigures(Settings):
    """Which printed table the rows are compared with."""

    table: str = Field(description="id in published.json")
    title: str = Field(description="what the paper measured, for the column's head")
    benchmarks: tuple[str, ...] = Field(description="benchmarks beside which these figures stand")


class Row(Settings):
    """One line of an experiment's table: a method and how its settings differ from the recipe's.

    ``{first_task}`` in a setting becomes the name of the benchmark's first task, ``{key.path}`` in
    the name the value of a setting.
    """

    name: str = Field(min_length=1, description="what the line is called")
    method: str = Field(description="name of a method, see 'gift methods'")
    settings: Values = Field({}, description="settings laid over the benchmark's recipe")
    recipes: dict[str, Values] = Field(
        {}, description="settings laid over those where the benchmark has the recipe of that name"
    )
    published: str | None = Field(None, description="row of the published tables")


class Misprint(Settings):
    """A printed figure that contradicts others, kept as printed and marked in the tables."""

    table: str
    row: str
    what: str
    printed: float
    expected: str
    reason: str


@dataclass(frozen=True)
class Printed:
    """A figure that a paper prints.

    Attributes:
        value: as printed.
        table: id of the table it stands in.
        misprint: the note on it, where it contradicts others.
    """

    value: float
    table: str
    misprint: Misprint | None = None

    @property
    def source(self) -> str:
        """The paper, see :attr:`Published.sources`."""
        return self.table.partition("/")[0]

    @property
    def dagger(self) -> str:
        """The mark of a misprint."""
        return "†" if self.misprint else ""

    def __str__(self) -> str:
        """As printed, misprints marked."""
        digits = 1 if self.value == round(self.value, 1) else 2
        return f"{self.value:.{digits}f}{self.dagger}"


class Published(Settings):
    """The figures that papers print: table, row, then ``metric`` or ``dataset/metric``."""

    sources: dict[str, str]
    tables: dict[str, dict[str, dict[str, float | None]]]
    misprints: tuple[Misprint, ...]

    def row(self, table: str, name: str | None) -> dict[str, Printed]:
        """The figures of a table's row; none where it has no such row or a dash."""
        notes = {m.what: m for m in self.misprints if (m.table, m.row) == (table, name)}
        figures = self.tables[table].get(name or "", {}).items()
        return {key: Printed(v, table, notes.get(key)) for key, v in figures if v is not None}


@cache
def published() -> Published:
    """All printed figures that the package knows."""
    text = (_SHIPPED / "published.json").read_text(encoding="utf-8")
    return validate(Published, json.loads(text), where="published.json")


class Experiment(Settings):
    """A table (and perhaps a picture) of a paper, as runs of this library."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="unique name")
    title: str = Field(description="for people")
    benchmark: str = Field(description="benchmark where none is asked for: the paper's")
    published: tuple[PublishedFigures, ...] = Field((), description="printed figures")
    orders: bool = Field(
        False, description="all rows on every order of the benchmark's tasks: micro-1 and micro-2"
    )
    columns: tuple[Column, ...] = Field(
        description="what the table shows; none where the picture shows the settings, not runs"
    )
    per_dataset: bool = Field(
        False, description="beside the table, one for each metric with a column per data set"
    )
    difference_to: str | None = Field(
        None, description="row whose figures are subtracted; the differences stand in brackets"
    )
    intervals: bool = Field(
        False, description="differences with their 95 % intervals over the seeds, paired"
    )
    rows: tuple[Row, ...] = Field(min_length=1, description="the lines of the table")
    figure: Picture | None = Field(None, description="picture drawn beside the table")

    @model_validator(mode="after")
    def _names_what_is_there(self) -> Self:
        if self.difference_to not in {None, *(row.name for row in self.rows)}:
            raise ValueError(f"difference_to = {self.difference_to!r} is the name of no row")
        if self.per_dataset and not set(PER_DATASET) & set(self.columns):
            raise ValueError(f"per_dataset needs one of the columns {', '.join(PER_DATASET)}")
        if self.orders and (self.per_dataset or self.difference_to):
            raise ValueError(
                "orders goes with neither per_dataset nor difference_to: another order is another "
                "benchmark"
            )
        if not self.columns and not isinstance(self.figure, Samples):
            raise ValueError("give 'columns'; only a picture of kind 'samples' needs no runs")
        if isinstance(self.figure, Landscape) and (len(self.rows) != 2 or self.orders):
            raise ValueError("a picture of kind 'landscape' needs two rows on one benchmark")
        tables = published().tables
        for figures in self.published:
            if figures.table not in tables:
                raise ValueError(unknown("published table", figures.table, tables))
        own = list(dict.fromkeys(figures.table for figures in self.published))
        known = {name for table in own for name in tables[table]}
        for row in self.rows:
            if own and row.published not in {None, *known}:
                raise ValueError(unknown(f"row of {', '.join(own)}", str(row.published), known))
        return self

    def figures_for(self, benchmark: str) -> tuple[PublishedFigures, ...]:
        """The printed tables that stand beside a benchmark's figures; none for most benchmarks."""
        return tuple(figures for figures in self.published if benchmark in figures.benchmarks)

    def printed(self, row: Row, benchmark: str) -> dict[str, Printed]:
        """What papers print for a row, by ``metric`` or ``dataset/metric``.

        Where several tables have a figure, the first one's counts. What is printed as ``accuracy``
        was measured once: it is the row's Last, and that of a method that learns nothing also its
        Avg. and, of single data sets, its Transfer.
        """
        found: dict[str, Printed] = {}
        for figures in self.figures_for(benchmark):
            own = published().row(figures.table, row.published)
            for what in [what for what in own if what.endswith("accuracy")]:
                own |= dict.fromkeys(_metrics_of(what, row.method), own[what])
            found = own | found
        return found


def experiment_names() -> list[str]:
    """The shipped experiments: tables, figures, then the others, each by number."""
    names = [path.stem for path in (_SHIPPED / "experiments").glob("*.yaml")]
    return sorted(names, key=_in_order_of_numbers)


def load_experiment(name_or_path: str) -> Experiment:
    """Read a shipped experiment by name, or a user's by the path of its YAML file.

    Raises:
        ValueError: unknown name (with the nearest), no such file, or a wrong entry.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        if name_or_path not in experiment_names():
            raise ValueError(unknown("experiment", name_or_path, experiment_names()))
        path = _SHIPPED / "experiments" / f"{name_or_path}.yaml"
    return validate(Experiment, read_yaml(path), where=name_or_path)


def is_called(task: str, dataset: str) -> bool:
    """Whether a task has the name of a data set, or one that ends in it.

    >>> is_called("dtd", "dtd"), is_called("micro-dtd", "dtd"), is_called("micro-dtd", "td")
    (True, True, False)
    """
    return task == dataset or task.endswith(f"-{dataset}")


def _metrics_of(accuracy: str, method: str) -> Iterator[str]:
    """The metrics that ``accuracy`` or ``dataset/accuracy`` stands for."""
    dataset = accuracy.removesuffix("accuracy")
    yield f"{dataset}last"
    if not method_class(method).trains:
        yield f"{dataset}avg"
        if dataset:  # the mean over all of them would count the first one, Transfer does not
            yield f"{dataset}transfer"


def _in_order_of_numbers(name: str) -> tuple[bool, bool, int, str]:
    digits = "".join(char for char in name if char.isdigit())
    is_table = name.startswith("table")
    return not is_table, not digits, int(digits or 0), name
