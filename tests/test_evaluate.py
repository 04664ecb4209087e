"""One row of the accuracy matrix, with a predictor whose scores are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gift.data.labels import LabelSpace
from gift.evaluate import EvaluationSet, Protocol, accuracy_row
from gift.progress import Progress, listening

SPACES = (
    LabelSpace("pets", ("cat", "dog")),
    LabelSpace("toys", ("dog", "ball", "car")),
    LabelSpace("vehicles", ("car", "bus")),
)


class Stub:
    """Stands for the model: the stored number of an image is all that the predictor sees."""

    def __init__(self) -> None:
        self.preprocess = self
        self.device = torch.device("cpu")

    def normalize(self, pixels: Tensor) -> Tensor:
        return pixels


class Table:
    """Scores from a table [images][classes], by label space and class name."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table
        self.given: list[str | None] = []

    def scores(
        self, pixels: Tensor, candidates: Sequence[LabelSpace], task: str | None = None
    ) -> Tensor:
        self.given.append(task)
        columns = [
            CLASSES.index((labels.name, c)) for labels in candidates for c in labels.classnames
        ]
        return torch.from_numpy(self.table[pixels[:, 0, 0, 0].numpy()][:, columns])


CLASSES = [(labels.name, name) for labels in SPACES for name in labels.classnames]
IMAGES = 4  # per task


def sets(targets: Sequence[Sequence[int]]) -> list[EvaluationSet]:
    found = []
    for number, (labels, own) in enumerate(zip(SPACES, targets, strict=True)):
        pixels = np.zeros((IMAGES, 1, 1, 1), np.uint8)
        pixels[:, 0, 0, 0] = np.arange(IMAGES) + number * IMAGES
        found.append(EvaluationSet(labels, pixels, tuple(own)))
    return found


tables = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).permuted(
        np.tile(np.arange(len(CLASSES), dtype=np.float32), (3 * IMAGES, 1)), axis=1
    )
)
labels = st.tuples(
    *(
        st.lists(st.integers(0, len(s.classnames) - 1), min_size=IMAGES, max_size=IMAGES)
        for s in SPACES
    )
)


def counted(table: np.ndarray, data: Sequence[EvaluationSet], among: Sequence[str]) -> float:
    """The plain way: every image of these sets, correct when the best class has its name."""
    correct = []
    for one in data:
        for pixel, target in zip(one.pixels[:, 0, 0, 0], one.targets, strict=True):
            compete = [i for i, (space, _) in enumerate(CLASSES) if space in among]
            best = max(compete, key=lambda i: table[pixel][i])
            correct.append(CLASSES[best][1] == one.labels.classnames[target])
    return 100 * sum(correct) / len(correct)


@given(tables, labels, st.integers(1, 5))
def test_rows_equal_counting(table: np.ndarray, targets: list[list[int]], batch: int) -> None:
    data, model = sets(targets), Stub()
    names = [one.labels.name for one in data]

    def row(label_space: Any, learned: Sequence[LabelSpace] = ()) -> tuple[float, ...]:
        protocol = Protocol(label_space, batch_size=batch)
        return accuracy_row(Table(table), model, data, protocol, learned)

    assert row("task") == pytest.approx([counted(table, [d], [d.labels.name]) for d in data])
    assert row("union") == pytest.approx([counted(table, [one], names) for one in data])
    before = [counted(table, data[:k], names[:k]) for k in (1, 2, 3)]
    assert row("seen") == pytest.approx(before)
    for k in (1, 2, 3):
        after = [counted(table, [one], names[:k]) for one in data[:k]]
        assert row("seen", SPACES[:k]) == pytest.approx([*after, *[np.nan] * (3 - k)], nan_ok=True)


def test_the_name_decides_not_the_place() -> None:
    table = np.zeros((3 * IMAGES, len(CLASSES)), np.float32)
    table[:IMAGES, CLASSES.index(("toys", "dog"))] = 1
    data = sets([[1, 1, 1, 0], [0] * IMAGES, [0] * IMAGES])
    assert accuracy_row(Table(table), Stub(), data, Protocol("union"))[0] == 75.0


def test_a_mean_over_classes_weighs_rare_classes_alike() -> None:
    table = np.zeros((3 * IMAGES, len(CLASSES)), np.float32)  # the first class wins every time
    (data,) = sets([[0, 0, 0, 1], [0] * IMAGES, [0] * IMAGES])[:1]
    balanced = replace(data, metric="mean_per_class")
    protocol = Protocol(batch_size=3)
    assert accuracy_row(Table(table), Stub(), [data, balanced], protocol) == (75.0, 50.0)
    empty = replace(balanced, labels=LabelSpace("pets", ("cat", "dog", "emu")))
    assert empty.accuracy(np.array([True, True, False, False])) == pytest.approx(100 / 3)


@given(tables, labels)
def test_top1_keeps_the_number_of_correct_images(
    table: np.ndarray, targets: list[list[int]]
) -> None:
    for value in accuracy_row(Table(table), Stub(), sets(targets)):
        assert value * IMAGES / 100 == round(value * IMAGES / 100)


def test_the_task_is_given_or_hidden() -> None:
    data = sets([[0] * IMAGES] * 3)
    table = Table(np.zeros((3 * IMAGES, len(CLASSES)), np.float32))
    calls: list[Progress] = []
    with listening(calls.append):
        accuracy_row(table, Stub(), data)
    accuracy_row(table, Stub(), data, Protocol("union", "hidden"))
    accuracy_row(table, Stub(), data, Protocol("seen", "hidden"))
    assert table.given == ["pets", "toys", "vehicles", *[None] * 6]
    assert calls == [Progress("evaluating", done, 3) for done in (1, 2, 3)]


def test_scores_that_are_not_finite_are_an_error() -> None:
    table = np.full((3 * IMAGES, len(CLASSES)), np.nan, np.float32)
    with pytest.raises(ValueError, match="scores are not finite"):
        accuracy_row(Table(table), Stub(), sets([[0] * IMAGES] * 3))
