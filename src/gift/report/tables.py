"""Tables: what runs measured as a long DataFrame, aggregated, and as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from gift import metrics
from gift.report.comparison import Comparison, Group, compare
from gift.runs.read import STAGES, Run, read_run
from gift.text import MARKDOWN, duration, no_formula

MISSING = "–"
ZERO_SHOT = "Zero-shot"
WHOLE = -1
"""The task of a number that belongs to the whole run."""
Key = tuple[str, int]
"""A metric and the position of its task, or :data:`WHOLE`."""


class Metric(NamedTuple):
    """How a metric of :func:`measurements` is called and shown."""

    title: str
    arrow: str = "↑"
    form: str = "z.1f"

    @property
    def head(self) -> str:
        """The title with an arrow that says what is better."""
        return f"{self.title} {self.arrow}"


METRICS: Mapping[str, Metric] = {
    "transfer": Metric("Transfer"),
    "avg": Metric("Avg."),
    "last": Metric("Last"),
    "forgetting": Metric("Forgetting", "↓"),
    "seen": Metric("Accuracy over the classes seen"),
    "first_task_last": Metric("Last of first task"),
    "teacher_accuracy": Metric("Teacher's accuracy"),
    "generate_seconds": Metric("Generation (s)", "↓"),
    "train_seconds": Metric("Training (s)", "↓"),
    "train_seconds_per_task": Metric("Training of a task (s)", "↓", ".2f"),
    "merge_seconds": Metric("Merging (s)", "↓", ".2f"),
    "evaluate_seconds": Metric("Evaluation (s)", "↓"),
    "peak_memory_mb": Metric("Memory (MB)", "↓", ".0f"),
    "method_mb": Metric("Stored (MB)", "↓", ".2f"),
    "extra_parameters": Metric("Extra parameters", "↓", ",.0f"),
}


@dataclass(frozen=True, eq=False)
class Table:
    """A table whose first column labels the rows.

    Attributes:
        name: stem of its files.
        title: for people.
        header: of all columns.
        text: what is read; the columns are positions in the header.
        numbers: what CSV gets instead, where it is known: columns ``("mean", position)`` and
            ``("std", position)``.
        best: row and position of the cells in bold.
        notes: sentences below.
    """

    name: str
    title: str
    header: tuple[str, ...]
    text: pd.DataFrame
    numbers: pd.DataFrame | None = None
    best: Collection[tuple[int, int]] = ()
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The text, row by row."""
        return list(self.text.itertuples(index=False, name=None))

    def markdown(self) -> str:
        """As a GitHub-flavoured Markdown table, numbers aligned right, the best in bold."""
        lines = self._lines(MARKDOWN, "**{}**")
        lines.insert(1, ["---", *["---:"] * (len(self.header) - 1)])
        notes = "".join(f"\n{note.translate(MARKDOWN)}\n" for note in self.notes)
        return "".join(f"| {' | '.join(line)} |\n" for line in lines) + notes

    def csv(self) -> str:
        """With all digits; the spread over seeds has a column of its own where there is one.

        A name that a spreadsheet would take for a formula gets an apostrophe in front.
        """
        columns = [[no_formula(text) for text in (self.header[0], *self.text[0])]]
        for position in range(1, len(self.header)):
            head = no_formula(self.header[position].rstrip(" ↑↓"))
            means, spreads = self._digits("mean", position), self._digits("std", position)
            plain = (no_formula(text.replace(MISSING, "")) for text in self.text[position])
            columns.append([head, *(m or text for m, text in zip(means, plain, strict=True))])
            if any(spreads):
                columns.append([f"{head} std", *spreads])
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(zip(*columns, strict=True))
        return out.getvalue()

    def latex(self) -> str:
        """As a booktabs table."""
        lines = self._lines(_LATEX, r"\textbf{{{}}}")
        head, *body = (" & ".join(line) + r" \\" for line in lines)
        latex = [
            f"% {self.title}. Needs \\usepackage{{booktabs}}.",
            f"\\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}",
            *("\\toprule", head, "\\midrule", *body, "\\bottomrule"),
            "\\end{tabular}",
            *(f"% {note}" for note in self.notes),
        ]
        return "\n".join(latex) + "\n"

    def _lines(self, escapes: dict[int, str], bold: str) -> list[list[str]]:
        """The header and the rows, escaped, the best cells in bold."""
        lines = [[text.translate(escapes) for text in line] for line in (self.header, *self.rows)]
        for row, position in self.best:
            lines[row + 1][position] = bold.format(lines[row + 1][position])
        return lines

    def _digits(self, what: str, position: int) -> list[str]:
        """The numbers of a column; empty where one is not known."""
        if self.numbers is None or (what, position) not in self.numbers:
            return [""] * len(self.text)
        return [
            "" if math.isnan(value) else f"{value:{'.0f' if abs(value) >= 1e6 else '.6g'}}"
            for value in self.numbers[what, position]
        ]


_LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",  # after the end of a row it would begin an argument, and a star would too
        "]": "{]}",
        "*": "{*}",
        "±": r"$\pm$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "†": r"$^\dagger$",
        MISSING: "--",
    }
)


# From runs to numbers


Line = tuple[int, int | None, str, int, float | None]
"""Row of a table, seed, metric, task and value."""


def measurements(rows: Iterable[Iterable[Run]], more: Iterable[Line] = ()) -> pd.DataFrame:
    """Every number of some runs in long format: columns row, seed, metric, task and value.

    Args:
        rows: the runs of each row of a table.
        more: further lines.
    """
    lines = (
        (row, run.seed, *number)
        for row, runs in enumerate(rows)
        for run in runs
        for number in _numbers(run)
    )
    frame = pd.DataFrame([*lines, *more], columns=["row", "seed", "metric", "task", "value"])
    return frame.astype({"value": float})


def _numbers(run: Run) -> Iterator[tuple[str, int, float]]:
    """Metric, task and value of all that a run measured; accuracies in percent."""
    matrix = run.matrix
    if run.learned:
        whole = vars(metrics.summarize(matrix.accuracy, images=matrix.images, partial=True))
        seen = run.learned if matrix.seen_only else None  # later steps cannot be compared yet
        start = vars(metrics.zero_shot_metrics(matrix.zero_shot[:seen], seen_only=matrix.seen_only))
        for metric, value in whole.items():
            if value is not None:
                yield metric, WHOLE, value
                if start[metric] is not None:
                    yield f"{metric}_gain", WHOLE, value - start[metric]
        accuracy = np.array(matrix.accuracy, dtype=np.float64)
        yield from _per_task(accuracy, matrix.images)
        yield "first_task_last", WHOLE, accuracy[-1, 0]
    logged = [step.losses for step in run.steps if "teacher_accuracy" in step.losses]
    if logged:
        yield "teacher_accuracy", WHOLE, logged[-1]["teacher_accuracy"]
    yield from ((f"{stage}_seconds", WHOLE, seconds) for stage, seconds in run.seconds.items())
    if run.learned and "train" in run.seconds:
        yield "train_seconds_per_task", WHOLE, run.seconds["train"] / run.learned
    if run.peak_memory_mb is not None:
        yield "peak_memory_mb", WHOLE, run.peak_memory_mb
    if run.storage is not None:
        yield "method_bytes", WHOLE, run.storage.method_bytes
        yield "method_mb", WHOLE, run.storage.method_bytes / 1e6
        yield "extra_parameters", WHOLE, run.storage.extra_parameters


def _per_task(accuracy: metrics.Array, images: Sequence[int]) -> Iterator[tuple[str, int, float]]:
    """The metrics of single tasks; ``seen`` is the accuracy over the classes seen after a step."""
    found = {
        "transfer": metrics.transfer_per_task(accuracy, partial=True),
        "avg": metrics.average_per_task(accuracy, partial=True),
        "last": metrics.last_per_task(accuracy, partial=True),
        "seen": metrics.seen_accuracy(accuracy, images=images, partial=True),
    }
    for metric, values in found.items():
        yield from ((metric, task, value) for task, value in enumerate(values.tolist()))


