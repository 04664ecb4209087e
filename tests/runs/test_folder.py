"""The run folder: one writer, one identity, nothing replaced in silence, nothing finished lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest

from gift.config import LearnerConfig, RunConfig
from gift.files import read_json, write_text
from gift.metrics import AccuracyMatrix
from gift.runs import RunFolder, Storage, Summary
from gift.runs.manifest import damage, read_manifest, write_manifest
from gift.runs.read import read_run


def test_an_incomplete_last_line_is_removed_before_more_is_written(tmp_path):
    run = RunFolder(tmp_path)
    run.log("train", step=0, seconds=1.0)
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"time": 1, "sta')
    assert [event.stage for event in run.events()] == ["train"]
    with run.writing():
        run.log("evaluate", seconds=2.5)
    assert [event.stage for event in run.events()] == ["train", "evaluate"]
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


def save(run, config=None, tasks=("birds",)):
    """What :meth:`gift.Learner.save` does, with less in it."""
    with run.saving_learner(config or configured(), method="gift", tasks=tasks) as new:
        write_text(new / "memory.json", json.dumps(tasks))


def learned(run, config=LearnerConfig, state="last"):
    """The tasks in the learner's memory."""
    return run.read_learner(
        config, lambda folder, _: read_json(folder / "memory.json"), state=state
    )


def test_settings_may_change_while_nothing_was_learned(tmp_path):
    run = RunFolder(tmp_path)
    run.write_config(configured(iterations=3))
    first = run.run_id
    run.write_config(configured(iterations=4))
    assert run.read_config(LearnerConfig).training.iterations == 4
    assert run.run_id == first != ""


def test_another_configuration_of_a_run_is_refused_with_what_differs(tmp_path):
    run = RunFolder(tmp_path)
    first, other = (RunConfig(benchmark="micro-1", seed=seed) for seed in (0, 3))
    run.write_config(first)
    save(run, LearnerConfig())
    with pytest.raises(ValueError, match="seed is 0 there and 3 here"):
        run.write_config(other)
    assert run.read_config(RunConfig) == first


def test_a_learner_keeps_what_its_state_depends_on_and_nothing_else(tmp_path):
    run = RunFolder(tmp_path)
    save(run, configured(iterations=3))
    for write in (run.write_config, lambda other: save(run, other)):
        with pytest.raises(ValueError, match=r"method is 'gift' there and 'l2' here"):
            write(LearnerConfig(method="l2"))
    save(run, configured(iterations=4), ("birds", "cars"))
    assert run.read_config(LearnerConfig).training.iterations == 4
    run.write_config(configured(iterations=5))
    assert run.read_config(LearnerConfig).training.iterations == 5
    assert learned(run) == ["birds", "cars"]


def test_what_does_not_bear_on_results_may_change(tmp_path):
    run = RunFolder(tmp_path)
    save(run, configured(iterations=3))
    run.write_config(configured(iterations=3, workers=4, checkpoint_minutes=1.0))
    assert run.read_config(LearnerConfig).training.workers == 4
    assert learned(run) == ["birds"]


def test_a_learner_without_its_manifest_is_refused(tmp_path):
    run = RunFolder(tmp_path)
    save(run)
    (run.learner / "manifest.json").unlink()
    for use in (learned, lambda run: learned(run, state="any")):
        with pytest.raises(ValueError, match=r"learner: manifest\.json is missing"):
            use(run)
    (run.path / "manifest.json").unlink()
    for use in (learned, save):
        with pytest.raises(ValueError, match=r"manifest\.json is missing"):
            use(run)


def test_what_lies_there_without_a_manifest_is_refused(tmp_path):
    run = RunFolder(tmp_path)
    save(run)
    run.write_matrix(MATRIX)
    (tmp_path / "manifest.json").unlink()
    for use in (learned, save, lambda run: run.writing().__enter__()):
        with pytest.raises(ValueError, match=r"manifest\.json is missing: nothing says .*matrix"):
            use(run)
    shutil.rmtree(run.learner)
    for name in ("matrix.json", "config.yaml"):
        (tmp_path / name).unlink()
    run.task(1, "birds").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"manifest\.json is missing: .*tasks"), run.writing():
        pass


def test_a_learner_that_was_learned_is_missed(tmp_path):
    run = RunFolder(tmp_path)
    save(run)
    assert read_manifest(tmp_path).tasks == ("birds",)
    shutil.rmtree(run.learner)
    with pytest.raises(ValueError, match=r"learner is missing, although birds was"), run.writing():
        pass


