"""What a task is made of, wherever and whenever its files were put."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict

import pytest
from official import miniature
from support import write_folder

from gift.data import DatasetEntry, Paths, open_task, provenance
from gift.data.images import NumberedImages

ENTRY = DatasetEntry.model_validate({"name": "skin", "version": 3, "source": {"path": "skin"}})


def write(root):
    for part, count in {"train": 4, "test": 2}.items():
        write_folder(root / "skin" / part, count=count)
    return root


def found(root, entry=ENTRY):
    paths = Paths.of(data=root)
    return asdict(provenance(entry, open_task(entry, paths), paths))


def test_it_names_place_numbers_and_version(tmp_path):
    told = found(write(tmp_path))
    assert (told["data_set"], told["version"], told["classes"]) == ("skin", 3, 2)
    assert (told["place"], told["metric"]) == ("skin", "top1")
    assert (told["train"]["images"], told["test"]["images"]) == (8, 4)
    assert told["train"]["checksum"] != told["test"]["checksum"]


def test_neither_place_nor_time_changes_it(tmp_path):
    first = found(write(tmp_path / "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "two" / "deep", copy_function=shutil.copyfile)
    for path in (tmp_path / "two").rglob("*.png"):
        os.utime(path, (1, 1))
    assert found(tmp_path / "two" / "deep") | {"place": first["place"]} == first


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda root: (root / "skin/train/red/0.png").unlink(), "train"),
        (lambda root: (root / "skin/test/red/0.png").rename(root / "skin/test/red/9.png"), "test"),
        (
            lambda root: (root / "skin/test/red/0.png").rename(root / "skin/test/green/9.png"),
            "test",
        ),
    ],
)
def test_other_images_change_it(tmp_path, change, key):
    before = found(write(tmp_path))
    change(tmp_path)
    after = found(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {key}


def test_other_labels_words_and_splits_change_it(tmp_path):
    write_folder(tmp_path / "skin", count=10)

    def told(**changes):
        return found(tmp_path, DatasetEntry.model_validate(ENTRY.model_dump() | changes))

    split = {"train": 0.8, "seed": 42}
    first = told(random_split=split)
    names = {"green": "g", "red": "r"}
    for changes, keys in (
        ({"classnames": names}, {"words"}),
        ({"classnames": dict(reversed(names.items()))}, {"words", "train", "test"}),
        ({"templates": ["a {}."]}, {"words"}),
        ({"random_split": {"train": 0.8, "seed": 1}}, {"train", "test"}),
        ({"metric": "mean_per_class"}, {"metric"}),
    ):
        other = told(**{"random_split": split} | changes)
        assert {key for key in first if first[key] != other[key]} == keys


def test_images_of_one_file_are_told_apart_by_their_positions(tmp_path):
    entry, made = miniature("mnist", tmp_path)
    task = open_task(entry, Paths.of(data=tmp_path))
    assert provenance(entry, task, Paths.of(data=made.root / "elsewhere")).place == str(made.root)
    some = task.train.select([0, 1, 3])
    assert some.checksum != task.train.select([0, 1, 2]).checksum
    assert some.checksum != some.relabelled([9, 9, 9]).checksum
    assert NumberedImages((0, 1, 3), some.labels, None).checksum == some.checksum
