"""What learn and evaluate take as a task: messy folders, tables, data sets."""

import json
import unicodedata

import pytest
from datasets import load_dataset
from support import write_folder

from gift import Learner
from gift.cli import main
from gift.commands import evaluate
from gift.data.naming import read_renames
from gift.runs import RunFolder


def call(*arguments):
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return exit.value.code or 0


@pytest.fixture
def options(tiny_clip_folder, tmp_path):
    """Of a learner that classifies without training."""
    return ["--model", tiny_clip_folder, "--method", "zero_shot", "--home", tmp_path / "home"]


@pytest.fixture
def messy(tmp_path):
    """Two spellings of one accent, two folders of one class, sub-folders and a broken file."""
    nfc, nfd = (unicodedata.normalize(form, "rosé") for form in ("NFC", "NFD"))
    folder = write_folder(tmp_path / "flowers", (nfc, nfd, "Tulip_1", "Tulip_2"), count=3)
    write_folder(folder / "Tulip_1", ("2024", "2025"), count=1)
    (folder / "Tulip_1" / "2024" / "IMG_1.JPG").write_bytes(b"broken")
    (folder / "Tulip_1" / "Thumbs.db").touch()
    return folder


def test_a_messy_folder_is_learned_as_asked(messy, options, tmp_path, capsys):
    learner = tmp_path / "learner"
    names = tmp_path / "names.csv"
    names.write_text("folder;class\nTulip_1;tulip\nTulip_2;tulip\n", encoding="utf-8-sig")
    reading = ["--task", messy, "--rename", names, "--nested"]
    assert call("learn", learner, *reading, *options) == 1
    assert "IMG_1.JPG cannot be read" in (said := capsys.readouterr().err)
    assert "--on-bad-image skip" in said
    reading += ["--on-bad-image", "skip"]
    assert call("learn", learner, *reading, *options, "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["skipped"] == 1
    assert printed.err.count("IMG_1.JPG") == 1
    loaded = Learner.load(learner)
    assert loaded.history[0].skipped == 1
    (labels,) = loaded.memory
    assert labels.classnames == ("tulip", unicodedata.normalize("NFC", "rosé"))
    described = RunFolder(learner).data()["flowers"]
    assert (described["skipped"], described["train"]["images"]) == (1, 14)
    assert call("eval", learner, *reading, "--home", tmp_path / "home") == 0
    assert "IMG_1.JPG" in capsys.readouterr().err


def test_a_table_a_data_set_and_a_folder_are_the_same_task(options, tmp_path, tiny_clip_folder):
    folder = write_folder(tmp_path / "photos", ("rose", "tulip"), count=3)
    lines = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in folder.glob("*/*")]
    table = tmp_path / "photos.csv"
    table.write_text("\n".join(["file name,class", *sorted(lines)]))
    learner = tmp_path / "learner"
    assert call("learn", learner, "--task", table, *options) == 0
    rows = load_dataset("imagefolder", data_dir=str(folder), split="train")
    found = evaluate(learner, [table])
    assert found == evaluate(learner, folder)
    loaded = Learner.load(learner)
    assert loaded.evaluate([table, rows, folder]) == [found[0].value] * 3
    fresh = Learner.from_pretrained(tiny_clip_folder, method="zero_shot")
    fresh.learn(rows)
    assert fresh.memory[0].classnames == ("rose", "tulip")


def test_options_that_do_not_go_with_the_source_are_refused(messy, options, tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("image id,label\nflowers/Tulip_2/0.png,tulip\nflowers/Tulip_2/1.png,rose\n")
    learner = tmp_path / "learner"
    for source, more, message in (
        (table, ["--nested"], "--nested is for folders"),
        (messy, ["--columns", "image=x"], "--columns is for tables"),
        (table, ["--columns", "picture=x"], "unknown kind of column 'picture'"),
        (table, ["--columns", "image"], "is not KIND=NAME"),
        (table, [], "no image column but 'image id', 'label'"),
        (messy, ["--nested", "--on-bad-image", "drop"], "neither 'stop' nor 'skip'"),
        (messy, ["--nested", "--rename", table], "Did you mean|unknown class folder"),
    ):
        assert call("learn", learner, "--task", source, *more, *options) == 1, message
        assert message.split("|")[-1] in capsys.readouterr().err
    assert not learner.exists()
    named = ["--task", table, "--columns", "image=image id"]
    assert call("learn", learner, *named, *options) == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("n.yaml", "7: tulip\nrose\u0301: rose\n"),
        ("n.json", '{"7": "tulip", "rose\u0301": "rose"}'),
        ("n.csv", "folder,class\n7,tulip\nrose\u0301,rose\n"),
        ("n.csv", "Folder; New name\n7; tulip\n\nrose\u0301; rose"),
        ("n.csv", "7; tulip\n\nrose\u0301; rose"),
        ("n.tsv", "7\ttulip\nrose\u0301\trose\n"),
    ],
)
def test_files_of_new_names(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_renames(tmp_path / name) == {"7": "tulip", "ros\u00e9": "rose"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("n.txt", "", "read from a .yaml, .json, .csv or .tsv"),
        ("n.yaml", "", "holds no names"),
        ("n.yaml", "- a", "must hold a mapping"),
        ("n.yaml", "a: [b]", r"'a' has no class name but \['b'\]"),
        ("n.json", '{"a": null}', "'a' has no class name but None"),
        ("n.csv", "a,b,c", "row 1 has 3 columns"),
        ("n.csv", "a,b\na,c", "'a' has two class names, 'b' and 'c'"),
        ("n.csv", "a,", "'a' has no class name"),
        ("gone.csv", None, "does not exist"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_renames(tmp_path / name)
