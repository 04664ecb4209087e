"""Which images are for training."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import write_folder

from gift.data import Paths, Task, few_shot, load_dataset, open_task, random_split
from gift.data.entries import DatasetEntry
from gift.data.splits import permutation

PUBLISHED = {
    "caltech101": (
        [8512, 5748, 7753, 4345, 5587, 2508, 6996, 1701, 7265, 6578],
        "5e529869d8bb5ab9fbc69653059395f7207c86d7237f8b8e2f01e93279382804",
        "e542ba1434a7ec604917f76867f6122aebda2205986f512c009f2c37f4da14a6",
    ),
    "eurosat": (
        [4542, 1781, 1366, 19963, 16858, 17590, 13132, 7700, 18558, 14609],
        "4f8963d2e6693ace01ae27601e23200a163ace3eaf02dfc78bc711fe307d20ba",
        "151f6061fc45abf584ca7d52ee33af3f4de2c5c4caaa8e300ad9faffade34e8a",
    ),
    "sun397": (
        [57128, 82947, 84286, 54173, 36280, 39383, 89662, 67647, 2106, 55162],
        "47f2391abd083861040a7fb3e6c003519c9c8a80ab296464ddaf73cb9a635c6d",
        "8e198d70d0a346564d8d7abe7b7de70285cb2b34149be6ddf62491f15d66e2be",
    ),
}
"""First training positions and SHA-256 of the comma-joined positions of both splits."""


def digest(positions) -> str:
    return hashlib.sha256(",".join(map(str, positions)).encode()).hexdigest()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_split_is_the_published_one(name):
    entry = load_dataset(name)
    train, test = entry.counts.train, entry.counts.test
    order = permutation(train + test, entry.random_split.seed)
    first, of_train, of_test = PUBLISHED[name]
    assert order[:10].tolist() == first
    assert digest(order[:train]) == of_train
    assert digest(order[train:]) == of_test
    split = random_split(train + test, entry.random_split.train, 42)
    assert split == (sorted(order[:train]), sorted(order[train:]))


@given(st.integers(0, 3000), st.integers(0, 2**31))
def test_the_permutation_is_that_of_torch(count, seed):
    generator = torch.Generator().manual_seed(seed)
    assert permutation(count, seed).tolist() == torch.randperm(count, generator=generator).tolist()


@given(st.integers(1, 500), st.floats(0.05, 0.95), st.integers(0, 100))
def test_every_image_is_in_one_split(count, share, seed):
    train, test = random_split(count, share, seed)
    assert len(train) == int(share * count)
    assert sorted(train + test) == list(range(count))


def test_a_flat_folder_is_split_by_its_entry(tmp_path):
    write_folder(tmp_path / "shapes", count=10)
    entry = DatasetEntry.model_validate(
        {"name": "shapes", "source": {"path": "shapes"}, "random_split": {"train": 0.7, "seed": 3}}
    )
    task = open_task(entry, Paths.of(data=tmp_path))
    files = Task.from_folder(tmp_path / "shapes").train.files
    train, test = random_split(20, 0.7, 3)
    assert task.train.files == tuple(files[i] for i in train)
    assert task.test.files == tuple(files[i] for i in test)


def test_splits_of_its_own_are_not_split_again(tmp_path):
    for split in ("train", "test"):
        write_folder(tmp_path / "shapes" / split)
    entry = DatasetEntry.model_validate(
        {"name": "shapes", "source": {"path": "shapes"}, "random_split": {}}
    )
    with pytest.raises(ValueError, match="has a test split already; leave 'random_split' out"):
        open_task(entry, Paths.of(data=tmp_path))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return Task.from_folder(write_folder(tmp_path_factory.mktemp("x"), "abc", count=9)).train


@given(st.integers(1, 9), st.integers(0, 50))
def test_a_few_images_of_every_class(images, shots, seed):
    chosen = few_shot(images, shots, seed)
    assert chosen == sorted(set(chosen)) == few_shot(images, shots, seed)
    labels = np.asarray(images.labels)[chosen]
    assert np.bincount(labels).tolist() == [shots] * 3


def test_seeds_differ_and_classes_do_not_disturb_each_other(images):
    assert few_shot(images, 5, 0) != few_shot(images, 5, 1)
    some = images.select(range(20))  # the last class has lost images
    assert few_shot(images, 2, 0)[:4] == few_shot(some, 2, 0)[:4]


def test_too_few_images_are_refused(images):
    with pytest.raises(ValueError, match="10 images per class were asked for, but label 0 has 9"):
        few_shot(images, 10, 0)
