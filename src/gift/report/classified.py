"""How the images of a folder were classified: what a learner's page shows of it, and its figures.

Shape letters: N images, C classes of the folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gift.calibration import Reliability
from gift.report.figures import shorten
from gift.report.gallery import Picture
from gift.report.style import ABOVE, BELOW, INK, MUTED, SERIES

MOST_CLASSES = 30
"""Classes of a confusion matrix that can be read."""

_NUMBERED = 16
"""Up to so many classes, the cells of a confusion matrix hold their numbers."""


@dataclass(frozen=True)
class ClassAccuracy:
    """Images of one class.

    Attributes:
        name: of the class.
        images: how many.
        correct: how many of them were classified correctly.
    """

    name: str
    images: int
    correct: int

    @property
    def percent(self) -> float:
        return 100.0 * self.correct / self.images


@dataclass(frozen=True)
class Confusion:
    """Images of one class that were taken for another.

    Attributes:
        name, taken_for: the classes.
        count: how many images.
        images: how many of the class there are.
        pictures: some of them.
    """

    name: str
    taken_for: str
    count: int
    images: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Classified:
    """How the images of a folder were classified among all classes seen.

    Attributes:
        name: of the folder's task.
        place: where it is.
        known: the learned task that it was measured as; None where it is none.
        measured_on: which images, in words.
        own, seen: accuracy in percent among its own classes, and among all classes seen.
        others: how many other classes compete.
        classes: the folder's class names.
        counts: images by class and answer, [C, C + 1]; the last column is of the other classes.
        reliability: of the probabilities of the answers.
        temperature: what the scores were divided by for it; None where none was fitted.
        confusions: the most frequent ones, by how many images.
    """

    name: str
    place: str
    known: str | None
    measured_on: str
    own: float
    seen: float
    others: int
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    reliability: Reliability
    temperature: float | None
    confusions: tuple[Confusion, ...]

    @property
    def images(self) -> int:
        """How many images were classified."""
        return int(self.counts.sum())

    @property
    def has_numbers(self) -> bool:
        """Whether the cells of its confusion matrix hold their numbers."""
        return len(self.classes) <= _NUMBERED

    @property
    def elsewhere(self) -> int:
        """How many images were taken for a class that is none of the folder's."""
        return int(self.counts[:, -1].sum())

    @cached_property
    def per_class(self) -> list[ClassAccuracy]:
        """The classes that have images, the worst first."""
        every = zip(self.classes, self.counts, self.counts.diagonal(), strict=True)
        found = [ClassAccuracy(name, int(row.sum()), int(right)) for name, row, right in every]
        return sorted((one for one in found if one.images), key=lambda one: one.percent)


def confusion_matrix(found: Classified) -> Figure:
    """Rows: the class of an image; columns: what it was taken for, as a fraction of the row.

    Of many classes, those with the most mistakes are shown; the last column is of all others.
    """
    shown = _shown(found)
    names = [shorten(found.classes[index]) for index in shown]
    inner = found.counts[np.ix_(shown, shown)]
    others = found.counts[shown].sum(axis=1) - inner.sum(axis=1)
    columns = [*names, "another"] if others.any() else names
    counts = np.column_stack([inner, others])[:, : len(columns)]
    cell = min(0.42, 7.6 / len(columns))
    size = (cell * len(columns) + 1.7, cell * 0.8 * len(names) + 1.7)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    totals = found.counts[shown].sum(axis=1)
    for row, column in np.argwhere(counts):
        count = int(counts[row, column])
        is_right = row == column
        _cell(axes, row, column, count / totals[row], right=is_right)
        if found.has_numbers:
            where = (column + 0.5, row + 0.5)
            axes.text(*where, str(count), ha="center", va="center", fontsize=8, color=INK)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(names), 0)
    ticks = np.arange(len(columns)) + 0.5
    axes.set_xticks(ticks, columns, rotation=55, ha="left", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("taken for")
    axes.set_ylabel("images of")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


def _shown(found: Classified) -> list[int]:
    """The positions of the classes of the matrix, in their order."""
    mistakes = found.counts.sum(axis=1) - found.counts.diagonal()
    worst = np.argsort(-mistakes, kind="stable")[:MOST_CLASSES]
    return sorted(worst.tolist())


def _cell(axes: Axes, row: int, column: int, fraction: float, *, right: bool) -> None:
    corner, side = (column + 0.02, row + 0.02), 0.96
    color, alpha = ABOVE if right else BELOW, 0.12 + 0.88 * fraction
    axes.add_patch(Rectangle(corner, side, side, facecolor=color, alpha=alpha, linewidth=0))


def reliability_curve(reliability: Reliability) -> Figure:
    """Accuracy of the answers of about one confidence, beside how many they are."""
    figure = Figure(figsize=(3.1, 3.5), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges, has = reliability.edges, reliability.counts > 0
    middle, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)))
    bars = {"width": 0.9 * width, "color": SERIES[0]}
    axes.bar(middle[has], reliability.accuracies[has], alpha=0.35, **bars)
    axes.plot(
        reliability.confidences[has],
        reliability.accuracies[has],
        color=SERIES[0],
        marker="o",
        markersize=4,
        linewidth=1.4,
    )
    axes.set_ylabel("correct")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    below.bar(middle, reliability.counts, **bars)
    below.set_ylabel("images")
    below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    below.set_xlabel("confidence")
    for one in (axes, below):
        one.grid(False, axis="x")
    return figure


def most_confused(
    answers: Sequence[tuple[str, str]], most: int, pictures: int
) -> list[tuple[tuple[str, str], list[int]]]:
    """The most frequent mistakes, and the positions of some images of each.

    Args:
        answers: [N] the class and the answer of each image.
        most: how many kinds of mistakes.
        pictures: how many images of each.

    >>> answers = [("a", "b"), ("b", "b"), ("a", "b"), ("b", "a")]
    >>> most_confused(answers, 2, 1)
    [(('a', 'b'), [0]), (('b', 'a'), [3])]
    """
    found: dict[tuple[str, str], list[int]] = {}
    for position, (name, answer) in enumerate(answers):
        if name != answer:
            found.setdefault((name, answer), []).append(position)
    ranked = sorted(found.items(), key=lambda pair: -len(pair[1]))[:most]
    return [(pair, positions[:pictures]) for pair, positions in ranked]