def test_a_new_learner_of_another_run_is_not_swapped_in(tmp_path):
    """A crash leaves one between two renames."""
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    for run in (one, two):
        save(run)
    new = shutil.copytree(two.learner, one.path / "learner.new")
    with pytest.raises(ValueError, match=r"learner\.new belongs to another run"), one.writing():
        pass
    shutil.rmtree(new)
    save(one, tasks=("birds", "cars"))
    one.learner.rename(new)
    assert learned(one) == ["birds", "cars"]  # while the other process is between two renames
    (new / "memory.json").write_text("[]")
    with one.writing():
        assert not new.exists()
    assert learned(one, state="any") == ["birds"]


def test_what_cannot_be_read_is_not_taken_for_damaged(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    for tasks in (("birds",), ("birds", "cars")):
        save(run, tasks=tasks)

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("gift.runs.manifest.checksum", refuse)
    for state in ("last", "any"):
        with pytest.raises(ValueError, match=r"memory\.json cannot be read \(Permission denied\)"):
            learned(run, state=state)
    with pytest.raises(ValueError, match="cannot be read"):
        save(run, tasks=("birds", "cars", "dogs"))
    monkeypatch.undo()
    assert learned(run) == ["birds", "cars"]


def test_inputs_may_not_change_in_a_run_and_are_noted_between_tasks(tmp_path, caplog):
    run = RunFolder(tmp_path)
    run.write_inputs({"model": "1"}, may_change=False)
    run.write_inputs({"model": "2"}, may_change=False)  # nothing was learned yet
    save(run)
    with pytest.raises(ValueError, match=r"inputs\.json: what model names has changed"):
        run.write_inputs({"model": "3"}, may_change=False)
    run.write_inputs({"reference.source": "1"}, may_change=False)
    run.write_inputs({"model": "3"}, may_change=True)
    assert "what model names has changed" in caplog.text
    assert read_json(tmp_path / "inputs.json") == {"model": "3", "reference.source": "1"}
    (tmp_path / "inputs.json").unlink()
    with pytest.raises(ValueError, match=r"inputs\.json is missing"):
        run.write_inputs({"model": "3"}, may_change=False)
    run.write_inputs({"model": "3"}, may_change=True)
    assert "inputs.json is missing. It is written anew." in caplog.text


def test_what_tasks_were_made_of_is_kept(tmp_path):
    run = RunFolder(tmp_path)
    run.add_data("birds", {"place": "a", "images": 3}, only=())
    run.add_data("cars", {"place": "b", "images": 4}, only=["birds"])
    assert run.is_data("birds", {"place": "elsewhere", "images": 3})
    assert not run.is_data("birds", {"place": "a", "images": 5})
    assert not run.is_data("dogs", {})
    run.add_data("dogs", {"place": "c"}, only=["birds"])  # cars were not learned in the end
    assert list(read_json(tmp_path / "data.json")) == ["birds", "dogs"]


@pytest.mark.parametrize(
    "text", [None, b"", b"- a list", b"\xff\xfe", b"a: [", b"a: \x00", b"seed: 1"]
)
def test_a_configuration_that_is_not_as_written_is_refused_or_written_anew(tmp_path, text):
    run, path = RunFolder(tmp_path), tmp_path / "config.yaml"
    save(run, configured(iterations=3))
    whole = path.read_bytes()
    path.write_bytes(text) if text is not None else path.unlink()
    state = r"is missing" if text is None else r"is not as it was written"
    for read in (run.read_config, lambda _: run.write_config(LearnerConfig(method="l2"))):
        with pytest.raises(ValueError, match=rf"config\.yaml {state}.*Put back a copy"):
            read(LearnerConfig)
    run.write_config(configured(iterations=3))
    assert path.read_bytes() == whole
    (tmp_path / "manifest.json").unlink()
    if text and not text.startswith(b"seed"):
        path.write_bytes(text)
        with pytest.raises(ValueError, match=r"config\.yaml"):
            run.read_config(LearnerConfig)


def test_a_learner_of_another_run_or_other_settings_is_refused(tmp_path):
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    for run in (one, two):
        save(run)
    shutil.rmtree(one.learner)
    shutil.copytree(two.learner, one.learner)
    for use in (learned, save):
        with pytest.raises(ValueError, match=r"learner belongs to another run than"):
            use(one)
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(two.learner, copy.learner)
    other = RunFolder(tmp_path / "other")
    save(other, LearnerConfig(method="l2"))
    shutil.copy(other.path / "config.yaml", copy.path)
    with pytest.raises(ValueError, match=r"was made with other settings than .*config\.yaml"):
        learned(copy)
    shutil.copy(two.path / "config.yaml", copy.path)
    copy.write_config(configured())
    assert copy.run_id == two.run_id
    assert learned(copy) == ["birds"]


def test_a_reader_sees_one_state_while_the_learner_is_replaced(tmp_path):
    run = RunFolder(tmp_path)
    save(run)
    seen = []

    def read(folder, _):
        names = read_json(folder / "memory.json")
        if not seen:
            save(run, tasks=("birds", "cars"))
        seen.append(names)
        return names, read_json(folder / "memory.json")

    assert run.read_learner(LearnerConfig, read) == (["birds", "cars"], ["birds", "cars"])
    assert len(seen) == 2


MATRIX = AccuracyMatrix("micro-1", 1, ("a", "b"), (50.0, 60.0), setting={"split": "test"})


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"tasks": 3}', "null", "[" * 10**5])
def test_a_matrix_that_is_none_is_named(tmp_path, text):
    (tmp_path / "matrix.json").write_text(text)
    with pytest.raises(ValueError, match=r"matrix\.json is damaged .*Put back a copy"):
        RunFolder(tmp_path).read_matrix()


