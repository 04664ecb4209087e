"""Public data sets: miniatures in the published layouts, written on the spot."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from official import BUILDERS, miniature, write_images

from gift.data import (
    ImageFiles,
    Paths,
    check_images,
    class_list,
    label_list,
    load_benchmark,
    load_dataset,
    open_task,
)
from gift.data.entries import Counts
from gift.data.splits import permutation

MTIL = load_benchmark("mtil-1").tasks
RANDOM = ("caltech101", "eurosat", "sun397")


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Opens a miniature, once per module."""
    known = {}

    def open_miniature(name):
        if name not in known:
            root = tmp_path_factory.mktemp(name)
            entry, made = miniature(name, root)
            known[name] = open_task(entry, Paths.of(data=root)), made
        return known[name]

    return open_miniature


def found_labels(images, root: Path):
    """What the builder promises, seen through the task: name -> label."""
    if isinstance(images, ImageFiles):
        names = [path.relative_to(root).as_posix() for path in images.files]
    else:
        split = Path(images.source.place).name.replace("t10k", "test").partition("-")[0]
        names = [f"{split} {position}" for position in images.positions]
        assert all(image.getpixel((3, 5)) == (label,) * 3 for image, label in pairs(images))
    assert names == sorted(names) or not isinstance(images, ImageFiles)
    return dict(zip(names, images.labels, strict=True))


def pairs(images):
    return [(images[i], images.labels[i]) for i in range(0, len(images), 9)]


@pytest.mark.parametrize("name", [name for name in BUILDERS if name not in RANDOM])
def test_every_image_has_its_label(opened, name):
    task, made = opened(name)
    splits = {"train": task.train, "validation": task.validation, "test": task.test}
    found = {split: found_labels(images, made.root) for split, images in splits.items() if images}
    assert found == made.parts
    assert task.labels.classnames == class_list(name)
    assert task.train[0].mode == "RGB"


@pytest.mark.parametrize("name", RANDOM)
def test_a_data_set_without_splits_is_split_by_the_published_rule(opened, name):
    task, made = opened(name)
    labels = made.parts["all"]
    in_order = sorted(labels, key=str.encode)
    border = int(0.8 * len(labels))
    chosen = permutation(len(labels), 42)
    train, test = found_labels(task.train, made.root), found_labels(task.test, made.root)
    assert train == {in_order[i]: labels[in_order[i]] for i in chosen[:border]}
    assert test == {in_order[i]: labels[in_order[i]] for i in chosen[border:]}
    assert task.labels.classnames == class_list(name)


def test_sizes_and_names_of_the_eleven_data_sets():
    entries = [load_dataset(name) for name in MTIL]
    assert sum(entry.counts.train for entry in entries) == 319_352
    assert sum(entry.counts.test for entry in entries) == 97_209
    names = Counter(name for entry in entries for name in class_list(entry.classnames))
    assert (sum(names.values()), len(names)) == (1201, 1176)
    assert sum(count > 1 for count in names.values()) == 24
    assert names["sunflower"] == 3
    templates = [len(entry.templates) for entry in entries]
    assert templates == [2, 34, 18, 8, 3, 1, 1, 1, 1, 9, 2]


@pytest.mark.parametrize(
    ("name", "label", "classname"),
    [
        ("aircraft", 0, "707-320"),
        ("caltech101", 0, "off-center face"),
        ("cifar100", 1, "aquarium fish"),
        ("dtd", 30, "polka-dotted"),
        ("eurosat", 0, "annual crop land"),
        ("flowers", 0, "pink primrose"),
        ("food", 16, "cheese plate"),
        ("food", 17, "cheesecake"),
        ("mnist", 9, "9 - nine"),
        ("oxfordpet", 2, "American Pit Bull Terrier"),
        ("stanfordcars", 195, "smart fortwo Convertible 2012"),
        ("sun397", 206, "jail/indoor"),
        ("sun397", 207, "jail cell"),
        ("tinyimagenet", 0, "Egyptian Mau"),
    ],
)
def test_names_that_are_often_wrong(name, label, classname):
    assert class_list(name)[label] == classname


def test_every_data_set_tells_how_to_get_it():
    for name in (*MTIL, "tinyimagenet", "imagenet", "imagenet100"):
        entry = load_dataset(name)
        assert "data root" in entry.obtain
        assert entry.title
        assert entry.licence
        assert entry.templates[0].startswith("a ")


@pytest.mark.parametrize("name", [*MTIL, "tinyimagenet", "imagenet"])
def test_a_missing_data_set_says_where_and_what(name, tmp_path):
    entry = load_dataset(name)
    with pytest.raises(FileNotFoundError) as error:
        open_task(entry, Paths.of(data=tmp_path))
    for words in (name, str(tmp_path / entry.source.path), entry.obtain):
        assert words in str(error.value)


def test_labels_with_one_name_form_one_class(tmp_path):
    """ImageNet has two classes "missile"; here they are the second and last of four."""
    wnids = ("n1", "n2", "n3", "n4")
    files = {f"{split}/{w}/x.JPEG": 0 for split in ("train", "val") for w in wnids}
    write_images(tmp_path / "imagenet", {"all": files})
    entry = load_dataset("imagenet").model_copy(
        update={
            "classnames": ("tench", "missile", "fox", "missile"),
            "labels": wnids,
            "counts": Counts(train=4, test=4),
        }
    )
    task = open_task(entry, Paths.of(data=tmp_path))
    assert task.labels.classnames == ("tench", "missile", "fox")
    assert task.test.labels == (0, 1, 2, 1)


def test_imagenet_has_998_distinct_names():
    entry = load_dataset("imagenet")
    assert entry.shared_names
    assert len(entry.own_labels) == 1000
    assert len(set(entry.listed_names)) == 998
    assert label_list("imagenet100") == label_list("imagenet")[:100]


def test_array_images_can_be_taken_and_fingerprinted(opened):
    task, _ = opened("mnist")
    some = task.train.select([3, 1])
    assert some.labels == (task.train.labels[3], task.train.labels[1])
    assert np.asarray(some[0])[0, 0, 0] == some.labels[0]
    prints = {images.fingerprint for images in (task.train, some, task.test)}
    assert len(prints) == 3
    assert some.fingerprint == task.train.select([3, 1]).fingerprint


@pytest.mark.parametrize("name", ["dtd", "sun397"])
def test_a_truncated_image_is_named(name, tmp_path):
    entry, made = miniature(name, tmp_path)
    path = made.root / next(iter(next(iter(made.parts.values()))))
    path.write_bytes(path.read_bytes()[:200])
    task = open_task(entry, Paths.of(data=tmp_path))
    with pytest.raises(ValueError, match=f"1 unreadable images:\n{path} cannot be read"):
        check_images(task.train, task.test, paths=Paths.of(tmp_path))
