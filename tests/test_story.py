"""Eighteen months with one learner, from the command line, as a practitioner would."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
from support import write_folder

from gift.cli import main

BARE = """
import json, sys
sys.modules["gift"] = None  # not installed there
from transformers import pipeline
classes = json.load(open(sys.argv[1] + "/classes.json", encoding="utf-8"))
classify = pipeline("zero-shot-image-classification", model=sys.argv[1])
print(json.dumps(classify(sys.argv[2], **classes["pipeline"])))
"""


@pytest.fixture
def gift(tiny_clip_folder, tiny_pipeline_folder, tmp_path, capsys):
    """Runs a command; returns what it printed, and its exit status where it is not 0."""
    config = tmp_path / "tiny.yaml"
    config.write_text(
        f"model: {tiny_clip_folder}\n"
        "training: {iterations: 2, batch_size: 4, warmup: 1}\n"
        f"synthesis: {{generator: {tiny_pipeline_folder}, images: 4, steps: 2}}\n"
    )

    def run(*arguments):
        words = [str(argument) for argument in arguments]
        if words[0] == "learn" and not (tmp_path / words[1]).exists():
            words += ["--config", str(config)]
        if words[0] not in {"info", "undo"}:
            words += ["--home", str(tmp_path / "home")]
        with pytest.raises(SystemExit) as end:
            main(words)
        told = capsys.readouterr()
        return (told.out, told.err, end.value.code or 0)

    return run


@pytest.mark.slow
def test_eighteen_months(gift, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, classes in {
        "flowers": ("pâquerette", "rose"),
        "pets": ("cat", "dog", "hen"),
        "oops": ("wrong", "folder"),
        "lilies": ("lily",),
    }.items():
        write_folder(tmp_path / name, classes)

    # January: what would it cost? Then the first folder.
    plan, _, status = gift("learn", "mine", "--task", "flowers", "--dry-run")
    assert status == 0
    assert "Time:       about" in plan
    assert not (tmp_path / "mine").exists()
    assert gift("learn", "mine", "--task", "flowers")[2] == 0

    # July: a broken photo, which is named; then other settings, on another machine perhaps.
    (tmp_path / "pets" / "cat" / "broken.jpg").write_bytes(b"not an image")
    told = gift("learn", "mine", "--task", "pets")
    assert told[2] == 1
    assert "broken.jpg" in told[1]
    more = ("--set", "training.iterations=1", "--set", "training.learning_rate=1e-4")
    pets = ("--task", "pets", "--on-bad-image", "skip", "--validation-fraction", "0.3")
    assert gift("learn", "mine", *pets, *more, "--check", "flowers")[2] == 0

    # September: the wrong folder was learned, and is taken back.
    assert gift("learn", "mine", "--task", "oops")[2] == 0
    assert gift("undo", "mine", "--yes")[2] == 0

    # December: one more flower.
    assert gift("learn", "mine", "--task", "lilies", "--into", "flowers")[2] == 0
    known = json.loads(gift("info", "mine", "--json")[0])
    assert [task["name"] for task in known["tasks"]] == ["flowers", "pets", "lilies"]
    assert gift("report", "mine")[2] == 0
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "is not classified below" not in page
    assert page.count("What is taken for what") == 3

    # The next June: a folder of photos becomes a table, with one bad file as one row.
    photos = write_folder(tmp_path / "photos", ("new",), count=3, seed=5) / "new"
    (photos / "cut.png").write_bytes(b"\x89PNG\r\n")
    assert (
        gift(
            "eval",
            "mine",
            "--task",
            "pets",
            "--on-bad-image",
            "skip",
            "--calibrate",
            "--coverage",
            "0.5",
        )[2]
        == 0
    )
    told = gift("predict", "mine", "photos", "--threshold", "calibrated", "--output", "found.csv")
    assert told[2] == 1
    with open("found.csv", newline="", encoding="utf-8") as file:
        rows = {row["path"].rpartition("/")[2]: row for row in csv.DictReader(file)}
    assert len(rows) == 4
    assert "cut.png" in rows["cut.png"]["error"]
    classes = {"pâquerette", "rose", "lily", "cat", "dog", "hen"}
    good = [row for name, row in rows.items() if name != "cut.png"]
    assert all(row["answer"] in {*classes, "unknown"} for row in good)
    assert all(row["class_1"] in classes and not row["error"] for row in good)

    # And it leaves for a machine that has transformers alone.
    assert gift("export", "mine", "out")[2] == 0
    image = next(photos.glob("*0*.png"))
    made = subprocess.run(
        [sys.executable, "-c", BARE, "out", str(image)], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    assert {one["label"] for one in found} == classes
    row = next(row for row in good if row["path"].endswith(image.name))
    assert found[0]["label"] == row["class_1"]
    assert found[0]["score"] == pytest.approx(max(one["score"] for one in found))
