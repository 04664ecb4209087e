from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from gift.config import LearnerConfig
from gift.files import read_json, replacing, write_text
from gift.metrics import AccuracyMatrix
from gift.runs import RunFolder


def test_a_line_that_was_cut_off_is_mended_before_more_is_written(tmp_path):
    run = RunFolder(tmp_path)
    run.log("train", step=0, seconds=1.0)
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"time": 1, "sta')
    assert [event["stage"] for event in run.events()] == ["train"]
    with run.writing():
        run.log("evaluate", seconds=2.5)
    assert [event["stage"] for event in run.events()] == ["train", "evaluate"]
    assert run.seconds() == {"total": 3.5, "train": 1.0, "evaluate": 2.5}


def test_two_processes_do_not_share_a_folder(tmp_path):
    with RunFolder(tmp_path).writing():
        code = (
            "import sys; from pathlib import Path; from gift.runs import RunFolder\n"
            "with RunFolder(Path(sys.argv[1])).writing(): pass"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True
        )
    assert f"another process works in {tmp_path} (process {os.getpid()} on " in other.stderr


def configured(**training):
    return LearnerConfig(training={"warmup": 1, **training})


def test_settings_may_change_while_nothing_was_learned(tmp_path):
    run = RunFolder(tmp_path)
    run.write_config(configured(iterations=3))
    run.write_config(configured(iterations=4))
    assert run.read_config()["training"]["iterations"] == 4


def test_another_configuration_is_refused_with_what_differs(tmp_path):
    run = RunFolder(tmp_path)
    run.write_config(configured(iterations=3))
    write_text(run.learner / "memory.json", "[]")
    run.write_config(configured(iterations=3))
    with pytest.raises(ValueError, match=r"training\.iterations is 3 there and 4 here"):
        run.write_config(configured(iterations=4))
    assert run.read_config()["training"]["iterations"] == 3


def test_what_does_not_bear_on_results_may_change(tmp_path):
    run = RunFolder(tmp_path)
    run.write_config(configured(iterations=3))
    write_text(run.learner / "memory.json", "[]")
    run.write_config(configured(iterations=3, workers=4, checkpoint_minutes=1.0))
    assert run.read_config()["training"]["workers"] == 4


def test_a_folder_of_an_older_version_lacks_newer_settings(tmp_path):
    run = RunFolder(tmp_path)
    run.write_config(configured(iterations=3))
    write_text(run.learner / "memory.json", "[]")
    values = run.read_config()
    del values["training"]["on_nonfinite"]
    write_text(tmp_path / "config.yaml", yaml.safe_dump(values))
    shutil.rmtree(tmp_path / ".copies")
    run.write_config(configured(iterations=3))


def test_a_change_by_hand_is_told_of_and_holds_but_nothing_is_learned_with_it(tmp_path, caplog):
    run = RunFolder(tmp_path)
    run.write_config(configured(iterations=3))
    write_text(run.learner / "memory.json", "[]")
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("iterations: 3", "iterations: 4"))
    assert run.read_config()["training"]["iterations"] == 4
    assert "config.yaml is not as it was written" in caplog.text
    with pytest.raises(ValueError, match=r"training\.iterations is 3 there and 4 here"):
        run.write_config(configured(iterations=4))


@pytest.mark.parametrize("text", [b"", b"- a list", b"\xff\xfe", b"a: [", b"a: \x00"])
def test_a_configuration_that_is_none_is_named_or_taken_from_its_copy(tmp_path, text):
    run = RunFolder(tmp_path)
    run.write_config(configured(iterations=3))
    (tmp_path / "config.yaml").write_bytes(text)
    assert run.read_config()["training"]["iterations"] == 3
    shutil.rmtree(tmp_path / ".copies")
    with pytest.raises(ValueError, match=r"config\.yaml is damaged, it holds no configuration"):
        run.read_config()


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"tasks": 3}', "null"])
def test_a_matrix_that_is_none_is_named(tmp_path, text):
    (tmp_path / "matrix.json").write_text(text)
    with pytest.raises(ValueError, match=r"matrix\.json is damaged .*; put back a copy"):
        RunFolder(tmp_path).read_matrix()


def test_a_refused_start_leaves_the_folder_free(tmp_path):
    (tmp_path / "tasks").touch()  # in the place of a folder
    with pytest.raises(OSError, match=r"cannot be written \(File exists at tasks\)") as kept:
        RunFolder(tmp_path).writing().__enter__()
    (tmp_path / "tasks").unlink()
    with RunFolder(tmp_path).writing():
        assert kept.value.errno


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    (tmp_path / ".matrix.json.17-4.tmp").write_text('{"bench')
    with RunFolder(tmp_path).writing():
        assert not list(tmp_path.glob("*.tmp"))


def test_errors_about_other_places_pass(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"^\[Errno 2\]"),
        RunFolder(tmp_path / "run").writing(),
    ):
        (tmp_path / "data" / "image.png").read_bytes()


def test_damaged_events_are_told_of_and_left_out(tmp_path, caplog):
    run = RunFolder(tmp_path)
    for number in range(3):
        run.log("train", seconds=number)
    content = bytearray((tmp_path / "events.jsonl").read_bytes())
    content[len(content) // 2] = 0xFF
    (tmp_path / "events.jsonl").write_bytes(content)
    assert run.seconds() == {"total": 2.0, "train": 2.0}
    assert "1 lines are damaged and left out" in caplog.text


def test_a_damaged_learner_is_named_and_the_one_before_is_used(tmp_path, caplog):
    run = RunFolder(tmp_path)
    for text in ("[1]", "[1, 2]"):
        with replacing(run.learner, run.previous_learner) as new:
            write_text(new / "memory.json", text)
    assert run.whole_learner() == run.learner
    (run.learner / "memory.json").write_text("[1, 3]")
    assert run.whole_learner() == run.previous_learner
    assert "memory.json not as written" in caplog.text
    (run.previous_learner / "memory.json").unlink()
    with pytest.raises(ValueError, match="no whole learner"):
        run.whole_learner()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match="cannot be written"),
        RunFolder(tmp_path / "file" / "run").writing(),
    ):
        pass


def test_task_folders_are_safe_names(tmp_path):
    run = RunFolder(tmp_path)
    assert run.task(1, "food").name == "01-food"
    assert run.task(12, "../a b/ü").parent == tmp_path / "tasks"
    assert run.task(3, "../..").name == "03-task"


def test_the_matrix_survives_the_disk(tmp_path):
    run = RunFolder(tmp_path)
    assert run.read_matrix() is None
    matrix = AccuracyMatrix("micro-1", 1, ("a", "b"), (50.0, 60.0)).with_row([70.0, 55.0])
    run.write_matrix(matrix)
    assert run.read_matrix() == matrix
    assert not matrix.complete
    assert json.loads((tmp_path / "matrix.json").read_text())["accuracy"] == [[70.0, 55.0]]


def test_the_environment_names_versions_and_device(tmp_path):
    run = RunFolder(tmp_path)
    run.write_environment("cpu")
    environment = read_json(tmp_path / "env.json")
    assert environment["device"] == "cpu"
    assert "torch" in environment["packages"]