def estimates(numbers: pd.DataFrame, rows: int, keys: Sequence[Key]) -> pd.DataFrame:
    """Mean and sample standard deviation over runs; NaN where there is none.

    Args:
        numbers: in long format, see :func:`measurements`.
        rows: number of rows of the table.
        keys: metric and task of its columns.

    Returns:
        A frame [rows] with columns ``("mean", position)`` and ``("std", position)``, the positions
        counted from 1 on.
    """
    found = numbers.groupby(["row", "metric", "task"])["value"].agg(["mean", "std"])
    cells = [(row, *key) for row in range(rows) for key in keys]
    values = found.reindex(pd.MultiIndex.from_tuples(cells, names=found.index.names))
    frames = {
        what: pd.DataFrame(values[what].to_numpy().reshape(rows, len(keys)))
        for what in ("mean", "std")
    }
    return pd.concat(frames, axis=1).rename(columns=lambda position: position + 1, level=1)


def values_of(numbers: pd.DataFrame, row: int, metric: str) -> pd.Series[float]:
    """A metric of the runs of a row, by seed."""
    chosen = numbers[(numbers.row == row) & (numbers.metric == metric) & (numbers.task == WHOLE)]
    return chosen.set_index("seed")["value"]


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Student's confidence interval of the mean of two or more values."""
    mean, half = np.mean(values), stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return float(mean - half), float(mean + half)


def shown(labels: Iterable[str], numbers: pd.DataFrame, forms: Sequence[str]) -> pd.DataFrame:
    """Labels and means as text, each with its spread where there is one; one format per column."""

    def text(mean: float, std: float, form: str) -> str:
        spread = "" if math.isnan(std) else f" ± {std:{form}}"
        return MISSING if math.isnan(mean) else f"{mean:{form}}{spread}"

    columns = [list(labels)]
    for position, form in enumerate(forms, start=1):
        pairs = zip(numbers["mean", position], numbers["std", position], strict=True)
        columns.append([text(mean, std, form) for mean, std in pairs])
    return pd.DataFrame(dict(enumerate(columns)), dtype=object)


def difference(values: Sequence[float], *, intervals: bool) -> str:
    """The mean of differences in points, with its 95 % interval if there are several."""
    if not values:
        return MISSING
    mean = signed(float(np.mean(values)))
    if not intervals or len(values) == 1:
        return mean
    low, high = interval(values)
    return f"{mean}, {signed(low)} to {signed(high)}"


def signed(value: float) -> str:
    """A difference in points.

    >>> signed(-1.26), signed(-0.04)
    ('−1.3', '+0.0')
    """
    return f"{value:+z.1f}".replace("-", "−")


# The tables of a report


def per_task_metrics(comparison: Comparison) -> tuple[str, ...]:
    """The metrics with a number per task that say something here."""
    return ("seen", "last") if comparison.start.seen_only else ("transfer", "avg", "last")


def metrics_markdown(folders: Sequence[Path], labels: Sequence[str] | None = None) -> str:
    """The table of all metrics for result or run folders, as Markdown.

    Each folder needs ``matrix.json``; ``summary.json`` gives the method and the seed.
    """
    return metrics_table(compare([read_run(path) for path in folders], labels)).markdown()


def per_task_markdown(
    folders: Sequence[Path], metric: str = "last", labels: Sequence[str] | None = None
) -> str:
    """The per-task columns of one metric for result folders, as Markdown.

    ``transfer``, ``avg`` or ``last``; for class-incremental runs ``seen`` or ``last``.
    """
    comparison = compare([read_run(path) for path in folders], labels)
    if metric not in (known := per_task_metrics(comparison)):
        raise ValueError(f"metric must be one of {', '.join(known)}; got {metric!r}.")
    return per_task_table(comparison, metric).markdown()


def metrics_table(comparison: Comparison) -> Table:
    """One row per method and a zero-shot row above them. Percent; Forgetting in points."""
    names = _metrics(comparison)
    *first, final = (METRICS[name].title for name in names)
    return _accuracy_table(
        comparison,
        name="metrics",
        title=f"{', '.join(first)} and {final}",
        columns=[(METRICS[name].head, (name, WHOLE)) for name in names],
        runs=[MISSING, *(str(len(group.used)) for group in comparison.groups)],
    )


