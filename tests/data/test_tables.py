"""Tables of image paths and labels."""

import json
import re
import unicodedata

import pytest
from support import write_folder

from gift.data import Paths, Task, as_task, fingerprint_of


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "photos", ("red_rose", "tulip"), count=3).parent


def rows(root, split=lambda index: "train"):
    return [
        {"path": f"photos/{name}/{i}.png", "label": name, "split": split(i)}
        for name in ("tulip", "red_rose")
        for i in range(3)
    ]


def write(root, name, lines, columns=("path", "label", "split"), by=","):
    path = root / name
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(line) + "\n\n" for line in lines))
    else:
        head = by.join(columns)
        body = (by.join(str(line[key]) for key in ("path", "label", "split")) for line in lines)
        path.write_text("\ufeff" + "\r\n".join([head, *body]) + "\r\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "by"), [("t.csv", ","), ("t.CSV", ";"), ("t.tsv", "\t"), ("t.jsonl", "")]
)
def test_every_kind_of_table_gives_the_task_of_the_folder(root, name, by):
    path = write(root, name, rows(root, lambda i: "val" if i == 2 else "Train"), by=by)
    task = as_task(str(path))
    assert (task.name, task.labels.classnames) == ("t", ("red rose", "tulip"))
    assert task.train.labels == (1, 1, 0, 0)
    assert task.validation.labels == (1, 0)
    assert task.test is None
    assert [file.name for file in task.train.files] == ["0.png", "1.png"] * 2


def test_a_table_and_a_folder_of_the_same_images_have_one_fingerprint(root):
    lines = sorted(rows(root), key=lambda line: line["path"])
    table, folder = Task.from_csv(write(root, "t.csv", lines)), Task.from_folder(root / "photos")
    assert table.train.fingerprint == folder.train.fingerprint
    assert table.train.checksum == folder.train.checksum
    assert fingerprint_of(table.train, Paths.of()) == folder.train.fingerprint


def test_without_a_split_column_all_images_are_for_training(root):
    path = write(root, "t.csv", rows(root), columns=("File Name", "Category", "note"))
    task = Task.from_csv(path, test_fraction=0.4, classnames={"red_rose": "rose"})
    assert (len(task.train), len(task.test), task.measured_on) == (4, 2, "held-out")
    assert task.labels.classnames == ("rose", "tulip")


def test_columns_may_be_named(root):
    path = write(root, "t.csv", rows(root), columns=("image id", "diagnosis", "part"))
    message = r"(?s)no image column but 'image id', 'diagnosis', 'part'.*no label column"
    with pytest.raises(ValueError, match=message):
        Task.from_csv(path)
    task = Task.from_csv(path, image="image id", label="diagnosis", split="part")
    assert len(task.train) == 6
    with pytest.raises(ValueError, match="Did you mean 'diagnosis'"):
        Task.from_csv(path, image="image id", label="diagnoses")


def test_labels_may_be_numbers_and_names_a_list(root):
    lines = [{**line, "label": ["red_rose", "tulip"].index(line["label"])} for line in rows(root)]
    task = Task.from_csv(write(root, "t.jsonl", lines), classnames=["rose", "tulip"])
    assert task.labels.classnames == ("rose", "tulip")


def test_accents_and_separators_of_other_systems_are_understood(root):
    nfc, nfd = (unicodedata.normalize(form, "rosé") for form in ("NFC", "NFD"))
    (root / "photos/tulip").rename(root / "photos" / nfc)
    lines = [
        {"path": f"photos\\{nfd}\\0.png", "label": nfd},
        {"path": f"photos/{nfc}/1.png", "label": nfc},
    ]
    task = Task.from_csv(write(root, "t.jsonl", lines))
    assert task.labels.classnames == (nfc,)
    assert all(file.is_file() for file in task.train.files)


def test_all_problems_of_a_table_are_told_at_once(root):
    lines = rows(root)
    lines[0]["path"] = "photos/nowhere.png"
    lines[1]["label"] = "  "
    lines[2]["split"] = "fold1"
    lines[3]["path"] = lines[4]["path"]
    lines[5]["path"] = "../outside.png"
    (root.parent / "outside.png").write_bytes((root / "photos/tulip/0.png").read_bytes())
    with pytest.raises(ValueError, match=r"t\.csv: 5 problems:") as error:
        Task.from_csv(write(root, "t.csv", lines))
    for message in (
        "row 1: .*nowhere.png is no file",
        "row 2 has no label",
        "row 3: 'fold1' names no split",
        "row 5 lists .* as row 4 does",
        "row 6: .*outside.png leads out of .*--follow-links",
    ):
        assert re.search(message, str(error.value))


def test_paths_may_lead_out_of_the_folder_on_request(root):
    outside = root.parent / f"{root.name}-outside.png"
    outside.write_bytes((root / "photos/tulip/0.png").read_bytes())
    path = write(root, "t.jsonl", [{"path": str(outside), "label": "tulip"}])
    with pytest.raises(ValueError, match="leads out of"):
        Task.from_csv(path)
    assert Task.from_csv(path, follow_links=True).train.files == (outside,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lists no images"),
        ("path,label\n", "lists no images"),
        ("path,path,label\nx,y,z\n", "two columns 'path'"),
        ("path,label\nx.png,a,b\n", "row 1 has 3 columns"),
        ('path,label\n"x.png,a\n', "cannot be read as a table"),
        ("name,label\nx,y\n", "no image column"),
        ("path,name\nx,y\n", "no label column"),
    ],
)
def test_no_such_table(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        Task.from_csv(tmp_path / "t.csv")


def test_a_class_without_training_images_is_refused(root):
    lines = rows(root, lambda i: "train")
    for line in lines[:3]:
        line["split"] = "test"
    with pytest.raises(ValueError, match=r"no training images of 1 class \(tulip\)"):
        Task.from_csv(write(root, "t.csv", lines))
    for line in lines[3:]:
        line["split"] = "test"
    task = Task.from_csv(write(root, "t.csv", lines))
    assert (task.train, len(task.test)) == (None, 6)


def test_something_else_is_no_task():
    with pytest.raises(ValueError, match="7 is no task; give a Task, the path"):
        as_task(7)
