"""What lies in the cache folder."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime
from functools import partial

import numpy as np
import pytest
from filelock import FileLock
from support import write_folder

from gift.cli import main
from gift.data import (
    ImageFiles,
    Paths,
    cache_usage,
    check_images,
    clear_cache,
    load_dataset,
    pixels,
)


def shrunk(image, side):
    return np.asarray(image.resize((side, side)))


def fill(home):
    """Two pixel files, one mark, one set of images, one made data set and one of the user's."""
    photos = write_folder(home.parent / "photos", count=2)
    images = ImageFiles(tuple(sorted(photos.rglob("*.png"))), (0, 0, 1, 1))
    check_images(images, paths=Paths.of(home))
    for side in (4, 8):
        shrink = partial(shrunk, side=side)
        pixels(images, shrink, str(side), Paths.of(home))
    painted = home / "images" / "0123abcd"
    painted.mkdir(parents=True)
    (painted / "set.json").write_text("{}")
    (painted / "000001.png").write_bytes(b"12345")
    (painted / ".lock").touch()
    made = home / "data" / load_dataset("micro-dtd").source.path
    write_folder(made / "train")
    made.with_name(f".{made.name}.lock").touch()
    write_folder(home / "data" / "draw-2" / load_dataset("micro-dtd").source.path / "train")
    (home / "data" / "MNIST").mkdir()
    (home / "data" / "MNIST" / "mine").write_bytes(b"x")
    return painted, made


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def test_everything_is_counted(home):
    painted, _ = fill(home)
    os.utime(painted / "000001.png", (2e9, 1e9))
    kept = {one.kind: one for one in cache_usage(Paths.of(home))}
    assert {kind: one.number for kind, one in kept.items()} == {
        "pixels": 2,
        "checked": 1,
        "images": 1,
        "data": 2,
    }
    assert kept["pixels"].bytes == 4 * 3 * (16 + 64) + 2 * (128 + 32)  # pixels, header and checksum
    assert kept["images"].bytes == 7
    assert kept["images"].last_use == datetime.fromtimestamp(2e9, UTC)
    assert kept["data"].bytes > 8 * 50


def test_an_empty_home_holds_nothing(home):
    assert [(one.number, one.bytes, one.last_use) for one in cache_usage(Paths.of(home))] == [
        (0, 0, None)
    ] * 4
    assert [one.number for one in clear_cache(Paths.of(home), ["pixels", "data"])] == [0, 0]


def test_only_what_is_named_is_deleted(home):
    fill(home)
    (home / "pixels" / ".x.npy.1-2.tmp").write_bytes(b"left by a killed process")
    (cleared,) = clear_cache(Paths.of(home), ["pixels"])
    assert (cleared.kind, cleared.number) == ("pixels", 2)
    assert list((home / "pixels").iterdir()) == []
    assert [one.number for one in cache_usage(Paths.of(home))] == [0, 1, 1, 2]
    assert (
        sum(one.number for one in clear_cache(Paths.of(home), ["checked", "images", "data"])) == 4
    )
    assert [one.number for one in cache_usage(Paths.of(home))] == [0] * 4
    left = [path for path in home.rglob("*") if path.is_file()]
    assert left == [home / "data" / "MNIST" / "mine"]


@pytest.mark.parametrize("kind", ["images", "data", "pixels"])
def test_nothing_is_deleted_while_something_is_made(home, kind):
    painted, made = fill(home)
    lock = {
        "images": painted / ".lock",
        "data": made.with_name(f".{made.name}.lock"),
        "pixels": home / "pixels" / "abc.lock",
    }[kind]
    before = cache_usage(Paths.of(home))
    with (
        FileLock(lock),
        pytest.raises(ValueError, match=r"a process is making something in .*Nothing was deleted"),
    ):
        clear_cache(Paths.of(home), ["checked", kind])
    assert cache_usage(Paths.of(home)) == before
    clear_cache(Paths.of(home), [kind])


def call(*arguments):
    """Run a command; returns its exit status."""
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return exit.value.code or 0


def test_the_commands(home, capsys, monkeypatch):
    fill(home)
    where = ("--home", home)
    assert call("data", "cache", "list", *where) == 0
    shown = capsys.readouterr().out
    assert "synthetic" in shown
    assert str(home) in shown
    clear = ("data", "cache", "clear", "pixels", "checked", *where)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert call(*clear) == 1
    assert "Delete pixels (1.3 kB) and checked (0 bytes) from" in capsys.readouterr().err
    assert call(*clear, "--yes") == 0
    shown = capsys.readouterr().out
    assert "pixels: 2 deleted, 1.3 kB" in shown
    assert call("data", "cache", "clear", "images", *where, "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["freed"] == 7
    assert call("data", "cache", "list", *where, "--json") == 0
    kept = json.loads(capsys.readouterr().out)["kept"]
    assert [one["number"] for one in kept] == [0, 0, 0, 2]
    assert call("data", "cache", "clear", "everything", *where, "--yes") == 1
    assert "unknown kind 'everything'" in capsys.readouterr().err
