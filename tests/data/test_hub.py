"""Copies on the hub: the same code path, on parquet files in a folder."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import datasets
import pytest
from PIL import Image
from support import write_folder

from gift.config import RunConfig
from gift.data import (
    DatasetEntry,
    Paths,
    check_images,
    load_dataset,
    open_task,
    provenance,
    with_revisions,
)
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


def rewrite(folder, split, **columns):
    """Replace columns of a copy's split."""
    path = folder / f"{split}-00000-of-00001.parquet"
    table = datasets.Dataset.from_parquet(str(path))
    features = table.features.copy()
    for name, (values, feature) in columns.items():
        features[name] = feature or features[name]
        table = table.remove_columns(name) if name in table.column_names else table
        table = table.add_column(name, values)
    table.cast(features).to_parquet(path)


NUMBERS = datasets.Value("int64")


@pytest.mark.parametrize(
    ("labels", "feature", "message"),
    [
        (
            [0, 1, 2, -1, 1, -1],
            None,
            r"train: 2 of 6 labels are hidden .* -1 in row 3, allowed .*2",
        ),
        ([0, 1, 2, None, 1, 2], None, r"train: 1 of 6 rows have no 'label', the first is row 3"),
        ([0, 1, 2, -1, 1, 2], NUMBERS, r"train: 1 of 6 labels are hidden .* -1 in row 3"),
        ([0, 1, 2, 7, 1, 2], NUMBERS, "missing .*unexpected"),
        (["red", "blue", "", "red", "blue", "red"], datasets.Value("string"), r"'' in row 2"),
        (
            [0.0, 1.0, 2.5, 0.0, 1.0, 2.0],
            datasets.Value("float64"),
            r"row 0: .* holds 0\.0, but",
        ),
        (
            [[0], [1], [2, 1], [0], [1], [2]],
            datasets.List(NUMBERS),
            r"row 0: .* holds \[0\], but",
        ),
    ],
)
def test_labels_that_name_no_class_are_refused(labels, feature, message, tmp_path):
    folder = write_copy(tmp_path / "copy")
    for split in ("train", "test"):
        rewrite(folder, split, label=(labels, feature))
    with pytest.raises(ValueError, match=message):
        open_task(entry(folder), Paths.of(data=tmp_path))


def test_a_missing_file_name_orders_nothing(tmp_path):
    folder = write_copy(tmp_path / "copy", file=lambda split: [None, *(f"{n}" for n in range(5))])
    hub = {"id": str(folder), "order_by": "file"}
    with pytest.raises(ValueError, match=r"train: 1 of 6 rows have no 'file', the first is row 0"):
        open_task(entry(folder, hub=hub), Paths.of(data=tmp_path))


@pytest.mark.parametrize(
    "files",
    ["../other/*.parquet", "/{tmp}/other/train.parquet", "http://localhost:9/train.parquet",
     "zip://train.parquet::http://localhost:9/x.zip", "hf://datasets/someone/else/t.parquet",
     "file:///{tmp}/other/train.parquet", "~/train.parquet"],
)  # fmt: skip
@pytest.mark.parametrize("as_list", [True, False])
def test_files_outside_a_copy_are_not_read(files, as_list, tmp_path):
    write_copy(tmp_path / "other")
    folder = write_copy(tmp_path / "copy")
    name = files.replace("{tmp}", str(tmp_path)[1:])
    value = f"[{{split: train, path: '{name}'}}]" if as_list else f"'{name}'"
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {value}\n---\n# Colours\n"
    (folder / "README.md").write_text(card)
    with pytest.raises(ValueError, match=r"^colours: .*copy names .*outside of it.*README\.md"):
        open_task(entry(folder), Paths.of(data=tmp_path))


def test_a_card_may_name_the_files_of_its_folder(tmp_path):
    folder = write_copy(tmp_path / "copy")
    files = {path: path.rename(folder / f"{path.name[:2]}.parquet") for path in folder.iterdir()}
    listed = "".join(
        f"  - {{split: {old.name.partition('-')[0]}, path: {new.name}}}\n"
        for old, new in files.items()
    )
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{listed}---\n"
    (folder / "README.md").write_text(card)
    assert len(open_task(entry(folder), Paths.of(data=tmp_path)).train) == 6


@pytest.fixture
def on_hub(tmp_path, monkeypatch):
    """A copy that stands in for one on the hub; its files may be named otherwise."""
    folder, commit = write_copy(tmp_path / "copy"), "0123456789abcdef0123456789abcdef01234567"
    files = {"train": [f"hf://datasets/someone/colours@{commit}/train.parquet"]}
    config = SimpleNamespace(data_files=files)
    load = datasets.load_dataset

    def builder(source, revision):
        return SimpleNamespace(config=config)

    def load_local(source, revision, split):
        assert source == "someone/colours"
        return load(str(folder), split=split)

    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    monkeypatch.setattr(datasets, "load_dataset", load_local)
    return files, commit


def test_the_commit_that_was_read_is_recorded_and_a_branch_is_said(on_hub, tmp_path, caplog):
    _, commit = on_hub
    with caplog.at_level(logging.WARNING):
        hub = {"id": "someone/colours", "revision": "main"}
        colours = entry("", hub=hub)
        task = open_task(colours, Paths.of(data=tmp_path))
    assert task.place == f"someone/colours@{commit}"
    assert provenance(task, Paths.of(data=tmp_path)).place == task.place
    (record,) = caplog.records
    assert "is not pinned: 'main'" in record.getMessage()
    assert f"hub_revisions.colours={commit}" in record.getMessage()

    caplog.clear()
    pinned = entry("", hub={"id": "someone/colours", "revision": commit})
    assert open_task(pinned, Paths.of(data=tmp_path)).place == task.place
    assert not caplog.records


def test_a_copy_may_not_name_files_of_other_copies(on_hub, tmp_path):
    files, commit = on_hub
    files["train"] = [f"hf://datasets/someone/else@{commit}/train.parquet"]
    hub = {"id": "someone/colours", "revision": commit}
    with pytest.raises(ValueError, match=r"names hf://datasets/someone/else.*outside of it"):
        open_task(entry("", hub=hub), Paths.of(data=tmp_path))


def test_where_the_images_are_must_be_said():
    for values in ({"hub": None}, {"classnames": None, "labels": None}):
        with pytest.raises(ValueError, match=r"'source', or 'hub'|give 'classnames'"):
            entry("x", **values)
