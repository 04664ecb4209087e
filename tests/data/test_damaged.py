"""Public data sets that are incomplete, damaged or another version are refused with the hint."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from official import BUILDERS, miniature, write_idx
from scipy.io import loadmat, savemat

from gift.data import Paths, open_task


def edit(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


def repickle(path: Path, key: bytes, change) -> None:
    content = pickle.loads(path.read_bytes())
    content[key] = change(content[key])
    path.write_bytes(pickle.dumps(content, protocol=2))


def resave(path: Path, key: str, change) -> None:
    savemat(path, {key: change(loadmat(path)[key])})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def refusal(name: str, data_root: Path, damage) -> str:
    """The message about a damaged miniature; it always names the data set and the hint."""
    entry, made = miniature(name, data_root)
    damage(made.root)
    with pytest.raises((FileNotFoundError, ValueError)) as error:
        open_task(entry, Paths.of(data=data_root))
    message = str(error.value)
    assert message.startswith(f"{name}: ")
    assert str(made.root) in message
    problem, hint, more = message.partition(entry.obtain)
    assert hint
    assert "\n" not in problem
    assert bool(more) == ("images expected" in problem)  # the lines to go on with what is there
    return message


MISSING = [
    ("aircraft", "images_variant_test.txt"),
    ("aircraft", "images/0000001.jpg"),
    ("cifar100", "meta"),
    ("cifar100", "test"),
    ("dtd", "labels/train1.txt"),
    ("dtd", "images/banded/banded_0000.jpg"),
    ("flowers", "setid.mat"),
    ("flowers", "imagelabels.mat"),
    ("flowers", "jpg/image_00001.jpg"),
    ("food", "meta/test.json"),
    ("food", "images/apple_pie/0.jpg"),
    ("mnist", "t10k-labels-idx1-ubyte"),
    ("oxfordpet", "annotations/trainval.txt"),
    ("oxfordpet", "images/Abyssinian_1.jpg"),
    ("stanfordcars", "devkit/cars_meta.mat"),
    ("stanfordcars", "cars_test_annos_withlabels.mat"),
    ("stanfordcars", "cars_train/00001.jpg"),
    ("sun397", "ClassName.txt"),
    ("tinyimagenet", "wnids.txt"),
    ("tinyimagenet", "val/val_annotations.txt"),
    ("tinyimagenet", "val/images/val_0.JPEG"),
]


@pytest.mark.parametrize(("name", "file"), MISSING)
def test_a_missing_file_is_named(name, file, tmp_path):
    message = refusal(name, tmp_path, lambda root: (root / file).unlink())
    assert file in message
    assert "missing" in message


FEWER = [
    ("caltech101", "accordion/image_0003.jpg"),
    ("eurosat", "Forest/Forest_3.jpg"),
    ("imagenet100", "train/n01440764/n01440764_1.JPEG"),
    ("sun397", "a/abbey/sun_01.jpg"),
    ("tinyimagenet", "train/n02124075/images/n02124075_0.JPEG"),
]


@pytest.mark.parametrize(("name", "file"), FEWER)
def test_a_wrong_count_is_refused(name, file, tmp_path):
    message = refusal(name, tmp_path, lambda root: (root / file).unlink())
    assert re.search(r"\d+ train images expected in .*, but \d+ found", message)


def _drop_line(path: Path) -> None:
    path.write_text("\n".join(path.read_text().splitlines()[1:]))


def _rename_texture(root: Path) -> None:
    edit(root / "labels/test1.txt", ("banded/", "plaid/"))
    (root / "images" / "plaid").symlink_to(root / "images" / "banded")


def _rename(root: Path, old: str, new: str) -> None:
    (root / old).rename(root / new)


DAMAGES = {
    "aircraft: fewer lines": (
        "aircraft",
        lambda root: _drop_line(root / "images_variant_test.txt"),
        "100 test images expected .* 99 found",
    ),
    "aircraft: manufacturer in front": (
        "aircraft",
        lambda root: edit(root / "images_variant_test.txt", ("727-200", "Boeing 727-200")),
        "missing none; unexpected Boeing 727-200",
    ),
    "aircraft: an image twice": (
        "aircraft",
        lambda root: edit(root / "images_variant_train.txt", ("0000002", "0000001")),
        "images/0000001.jpg is listed twice, in train and in train",
    ),
    "aircraft: one image in two splits": (
        "aircraft",
        lambda root: edit(root / "images_variant_test.txt", ("0000201", "0000001")),
        "0000001.jpg is listed twice, in train and in test",
    ),
    "caltech101: a category missing": (
        "caltech101",
        lambda root: _rename(root, "accordion", ".accordion"),
        "missing accordion; unexpected none",
    ),
    "cifar100: misspelt": (
        "cifar100",
        lambda root: repickle(
            root / "meta",
            b"fine_label_names",
            lambda names: [b"cra" if name == b"crab" else name for name in names],
        ),
        "missing crab; unexpected cra",
    ),
    "cifar100: label too high": (
        "cifar100",
        lambda root: repickle(root / "test", b"fine_labels", lambda n: [100, *n[1:]]),
        "test has the label 100, not 0 to 99",
    ),
    "cifar100: fewer labels": (
        "cifar100",
        lambda root: repickle(root / "train", b"fine_labels", lambda n: n[1:]),
        "train has not one of 'fine_labels' for each of its 200 images",
    ),
    "cifar100: other shape": (
        "cifar100",
        lambda root: repickle(root / "train", b"data", lambda data: data[:, :100]),
        "no 'data' of 3072 bytes",
    ),
    "cifar100: cut off": ("cifar100", lambda root: cut(root / "train"), "train cannot be read"),
    "dtd: unknown texture": (
        "dtd",
        lambda root: _rename_texture(root),
        "missing none; unexpected plaid",
    ),
    "dtd: outside": (
        "dtd",
        lambda root: edit(root / "labels/test1.txt", ("banded/", "banded/../../")),
        "images are listed outside",
    ),
    "eurosat: other names": (
        "eurosat",
        lambda root: _rename(root, "SeaLake", "Sea"),
        "missing SeaLake; unexpected none",
    ),
    "flowers: labels from 0": (
        "flowers",
        lambda root: resave(root / "imagelabels.mat", "labels", lambda labels: labels - 1),
        "imagelabels.mat must number the classes from 1",
    ),
    "flowers: labels to 103": (
        "flowers",
        lambda root: resave(
            root / "imagelabels.mat", "labels", lambda labels: labels + (labels == 102)
        ),
        "has the label 102, but 102 class names stand for 0 to 101",
    ),
    "flowers: unlabelled": (
        "flowers",
        lambda root: resave(root / "imagelabels.mat", "labels", lambda labels: labels[:, :-9]),
        "images that .*imagelabels.mat does not label",
    ),
    "flowers: not a mat file": (
        "flowers",
        lambda root: (root / "setid.mat").write_text("<html>"),
        "setid.mat cannot be read",
    ),
    "flowers: other variables": (
        "flowers",
        lambda root: savemat(root / "imagelabels.mat", {"x": 1}),
        "imagelabels.mat has no variable 'labels'",
    ),
    "food: no JSON": ("food", lambda root: cut(root / "meta/train.json"), "cannot be read"),
    "food: not by dish": (
        "food",
        lambda root: (root / "meta/train.json").write_text(json.dumps(["a"])),
        "a list of images for every dish",
    ),
    "food: another dish": (
        "food",
        lambda root: edit(root / "meta/test.json", ('"apple_pie"', '"pie"')),
        "missing none; unexpected pie",
    ),
    "imagenet100: class folder missing": (
        "imagenet100",
        lambda root: _rename(root, "val/n01440764", "val/.n01440764"),
        "1 of 100 class folders are missing in .*val, the first is n01440764",
    ),
    "mnist: packed": (
        "mnist",
        lambda root: (root / "train-images-idx3-ubyte").write_bytes(gzip.compress(b"")),
        "train-images-idx3-ubyte is no unpacked idx file of 3 dimensions",
    ),
    "mnist: cut off": (
        "mnist",
        lambda root: cut(root / "train-images-idx3-ubyte"),
        r"has \d+ bytes, but \d+ belong in it",
    ),
    "mnist: fewer labels": (
        "mnist",
        lambda root: write_idx(root / "train-labels-idx1-ubyte", np.zeros(7)),
        "has 30 images, .* 7 labels",
    ),
    "mnist: a digit too high": (
        "mnist",
        lambda root: write_idx(root / "t10k-labels-idx1-ubyte", np.full(20, 11)),
        "has the label 11, but 10 class names",
    ),
    "mnist: a digit without images": (
        "mnist",
        lambda root: write_idx(root / "train-labels-idx1-ubyte", np.arange(30) % 9),
        "no training images for 1 of 10 classes in .*, the first is '9 - nine'",
    ),
    "stanfordcars: without labels": (
        "stanfordcars",
        lambda root: savemat(
            root / "cars_test_annos_withlabels.mat",
            {"annotations": np.array([[("a.jpg",)] * 2], dtype=[("fname", "O")])},
        ),
        "cars_test_annos_withlabels.mat has no 'class' and 'fname'",
    ),
    "sun397: unknown scene": (
        "sun397",
        lambda root: edit(root / "ClassName.txt", ("/a/abbey", "/a/abbot")),
        "missing /a/abbey; unexpected none",
    ),
    "tinyimagenet: unknown class": (
        "tinyimagenet",
        lambda root: edit(root / "val/val_annotations.txt", ("n02124075", "n99999999")),
        "missing none; unexpected n99999999",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_explained(damage, tmp_path):
    name, function, message = DAMAGES[damage]
    assert re.search(message, refusal(name, tmp_path, function))


def test_every_data_set_is_damaged_here():
    tried = {name for name, *_ in (*MISSING, *FEWER, *DAMAGES.values())}
    assert tried == set(BUILDERS)


class _Command:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("file", ["meta", "train", "test"])
def test_a_pickle_runs_nothing(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refusal(
        "cifar100",
        tmp_path,
        lambda root: (root / file).write_bytes(pickle.dumps({b"data": _Command()}, protocol=2)),
    )
    assert re.search(r"it asks for \w+\.system, the official file does not", message)
    assert not (tmp_path / "harmed").exists()


def test_stray_files_shift_nothing(tmp_path):
    """An extra file in a category would change every later position of the random split."""
    entry, made = miniature("caltech101", tmp_path)
    before = open_task(entry, Paths.of(data=tmp_path))
    for stray in ("Thumbs.db", ".DS_Store", "image_0001.jpg.part", "notes.txt"):
        (made.root / "Faces" / stray).touch()
    (made.root / "Faces" / ".cache").mkdir()
    assert open_task(entry, Paths.of(data=tmp_path)) == before