def test_a_refused_start_leaves_the_folder_free(tmp_path):
    (tmp_path / "tasks").touch()  # in the place of a folder
    with pytest.raises(ValueError, match=r"tasks is no folder") as kept:
        RunFolder(tmp_path).writing().__enter__()
    (tmp_path / "tasks").unlink()
    with RunFolder(tmp_path).writing():
        assert kept.value


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    RunFolder(tmp_path).write_config(configured())
    (tmp_path / "tasks" / "01-birds").mkdir(parents=True)
    for place in (".matrix.json", "tasks/01-birds/.eval.json"):
        (tmp_path / f"{place}.17-4.tmp").write_text('{"bench')
    with RunFolder(tmp_path).writing():
        assert not [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"]


def test_errors_about_other_places_pass(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"^\[Errno 2\]"),
        RunFolder(tmp_path / "run").writing(),
    ):
        (tmp_path / "data" / "image.png").read_bytes()


ODD = (
    '{"stage": "train", "seconds": "x"}',
    '{"stage": "train", "seconds": NaN}',
    '{"stage": "train", "seconds": 1e999}',
    '{"stage": "train", "seconds": -1}',
    '{"stage": "\\ud800", "seconds": 1}',
    '{"stage": ' + "[" * 5000,
    "[]",
    "",
)


def test_damaged_events_are_counted_and_skipped(tmp_path, caplog):
    run = RunFolder(tmp_path)
    for number in range(3):
        run.log("train", seconds=number)
    content = bytearray((tmp_path / "events.jsonl").read_bytes())
    content[len(content) // 2] = 0xFF
    (tmp_path / "events.jsonl").write_bytes(content + "".join(f"{line}\n" for line in ODD).encode())
    assert run.seconds() == {"total": 2.0, "train": 2.0}
    assert f"{1 + len(ODD)} lines are damaged and skipped" in caplog.text


def test_a_damaged_learner_is_named_and_the_one_before_is_used_on_request(tmp_path, caplog):
    run = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="holds no learner"):
        learned(run)
    for tasks in (("birds",), ("birds", "cars")):
        save(run, tasks=tasks)
    assert learned(run) == ["birds", "cars"]
    assert learned(run, state="previous") == ["birds"]
    (run.learner / "memory.json").write_text("[1, 3]")
    with pytest.raises(ValueError, match=r"memory\.json not as written.*learner of one task bef"):
        learned(run)
    assert learned(run, state="any") == ["birds"]
    assert "memory.json not as written" in caplog.text
    (run.previous_learner / "memory.json").unlink()
    for state in ("last", "any"):
        with pytest.raises(ValueError, match="no whole learner"):
            learned(run, state=state)


@pytest.mark.parametrize("text", ["{", '{"tasks": 3}', None])
def test_an_altered_matrix_is_refused(tmp_path, text):
    run, path = RunFolder(tmp_path), tmp_path / "matrix.json"
    run.write_matrix(MATRIX)
    path.unlink() if text is None else path.write_text(text)
    state = r"is missing" if text is None else r"is not as it was written"
    for read in (run.read_matrix, lambda: read_run(tmp_path)):
        with pytest.raises(ValueError, match=rf"{state}.*Put back a copy .*tasks/\*/eval\.json"):
            read()


