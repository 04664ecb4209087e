"""Data sets of the datasets library as tasks."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from support import write_folder

from gift.data import Task, as_task, as_tasks, check_images, pixels, readable
from gift.data.paths import Paths


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "photos", ("rose", "tulip"), count=3)


def dataset(folder, *, encoded=True, labels=None, names=("rose", "tulip", "unused")):
    files = sorted(folder.glob("*/*.png"))
    cells = [{"bytes": file.read_bytes(), "path": None} if encoded else str(file) for file in files]
    label = ClassLabel(names=list(names)) if names else Value("int64")
    features = Features({"image": Image(), "label": label})
    found = (
        labels if labels is not None else [["rose", "tulip"].index(f.parent.name) for f in files]
    )
    return Dataset.from_dict({"image": cells, "label": found}, features=features)


@pytest.mark.parametrize("encoded", [True, False])
def test_a_data_set_is_the_task_of_its_images(folder, encoded):
    task, same = as_task(dataset(folder, encoded=encoded)), Task.from_folder(folder)
    assert task.labels.classnames == ("rose", "tulip")
    assert task.train.labels == same.train.labels
    assert [image.tobytes() for image in task.train] == [image.tobytes() for image in same.train]
    assert repr(task.train).startswith("<RowImages: 6 images of 2 classes, the first from ")


def test_its_fingerprint_is_of_the_images_alone(folder, tmp_path):
    rows = dataset(folder)
    first = as_task(rows).train
    again = as_task(dataset(folder, encoded=False)).train
    assert first.is_known_by_content
    assert first.fingerprint == again.fingerprint
    assert first.checksum == again.checksum
    assert first.select([1, 2]).fingerprint == as_task(rows.select([1, 2])).train.fingerprint
    (folder / "rose/0.png").write_bytes((folder / "tulip/0.png").read_bytes())
    assert as_task(dataset(folder)).train.fingerprint != first.fingerprint


def test_nothing_is_copied_but_decoded_pixels(folder, tmp_path):
    paths, images = Paths.of(tmp_path / "home"), as_task(dataset(folder)).train
    check_images(images, paths=paths)
    shape = pixels(images, np.asarray, "k", paths).shape
    assert shape == (6, 20, 20, 3)
    assert {path.suffix for path in (tmp_path / "home").rglob("*.*")} == {
        ".npy",
        ".checked",
        ".TAG",
    }


def test_splits_of_a_dictionary_are_taken_by_their_names(folder):
    rows = dataset(folder)
    data = DatasetDict({"train": rows, "validation": rows.select([0, 3]), "test": rows.select([1])})
    task = as_task(data)
    assert {name: len(own) for name, own in task.splits.items()} == {
        "train": 6,
        "validation": 2,
        "test": 1,
    }
    with pytest.raises(ValueError, match="'unsupervised' names no split"):
        as_task(DatasetDict({"train": rows, "unsupervised": rows}))
    assert [task.name for task in as_tasks([rows, folder])] == ["dataset", "photos"]


def test_columns_are_found_by_type_or_named(folder):
    rows = dataset(folder).rename_columns({"image": "picture", "label": "kind"})
    assert len(as_task(rows).train) == 6
    with pytest.raises(ValueError, match="Did you mean 'kind'"):
        Task.from_dataset(rows, label="kinds")
    files = Dataset.from_dict({"path": [str(f) for f in folder.glob("*/*")], "label": ["a"] * 6})
    assert len(Task.from_dataset(files, name="mine").train) == 6


def test_labels_that_are_numbers_need_names(folder):
    rows = dataset(folder, names=None)
    with pytest.raises(ValueError, match=r"numbers without names; give classnames"):
        as_task(rows)
    assert Task.from_dataset(rows, classnames=["a", "b"]).labels.classnames == ("a", "b")


def test_hidden_labels_and_streams_are_refused(folder):
    with pytest.raises(ValueError, match="row 2: 'label' is -1"):
        Task.from_dataset(dataset(folder, names=None, labels=[0, 0, -1, 1, 1, 1]), classnames=["a"])
    with pytest.raises(ValueError, match="no task"):
        as_task(dataset(folder).to_iterable_dataset())
    with pytest.raises(ValueError, match="IterableDataset, of which no image can be looked up"):
        Task.from_dataset(dataset(folder).to_iterable_dataset())


def test_a_bad_row_is_named_and_may_be_skipped(folder, caplog):
    (folder / "rose/1.png").write_bytes(b"broken")
    rows = dataset(folder)
    with pytest.raises(ValueError, match="row 1 of the data set mine cannot be read"):
        check_images(Task.from_dataset(rows, name="mine").train, paths=Paths.of())
    task = readable(Task.from_dataset(rows, name="mine", on_bad_image="skip"), Paths.of())
    assert (task.train.positions, task.skipped) == ((0, 2, 3, 4, 5), 1)
    assert "row 1 of the data set mine" in caplog.text
