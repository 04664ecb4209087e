"""Saved states: swapped in whole, checked against their manifest, and kept apart by run."""

from __future__ import annotations

import json
import os
import stat

import pytest
import torch
from safetensors.torch import save_file

from gift.files import write_text
from gift.runs.manifest import (
    Manifest,
    damage,
    read_manifest,
    read_member,
    recover,
    replacing,
    write_manifest,
    write_member,
)

OWN = Manifest(run="a", settings="b", method="gift", tasks=("birds",))


class Stop(Exception):
    """What ends the process in a test."""


def write_folder(folder, text, previous=None, stop=False):
    with replacing(folder, OWN, previous=previous) as new:
        write_text(new / "part" / "state", text)
        if stop:
            raise Stop


def state(folder):
    return (folder / "part" / "state").read_text()


def test_a_whole_folder_is_swapped_in(tmp_path):
    folder = tmp_path / "learner"
    for text in ("one", "two"):
        write_folder(folder, text)
    assert state(folder) == "two"
    assert damage(folder) is None
    assert os.listdir(tmp_path) == ["learner"]
    manifest = read_manifest(folder)
    assert not manifest.foreign(OWN)
    assert list(manifest.files) == ["part/state"]


def test_the_folder_before_is_kept_on_request(tmp_path):
    folder, previous = tmp_path / "learner", tmp_path / "learner.previous"
    for text in ("one", "two", "three"):
        write_folder(folder, text, previous)
    assert (state(folder), state(previous)) == ("three", "two")
    assert damage(previous) is None
    assert sorted(os.listdir(tmp_path)) == ["learner", "learner.previous"]


def test_a_failure_keeps_the_old_folder(tmp_path):
    folder = tmp_path / "learner"
    write_folder(folder, "one")
    with pytest.raises(Stop):
        write_folder(folder, "half", stop=True)
    recover(folder)
    assert state(folder) == "one"
    assert os.listdir(tmp_path) == ["learner"]


def test_what_safetensors_met_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "learner", OWN) as new:
        save_file({"a": torch.zeros(2)}, new / "missing" / "a.safetensors")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("killed", ["before", "between"])
def test_recover_finishes_an_interrupted_swap(tmp_path, killed):
    """Killed when the new folder is whole: before, or between the two renames."""
    folder, new, previous = (tmp_path / f"learner{suffix}" for suffix in ("", ".new", ".previous"))
    write_folder(folder if killed == "before" else previous, "one")
    write_folder(new, "two")
    recover(folder, previous)
    assert (state(folder), state(previous)) == ("two", "one")
    assert sorted(os.listdir(tmp_path)) == ["learner", "learner.previous"]


def test_damage_names_the_file(tmp_path):
    folder = tmp_path / "learner"
    assert damage(folder) == "the folder is missing"
    write_folder(folder, "one")
    (folder / "more").write_text("a file that somebody put beside")
    assert damage(folder) is None
    (folder / "part" / "state").write_text("two")
    assert "part/state not as written" in damage(folder)
    (folder / "part" / "state").unlink()
    assert damage(folder) == "part/state is missing"
    (folder / "part" / "state").symlink_to(folder / "more")
    assert "part/state is a link" in damage(folder)
    (folder / "part" / "state").unlink()
    (folder / "manifest.json").write_text("[")
    assert "manifest.json is damaged" in damage(folder)
    (folder / "manifest.json").unlink()
    assert damage(folder) == "manifest.json is missing"


def test_others_can_read_a_saved_state(tmp_path):
    with replacing(tmp_path / "learner", OWN) as new:
        write_text(new / "state", "one")
        (new / "state").chmod(0o600)
    assert stat.S_IMODE((tmp_path / "learner" / "state").stat().st_mode) & 0o044 == 0o044


def test_a_manifest_names_in_what_a_state_is_foreign():
    other = Manifest(run="a", settings="c", method="lwf", tasks=("birds",))
    assert other.foreign(OWN) == ["settings", "method"]


def test_a_member_is_written_and_checked(tmp_path):
    assert read_member(tmp_path, "a.json") is None
    write_member(tmp_path, OWN, "a.json", "é")
    write_member(tmp_path, read_manifest(tmp_path), "b.json", "b")
    assert read_member(tmp_path, "a.json") == "é".encode()
    (tmp_path / "a.json").write_text("e")
    with pytest.raises(ValueError, match=r"a\.json is not as it was written"):
        read_member(tmp_path, "a.json")
    (tmp_path / "a.json").unlink()
    with pytest.raises(ValueError, match=r"a\.json is missing"):
        read_member(tmp_path, "a.json")
    (tmp_path / "c.json").write_text("of another run")
    with pytest.raises(ValueError, match=r"c\.json does not belong to this run"):
        read_member(tmp_path, "c.json")


@pytest.mark.parametrize("before", ["old", None])
@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_crash_at_any_write_leaves_a_valid_file(tmp_path, monkeypatch, before, failing):
    """The manifest that accepts both, the file, the manifest that accepts the new one."""
    write_manifest(tmp_path, OWN)
    if before:
        write_member(tmp_path, OWN, "a.json", before)
    renames, replace = [], os.replace

    def crash(*paths):
        renames.append(paths)
        if len(renames) == failing:
            raise Stop
        replace(*paths)

    manifest = read_manifest(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(Stop):
            write_member(tmp_path, manifest, "a.json", "new")
    found = read_member(tmp_path, "a.json")
    assert found == (b"new" if failing == 3 else before and before.encode())
    write_member(tmp_path, read_manifest(tmp_path), "a.json", "newer")
    assert read_member(tmp_path, "a.json") == b"newer"
    (tmp_path / "a.json").write_text("new")
    with pytest.raises(ValueError, match="not as it was written"):
        read_member(tmp_path, "a.json")


def test_a_folder_without_a_manifest_is_taken_as_it_is(tmp_path):
    (tmp_path / "a.json").write_text("a")
    assert read_member(tmp_path, "a.json") == b"a"


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"format": 2}), '{"other": 1}'])
def test_a_manifest_that_is_none_is_named(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json is damaged or of a newer version"):
        read_manifest(tmp_path)
