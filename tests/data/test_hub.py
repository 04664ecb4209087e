"""Copies on the hub: the same code path, on parquet files in a folder."""

from __future__ import annotations

import datasets
import pytest
from PIL import Image
from support import write_folder

from gift.config import RunConfig
from gift.data import DatasetEntry, Paths, check_images, load_dataset, open_task, with_revisions
from gift.settings import validate

COLOURS = {"red": (200, 0, 0), "sea_green": (0, 150, 90), "blue": (0, 0, 220)}


def write_copy(folder, names=("blue", "Sea Green", "red"), splits=("train", "test"), **columns):
    """A parquet folder whose labels are numbered in another order than the entry's."""
    folder.mkdir()
    for split in splits:
        labels = [n % 3 for n in range(6)]
        colours = [COLOURS[names[label].lower().replace(" ", "_")] for label in labels]
        rows = {
            "image": [Image.new("RGB", (4, 4), colour) for colour in colours],
            "label": labels,
            **{key: values(split) for key, values in columns.items()},
        }
        features = {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(names)),
            **{key: datasets.Value("string") for key in columns},
        }
        table = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def entry(folder, **values):
    return DatasetEntry.model_validate(
        {
            "name": "colours",
            "classnames": ["red one", "green one", "blue one"],
            "labels": list(COLOURS),
            "hub": {"id": str(folder)},
            "counts": {"train": 6, "test": 6},
        }
        | values
    )


def test_labels_are_mapped_by_name(tmp_path):
    task = open_task(entry(write_copy(tmp_path / "copy")), Paths.of(data=tmp_path))
    assert task.labels.classnames == ("red one", "green one", "blue one")
    for images in (task.train, task.test):
        for index, label in enumerate(images.labels):
            assert images[index].getpixel((0, 0)) == list(COLOURS.values())[label]
    assert task.train.fingerprint != task.test.fingerprint
    assert task.train.select([2, 0]).labels == (task.train.labels[2], task.train.labels[0])
    assert str(tmp_path / "copy") in task.train.origin(0)
    check_images(task.train, task.test, paths=Paths.of(tmp_path))


def test_names_may_be_strings_or_class_names(tmp_path):
    folder = write_copy(tmp_path / "copy", colour=lambda split: ["red one", "blue"] * 3)
    task = open_task(
        entry(
            folder,
            classnames=["red one", "blue one"],
            labels=["red", "blue"],
            hub={"id": str(folder), "label": "colour"},
        ),
        Paths.of(data=tmp_path),
    )
    assert task.train.labels == (0, 1, 0, 1, 0, 1)


def test_other_spellings_are_translated_or_refused(tmp_path):
    folder = write_copy(tmp_path / "copy")
    words = {"labels": ["red", "sea_green", "azure"]}
    with pytest.raises(ValueError, match="missing azure; unexpected blue"):
        open_task(entry(folder, **words), Paths.of(data=tmp_path))
    hub = {"id": str(folder), "names": {"blue": "azure"}}
    assert open_task(entry(folder, hub=hub, **words), Paths.of(data=tmp_path)).train.labels[0] == 2


def test_splits_are_joined_ordered_and_split(tmp_path):
    folder = write_copy(
        tmp_path / "copy", file=lambda split: [f"{n % 3}_{split}_{n}" for n in range(6)]
    )
    hub = {"id": str(folder), "parts": {"train": ["train", "test"]}, "order_by": "file"}
    whole = open_task(entry(folder, hub=hub, counts={"train": 12}), Paths.of(data=tmp_path))
    assert whole.train.labels == (2,) * 4 + (1,) * 4 + (0,) * 4
    split = {"train": 0.75, "seed": 1}
    task = open_task(
        entry(folder, hub=hub, random_split=split, counts={"train": 9, "test": 3}),
        Paths.of(data=tmp_path),
    )
    assert sorted(task.train.positions + task.test.positions) == list(range(12))


def test_damage_is_explained(tmp_path):
    folder = write_copy(tmp_path / "copy")
    with pytest.raises(
        ValueError, match=r"^colours: .*copy has no column 'img', but image, label; correct 'hub'"
    ):
        open_task(entry(folder, hub={"id": str(folder), "image": "img"}), Paths.of(data=tmp_path))
    hub = {"id": str(folder), "splits": {"train": ["valid"]}}
    with pytest.raises(OSError, match=r"^colours: .*copy cannot be loaded .*Unknown split"):
        open_task(entry(folder, hub=hub), Paths.of(data=tmp_path))
    with pytest.raises(ValueError, match=r"7 train images expected in .*copy, but 6 found"):
        open_task(entry(folder, counts={"train": 7}), Paths.of(data=tmp_path))
    path = folder / "train-00000-of-00001.parquet"
    table = datasets.Dataset.from_parquet(str(path)).cast_column(
        "image", datasets.Image(decode=False)
    )
    broken = table.map(
        lambda row, n: row | {"image": {"bytes": b"?", "path": None}} if n == 2 else row,
        with_indices=True,
    )
    broken.to_parquet(path)
    task = open_task(entry(folder), Paths.of(data=tmp_path))
    with pytest.raises(ValueError, match=r"row 2 of .*copy, train cannot be read as an image"):
        check_images(task.train, paths=Paths.of(tmp_path))


def test_files_come_before_the_copy(tmp_path):
    folder = write_copy(tmp_path / "copy")
    both = entry(folder, source={"path": "colours"}, counts={})
    assert "copy" in open_task(both, Paths.of(data=tmp_path)).train.origin(0)
    write_folder(tmp_path / "colours", tuple(COLOURS))
    assert "colours" in open_task(both, Paths.of(data=tmp_path)).train.origin(0)


def test_a_copy_is_not_used_without_a_commit(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"copy uoft-cs/cifar100 of .* hub_revisions\.cifar"
    ):
        open_task(load_dataset("cifar100"), Paths.of(data=tmp_path))
    (chosen,) = with_revisions([load_dataset("cifar100")], {"cifar100": "abc"})
    assert chosen.hub.revision == "abc"
    assert load_dataset("cifar100").hub.revision is None
    with pytest.raises(ValueError, match="hub_revisions: unknown hub copy 'sun397'"):
        with_revisions([load_dataset("cifar100"), load_dataset("sun397")], {"sun397": "abc"})
    config = validate(RunConfig, {"benchmark": "mtil-1", "hub_revisions": {"dtd": "abc"}})
    assert config.hub_revisions == {"dtd": "abc"}


def test_where_the_images_are_must_be_said():
    for values in ({"hub": None}, {"classnames": None, "labels": None}):
        with pytest.raises(ValueError, match=r"'source', or 'hub'|give 'classnames'"):
            entry("x", **values)
