"""``gift predict`` and ``gift eval --calibrate`` on a learner in a folder."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys

import pandas as pd
import pytest
from PIL import Image
from support import write_folder

from gift import Learner, Task
from gift.cli import main
from gift.data import Paths
from gift.runs import RunFolder


@pytest.fixture(scope="module")
def made(tiny_clip_folder, tmp_path_factory):
    """A learner that knows two colours, and photos: two of them, one broken, one of a third."""
    root = tmp_path_factory.mktemp("predict")
    task = Task.from_folder(write_folder(root / "colours"))
    learner = Learner.from_pretrained(
        tiny_clip_folder, method="zero_shot", paths=Paths.of(root / "home")
    )
    with RunFolder(root / "mine").writing():
        learner.learn(task)
        learner.save(root / "mine")
    photos = root / "photos"
    (photos / "sub").mkdir(parents=True)
    shutil.copy(root / "colours/red/0.png", photos / "b.png")
    shutil.copy(root / "colours/green/0.png", photos / "sub" / "=a.png")
    (photos / "broken.jpg").write_bytes(b"nothing")
    return root


@pytest.fixture
def call(made, monkeypatch, capsys):
    """Runs a command beside the learner; gives exit status, standard output and error."""
    monkeypatch.chdir(made)

    def run(command, *arguments):
        with pytest.raises(SystemExit) as end:
            main([command, "mine", *map(str, arguments), "--home", "home"])
        return end.value.code or 0, *capsys.readouterr()

    return run


ALL = ["photos/b.png", "photos/broken.jpg", "photos/sub/=a.png"]


def test_a_folder_is_classified_file_by_file(call):
    status, out, err = call("predict", "photos")
    assert status == 1
    lines = out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["photos/b.png", "photos/sub/=a.png"]
    assert all("red " in line and "green " in line for line in lines)
    assert "photos/broken.jpg cannot be read" in err
    assert "classifying: 3 of 3, " in err
    assert " images/s" in err
    status, out, _ = call("predict", "photos", "--json", "--workers", 0, "--batch-size", 1)
    assert status == 1
    assert list(json.loads(out)) == ALL
    assert json.loads(out)["photos/broken.jpg"] is None


def test_a_list_on_standard_input(call, monkeypatch):
    content = b"photos/sub\nphotos/b.png\nphotos/b.png\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    status, out, _ = call("predict", "--list", "-", "--json", "--threshold", 1)
    assert status == 0
    assert json.loads(out) == {"photos/sub/=a.png": {}, "photos/b.png": {}}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_of_predictions(call, made, tmp_path, suffix):
    (made / "list.txt").write_text("photos\n", encoding="utf-8")
    output = tmp_path / f"new/x.{suffix}"
    options = ("--threshold", 1, "--top", 9, "--output", output)
    status, out, err = call("predict", "--list", "list.txt", *options)
    assert status == 1
    assert "photos/broken.jpg cannot be read" in err
    assert out == f"{output}: 3 images, 2 unknown, 1 unreadable.\n"
    if suffix == "jsonl":
        lines = output.read_text(encoding="utf-8").splitlines()
        table = pd.DataFrame(map(json.loads, lines))
    else:
        table = pd.read_csv(output) if suffix == "csv" else pd.read_parquet(output)
    names = ["path", "answer", "class_1", "probability_1", "class_2", "probability_2", "error"]
    assert table.columns.tolist() == names
    assert table["path"].tolist() == ALL
    assert table["answer"].tolist()[::2] == ["unknown", "unknown"]
    assert table["error"].isna().tolist() == [True, False, True]
    assert (table["probability_1"] + table["probability_2"]).dropna().tolist() == pytest.approx(
        [1, 1], abs=1e-5
    )


def test_an_interrupted_table_is_continued(call, tmp_path, monkeypatch):
    output, asked = tmp_path / "x.csv", []
    from gift.predict import Classifier

    each = Classifier.predict_each

    def counted(self, images, **options):
        asked.append(list(images))
        for number, found in enumerate(each(self, images, **options)):
            if number == 2 and len(asked) == 1:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(Classifier, "predict_each", counted)
    status, _, err = call("predict", "photos", "--output", output)
    assert status == 130
    assert "run the same command again to resume" in err
    assert not output.exists()
    status, out, err = call("predict", "photos", "--output", output, "--json", "--batch-size", 7)
    assert json.loads(out) == {"output": str(output), "images": 3, "unknown": 0, "unreadable": 1}
    assert status == 1
    assert "continued with the 2 rows that are there" in err
    assert [len(images) for images in asked] == [3, 1]
    with output.open(encoding="utf-8", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ALL
    assert list(tmp_path.iterdir()) == [output]


def test_other_settings_begin_anew(call, made, tmp_path):
    output = tmp_path / "x.csv"
    (tmp_path / "x.csv.partial").write_text('{"origin": "of something else"}\n{"path": "a"}\n')
    status, out, _ = call("predict", "photos/b.png", "--output", output)
    assert (status, out) == (0, f"{output}: 1 image, 0 unreadable.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no images: give files or folders, or --list FILE"),
        (["--list", "nowhere"], "nowhere is no file"),
        (["photos/b.png", "--output", "x.xlsx"], "unknown suffix '.xlsx'"),
        (["photos/b.png", "--threshold", "high"], "threshold = 'high'"),
        (["photos/b.png", "--threshold", "80"], "threshold = 80.0: give a probability in 0..1"),
        (["photos/b.png", "--threshold", "calibrated", "--classes", "a,b"], "is of all classes"),
        (["home"], "no images in home"),
    ],
)
def test_wrong_options_are_refused(call, made, arguments, message):
    (made / "home").mkdir(exist_ok=True)
    status, out, err = call("predict", *arguments)
    assert (status, out) == (1, "")
    assert message in err


def test_calibration_is_fitted_kept_and_used(call, made, tmp_path, tiny_clip_folder):
    kept = made / "mine/learner/calibration.json"
    status, _, err = call("predict", "photos/b.png", "--threshold", "calibrated")
    assert (status, "no calibration since its last task" in err) == (1, True)
    folder = write_folder(tmp_path / "check", ("red", "green", "stone"), count=3, seed=7)
    status, out, err = call("eval", "--task", folder, "--calibrate", "--coverage", 0.5)
    assert status == 0, err
    assert "6 of the classes seen, 3 of other classes" in out
    for words in ("temperature ", "calibration error ", "for a coverage of 50 %", "answered "):
        assert words in out
    stored = json.loads(kept.read_text(encoding="utf-8"))
    status, out, _ = call("eval", "--task", folder, "--calibrate", "--coverage", 0.5, "--json")
    assert json.loads(out) == {"calibration": stored}

    learner = Learner.load("mine", paths=Paths.of("home"))
    assert learner.calibration is not None
    assert learner.calibration.model_dump() == stored
    status, out, _ = call(
        "predict", "photos/b.png", "--threshold", "calibrated", "--output", tmp_path / "x.jsonl"
    )
    row = json.loads((tmp_path / "x.jsonl").read_text(encoding="utf-8"))
    (plain,) = learner.predict("photos/b.png")
    (found,) = learner.predict("photos/b.png", threshold="calibrated")
    assert row["probability_1"] == pytest.approx(found.probabilities[0], abs=1e-6)
    assert found.threshold == stored["threshold"]
    assert found.names == plain.names

    assert learner.calibrate(folder, goal="coverage", target=0.5).model_dump() == stored
    learner.save(tmp_path / "copy")
    assert (tmp_path / "copy/learner/calibration.json").read_bytes() == kept.read_bytes()
    again = Task.from_folder(write_folder(tmp_path / "again", ("ring", "bar")))
    learner.learn(again)
    assert learner.calibration is None
    learner.save(tmp_path / "copy")
    assert not (tmp_path / "copy/learner/calibration.json").exists()
    previous = Learner.load(tmp_path / "copy", state="previous")
    assert previous.calibration is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--calibrate"], "nothing to calibrate on: give --task"),
        (["--calibrate", "--benchmark", "micro-1"], "give --task FOLDER, not --benchmark"),
        (["--task", "colours", "--precision", "0.9"], "belong to --calibrate"),
        (["--task", "colours", "--calibrate", "--precision", "1", "--coverage", "1"], "or --cov"),
        (["--task", "colours", "--calibrate", "--precision", "95"], "a precision of 95 cannot"),
        (["--task", "others", "--calibrate"], "none of the images shows one of the classes"),
    ],
)
def test_wrong_calibrations_are_refused(call, made, arguments, message):
    write_folder(made / "others", ("stone", "sand"), count=1)
    status, out, err = call("eval", *arguments)
    assert (status, out) == (1, "")
    assert message in err


def test_a_learner_that_changes_while_it_is_calibrated_is_left_alone(call, monkeypatch):
    calibrate = Learner.calibrate

    def meanwhile(self, *arguments, **options):
        found = calibrate(self, *arguments, **options)
        self.save("mine")
        return found

    monkeypatch.setattr(Learner, "calibrate", meanwhile)
    status, _, err = call("eval", "--task", "colours", "--calibrate", "--coverage", 1)
    assert status == 1
    assert "changed meanwhile" in err


def test_predicting_needs_no_writable_folder_of_photos(call, made):
    Image.new("L", (3, 3)).save(made / "photos" / "sub" / "grey.png")
    before = sorted(made.joinpath("photos").rglob("*"))
    assert call("predict", "photos/sub")[0] == 0
    assert sorted(made.joinpath("photos").rglob("*")) == before
    (made / "photos" / "sub" / "grey.png").unlink()
