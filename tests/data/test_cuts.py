"""Cuts of the real data sets in their published layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gift.data import ImageFiles, check_dataset, load_dataset, open_task
from gift.data.check import check_images
from gift.data.entries import Counts

CUTS = Path(__file__).parents[3] / "shared" / "data"

SIZES = {
    "caltech101": (101, 969, 243),
    "cifar100": (100, 5000, 1000),
    "mnist": (10, 4000, 1000),
    "tinyimagenet": (200, 3000, 800),
}

pytestmark = pytest.mark.skipif(
    not CUTS.is_dir(), reason=f"needs cuts of the real data sets in {CUTS}"
)


@pytest.mark.parametrize("name", SIZES)
def test_real_files_are_read(name, tmp_path):
    entry = load_dataset(name).model_copy(update={"counts": Counts()})
    task = open_task(entry, CUTS)
    classes, train, test = SIZES[name]
    assert (len(task.labels.classnames), len(task.train), len(task.test)) == (classes, train, test)
    check_images(task.test, cache=tmp_path)
    if name in {"cifar100", "tinyimagenet"}:  # whose cuts are balanced
        assert {task.test.labels.count(label) for label in range(classes)} == {test // classes}
    if isinstance(task.train, ImageFiles):
        own = entry.own_labels
        assert all(
            own[label] in path.parts
            for path, label in zip(task.train.files, task.train.labels, strict=True)
        )


@pytest.mark.parametrize("name", SIZES)
def test_a_cut_is_not_taken_for_the_whole(name):
    finding = check_dataset(load_dataset(name), CUTS)
    assert finding.classes == SIZES[name][0]
    (problem,) = finding.problems
    assert "train images expected" in problem
