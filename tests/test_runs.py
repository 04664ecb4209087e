from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gift.files import read_json, write_text
from gift.records import AccuracyMatrix
from gift.runs import RunFolder, recover, replacing


def test_replacing_swaps_a_whole_folder(tmp_path):
    folder = tmp_path / "learner"
    for text in ("one", "two"):
        with replacing(folder) as new:
            write_text(new / "state", text)
    assert (folder / "state").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["learner"]
    assert [p.name for p in folder.iterdir()] == ["state"]


def test_a_failure_while_replacing_keeps_the_old_folder(tmp_path):
    folder = tmp_path / "learner"
    with replacing(folder) as new:
        write_text(new / "state", "one")

    class Stop(Exception):
        pass

    def fail():
        with replacing(folder) as new:
            write_text(new / "state", "half")
            raise Stop

    with pytest.raises(Stop):
        fail()
    recover(folder)
    assert (folder / "state").read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["learner"]


@pytest.mark.parametrize("swapped", [False, True])
def test_recover_finishes_an_interrupted_swap(tmp_path, swapped):
    """Killed between the two renames, or after the second."""
    folder, new, old = (tmp_path / f"learner{suffix}" for suffix in ("", ".new", ".old"))
    write_text(old / "state", "one")
    whole = folder if swapped else new
    write_text(whole / "state", "two")
    (whole / ".whole").touch()
    recover(folder)
    assert (folder / "state").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["learner"]
    assert [p.name for p in folder.iterdir()] == ["state"]


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
    assert "another process works in" in other.stderr


def test_settings_may_change_while_nothing_was_learned(tmp_path):
    run = RunFolder(tmp_path)
    run.write_config({"seed": 0})
    run.write_config({"seed": 1})
    assert run.read_config() == {"seed": 1}


def test_another_configuration_is_refused_with_what_differs(tmp_path):
    run = RunFolder(tmp_path)
    run.write_config({"seed": 0, "training": {"iterations": 3}})
    write_text(run.learner / "memory.json", "[]")
    run.write_config({"seed": 0, "training": {"iterations": 3}})
    with pytest.raises(ValueError, match=r"training\.iterations is 3 there and 4 here"):
        run.write_config({"seed": 0, "training": {"iterations": 4}})


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