def test_the_results_of_another_run_are_refused(tmp_path):
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    for run in (one, two):
        run.write_config(configured())
    two.write_matrix(MATRIX)
    shutil.copy(two.path / "matrix.json", one.path)
    with pytest.raises(ValueError, match=r"matrix\.json does not belong to this run"):
        one.read_matrix()


SUMMARY = Summary(
    method="gift",
    benchmark="micro-1",
    version=1,
    seed=0,
    transfer=None,
    avg=1.0,
    last=1.0,
    forgetting=None,
    backward_transfer=None,
    zero_shot={"mean": 1.0},
    seconds={"total": 1.0},
    storage=Storage(model_bytes=1, method_bytes=2, extra_parameters=3),
    peak_memory_mb=None,
    command=None,
)


def test_the_summary_survives_the_disk_and_an_altered_one_is_refused(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(ValueError, match=r"summary\.json is missing"):
        run.read_summary()
    run.write_summary(SUMMARY)
    run.finish()
    assert run.read_summary() == SUMMARY
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match=r"not as it was written.*remove .*DONE"):
        run.read_summary()


@pytest.mark.parametrize("place", ["matrix.json", "events.jsonl", "learner", "tasks"])
def test_links_and_pipes_in_a_run_folder_are_not_read(tmp_path, place):
    run, outside = RunFolder(tmp_path / "run"), tmp_path / "outside"
    save(run)
    run.write_matrix(MATRIX)
    if (path := run.path / place).exists():
        path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(ValueError, match=rf"{place} is a link"):
        read_run(run.path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match=rf"{place} is a pipe"):
        read_run(run.path)


@pytest.mark.parametrize("place", ["events.jsonl", "tasks", "learner", "tasks/01-a/eval.json"])
def test_links_in_a_run_folder_are_refused(tmp_path, place):
    outside, link = tmp_path / "outside", tmp_path / "run" / place
    outside.write_text("secret\n{")
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with (
        pytest.raises(ValueError, match=rf"{place} is a link"),
        RunFolder(tmp_path / "run").writing(),
    ):
        pass
    assert outside.read_text() == "secret\n{"
    (tmp_path / "new").mkdir()
    (tmp_path / "alias").symlink_to("new")
    with RunFolder(tmp_path / "alias").writing():  # the folder itself may be one
        assert (tmp_path / "new" / "tasks").is_dir()


def test_a_file_in_the_place_of_the_learner_is_refused_before_any_work(tmp_path):
    (tmp_path / "learner").touch()
    with pytest.raises(ValueError, match=r"learner is no folder"), RunFolder(tmp_path).writing():
        pass


def test_a_manifest_names_no_file_elsewhere(tmp_path):
    run = RunFolder(tmp_path / "run")
    save(run)
    (tmp_path / "secret").write_text("x")
    manifest = read_manifest(run.learner)
    for name in ("../../secret", str(tmp_path / "secret"), "/dev/zero"):
        write_manifest(run.learner, manifest.model_copy(update={"files": {name: ("0",)}}))
        assert damage(run.learner) == f"{name} is missing"


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


def test_the_environments_of_all_starts_are_kept(tmp_path, caplog):
    run = RunFolder(tmp_path)
    for device in ("cpu", "cuda", "mps"):
        run.write_environment(device)
    found = read_json(tmp_path / "env.json")
    assert found["device"] == "mps"
    assert "torch" in found["packages"]
    assert [start["device"] for start in found["earlier"]] == ["cpu", "cuda"]
    (tmp_path / "env.json").write_text("{")
    run.write_environment("cpu")
    assert "env.json is damaged" in caplog.text
    assert read_json(tmp_path / "env.json")["earlier"] == []


def test_other_versions_than_at_the_start_before_are_warned_of(tmp_path, caplog):
    run = RunFolder(tmp_path)
    for _ in range(2):
        run.write_environment("cpu")
    assert caplog.text == ""
    found = read_json(tmp_path / "env.json")
    found["packages"]["torch"] = "0.1"
    (tmp_path / "env.json").write_text(json.dumps(found))
    run.write_environment("cpu")
    assert "versions have changed since the start before (torch is '0.1' there and" in caplog.text