def gains_table(comparison: Comparison) -> Table:
    """By how much every method ended above zero-shot, in points, paired run by run.

    In brackets the 95 % interval of the mean over the runs of a method.
    """
    names = [name for name in _metrics(comparison) if name != "forgetting"]
    numbers = measurements(group.used for group in comparison.groups)
    rows = []
    for row, group in enumerate(comparison.groups):
        values = [values_of(numbers, row, f"{name}_gain").tolist() for name in names]
        rows.append([_name(group), *(difference(one, intervals=True) for one in values)])
    return Table(
        name="gains",
        title="Difference from zero-shot",
        header=("Method", *(METRICS[name].title for name in names)),
        text=pd.DataFrame(rows, dtype=object),
        numbers=estimates(numbers, len(rows), [(f"{name}_gain", WHOLE) for name in names]),
        notes=_dagger_note(comparison),
    )


def per_task_table(comparison: Comparison, metric: str) -> Table:
    """A metric of every task, and the metric of the whole run. Percent.

    Args:
        comparison: the runs.
        metric: one of :func:`per_task_metrics`. ``seen`` has a column per step: the accuracy over
            all classes seen after the task of that name.
    """
    start = comparison.start
    tasks = [(name, (metric, task)) for task, name in enumerate(start.tasks)]
    # Over tasks the last column is a mean; over the classes seen at the end, all their images.
    whole = "All" if start.seen_only and metric == "last" else "Mean"
    return _accuracy_table(
        comparison,
        name=f"{metric}-per-task",
        title=f"{METRICS[metric].title} {'after' if metric == 'seen' else 'of'} each task",
        columns=[*tasks, (whole, ("avg" if metric == "seen" else metric, WHOLE))],
    )


def _accuracy_table(
    comparison: Comparison,
    name: str,
    title: str,
    columns: Sequence[tuple[str, Key]],
    runs: Sequence[str] = (),
) -> Table:
    """A zero-shot row and one per method; the best of the finished methods in bold."""
    groups, keys = comparison.groups, [key for _, key in columns]
    measured = measurements([(), *(group.used for group in groups)], _zero_shot(comparison))
    numbers = estimates(measured, len(groups) + 1, keys)
    text = shown([ZERO_SHOT, *map(_name, groups)], numbers, ["z.1f"] * len(keys))
    if runs:
        text[len(columns) + 1] = runs
    complete = [row for row, group in enumerate(groups, start=1) if group.complete]
    return Table(
        name=name,
        title=title,
        header=("Method", *(head for head, _ in columns), *(["Runs"] if runs else [])),
        text=text,
        numbers=numbers,
        best=_best(numbers["mean"].loc[complete], keys),
        notes=_dagger_note(comparison),
    )


def _metrics(comparison: Comparison) -> tuple[str, ...]:
    """A class has no accuracy before it is among the candidates, so no Transfer among the seen."""
    names = ("transfer", "avg", "last", "forgetting")
    return names[1:] if comparison.start.seen_only else names


def _zero_shot(comparison: Comparison) -> Iterator[Line]:
    """What the model scores that never changes, as lines of :func:`measurements`."""
    start = comparison.start
    whole = metrics.zero_shot_metrics(start.zero_shot, seen_only=start.seen_only)
    for metric in ("transfer", "avg", "last"):
        yield 0, None, metric, WHOLE, getattr(whole, metric)
    if start.seen_only:
        yield from ((0, None, "seen", task, value) for task, value in enumerate(start.zero_shot))
    else:
        rows = metrics.zero_shot_matrix(start.zero_shot)
        yield from ((0, None, *number) for number in _per_task(rows, start.images))


def _best(means: pd.DataFrame, keys: Sequence[Key]) -> set[tuple[int, int]]:
    """The best cells of every column with several, ties at the printed digit included."""
    found = set()
    for position, (metric, _) in enumerate(keys, start=1):
        known = means[position].dropna().map(lambda value: round(value, 1))
        if len(known) > 1:
            best = known.max() if METRICS[metric].arrow == "↑" else known.min()
            found |= {(row, position) for row in known.index[known == best]}
    return found


def matrix_table(comparison: Comparison, group: Group, name: str) -> Table:
    """A method's accuracy matrix, mean over its runs, in percent; one row per learned task."""
    start, tasks = comparison.start, comparison.start.tasks
    labels = list(tasks[: group.used[0].learned])
    lines: list[Line] = [
        (row, run.seed, "accuracy", task, value)
        for run in group.used
        for row, values in enumerate(run.matrix.accuracy, start=not start.seen_only)
        for task, value in enumerate(values)
    ]
    if not start.seen_only:
        labels.insert(0, ZERO_SHOT)
        lines += [(0, None, "accuracy", task, value) for task, value in enumerate(start.zero_shot)]
    keys = [("accuracy", task) for task in range(len(tasks))]
    numbers = estimates(measurements((), lines), len(labels), keys)
    text = shown(labels, numbers, ["z.1f"] * len(tasks))
    title = f"Accuracy matrix of {group.label}"
    return Table(name, title, ("After learning", *tasks), text, numbers)


def costs_table(comparison: Comparison) -> Table:
    """Time per stage, peak memory and storage of every method, as far as runs tell."""
    groups = comparison.groups
    measured = measurements(group.used for group in groups)
    stages = dict.fromkeys(stage for group in groups for run in group.used for stage in run.seconds)
    in_order = sorted(stages, key=lambda stage: STAGES.index(stage) if stage in STAGES else -1)
    columns = {f"{stage}_seconds": (stage.capitalize(), duration) for stage in in_order} | _COSTS
    columns = {key: shown for key, shown in columns.items() if key in set(measured.metric)}
    numbers = estimates(measured, len(groups), [(metric, WHOLE) for metric in columns])
    text = shown(map(_name, groups), numbers, ())
    notes = []
    for position, (metric, (_, show)) in enumerate(columns.items(), start=1):
        stage = metric.removesuffix("_seconds")
        cached = [" *" * any(stage in run.cached for run in group.used) for group in groups]
        means = zip(numbers["mean", position], cached, strict=True)
        text[position] = [MISSING if math.isnan(v) else show(v) + mark for v, mark in means]
        if any(cached):
            notes.append("* Without the time of what was in the cache already.")
    stored = ", storage is bytes" if "method_bytes" in columns else ""
    return Table(
        name="costs",
        title="Time and memory",
        header=("Method", *(title for title, _ in columns.values())),
        text=text,
        numbers=numbers,
        notes=(*dict.fromkeys(notes), f"In CSV, times are seconds, memory is megabytes{stored}."),
    )


def megabytes(value: float) -> str:
    """Megabytes for people.

    >>> megabytes(612.3), megabytes(20480)
    ('612 MB', '20.0 GB')
    """
    return f"{value:.0f} MB" if value < 10_000 else f"{value / 1024:.1f} GB"


def size(value: float) -> str:
    """Bytes for people, a megabyte being a million.

    >>> size(0), size(1_234_567), size(598_483_000), size(6_583_313_000)
    ('0.00 MB', '1.23 MB', '598 MB', '6.6 GB')
    """
    if value < 10e6:
        return f"{value / 1e6:.2f} MB"
    return f"{value / 1e6:.0f} MB" if value < 1e9 else f"{value / 1e9:.1f} GB"


_COSTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "peak_memory_mb": ("Peak memory", megabytes),
    "method_bytes": ("Stored beside the model", size),
    "extra_parameters": ("Extra parameters", "{:,.0f}".format),
}


def _name(group: Group) -> str:
    return group.label if group.complete else f"{group.label} †"


def _dagger_note(comparison: Comparison) -> tuple[str, ...]:
    if all(group.complete for group in comparison.groups):
        return ()
    return ("† unfinished: the numbers are those of the tasks learned so far.",)
