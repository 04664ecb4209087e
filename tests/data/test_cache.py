"""The cache directory: decoded pixels, marks of checked images, its contents."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import PIL
import pytest
from filelock import FileLock
from PIL import Image
from support import write_folder

from gift.cli import main
from gift.data import (
    ImageFiles,
    Paths,
    cache,
    cache_usage,
    check_images,
    clear_cache,
    fingerprint_of,
    load_dataset,
    pixels,
)
from gift.data.paths import MADE
from gift.progress import listening

TAG = "CACHEDIR.TAG"


def transform(image):
    return np.asarray(image.resize((4, 4)))


def forbidden(image):
    raise AssertionError("must come from the cache")


@pytest.fixture
def images(tmp_path):
    for i in range(5):
        Image.new("RGB", (6, 6), (i, 0, 40 * i)).save(tmp_path / f"{i}.png")
    return ImageFiles(tuple(tmp_path / f"{i}.png" for i in range(5)), (0,) * 5)


def test_pixels_are_the_transformed_images_and_stay(images, tmp_path):
    seen = []
    cache = tmp_path / "deep/cache"
    with listening(seen.append):
        found = pixels(images, transform, "4", Paths.of(cache))
    assert isinstance(found, np.memmap)
    assert (found.shape, found.dtype) == ((5, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(found, [transform(images[i]) for i in range(5)])
    assert seen[-1][:3] == ("decode", 5, 5)
    np.testing.assert_array_equal(pixels(images, forbidden, "4", Paths.of(cache)), found)
    with pytest.raises(AssertionError, match="cache"):
        pixels(images, forbidden, "other", Paths.of(cache))
    assert {path.suffix for path in (cache / "pixels").iterdir()} == {".npy", ".TAG"}


@pytest.mark.parametrize("keep", [0, 50, 200])
def test_damaged_cache_is_made_again(images, tmp_path, keep):
    cache = tmp_path / "cache"
    good = np.array(pixels(images, transform, "4", Paths.of(cache)))
    (file,) = (cache / "pixels").glob("*.npy")
    file.write_bytes(file.read_bytes()[:keep])
    np.testing.assert_array_equal(pixels(images, transform, "4", Paths.of(cache)), good)


def again(images):
    """The same files, looked at anew."""
    return ImageFiles(images.files, images.labels)


@pytest.mark.parametrize("checked", [False, True])
def test_an_image_that_was_written_over_is_noticed(images, tmp_path, checked):
    """With the size and time that it had."""
    paths, file = Paths.of(tmp_path), images.files[0]
    Image.new("RGB", (6, 6)).save(file, "BMP")  # which is not packed
    before = file.stat()
    if checked:
        check_images(images, paths=paths)
    pixels(images, transform, "4", paths)
    Image.new("RGB", (6, 6), (9, 0, 0)).save(file, "BMP")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert pixels(again(images), transform, "4", paths)[0, 0, 0, 0] == 9


@pytest.mark.parametrize("checked", [False, True])
def test_two_data_sets_with_equal_names_sizes_and_times_are_not_mixed(tmp_path, checked):
    paths, found = Paths.of(tmp_path / "cache"), []
    for shade in (3, 7):
        file = tmp_path / str(shade) / "0.png"
        file.parent.mkdir()
        Image.new("RGB", (6, 6), (shade, 0, 0)).save(file, "BMP")
        os.utime(file, (1, 1))
        images = ImageFiles((file,), (0,))
        if checked:
            check_images(images, paths=paths)
        found.append(int(pixels(images, transform, "4", paths)[0, 0, 0, 0]))
    assert found == [3, 7]


def test_a_copy_and_a_new_time_are_the_same_images(images, tmp_path):
    paths = Paths.of(tmp_path / "cache")
    pixels(images, transform, "4", paths)
    copies = [shutil.copy(path, tmp_path / f"copy{path.name}") for path in images.files]
    pixels(ImageFiles(tuple(map(Path, copies)), images.labels), forbidden, "4", paths)
    os.utime(images.files[0], (1, 1))
    pixels(again(images), forbidden, "4", paths)


def test_images_that_were_checked_are_not_read_to_know_them(images, tmp_path, monkeypatch):
    paths = Paths.of(tmp_path / "cache")
    check_images(images, paths=paths)
    known = fingerprint_of(images, paths)
    monkeypatch.setattr("gift.data.images.checksum", None)
    assert fingerprint_of(again(images), paths) == known
    for mark in (tmp_path / "cache" / "checked").glob("*.checked"):
        mark.write_text("damaged")
    monkeypatch.undo()
    assert fingerprint_of(again(images), paths) == known


def test_the_name_holds_all_that_decides_the_content(images, tmp_path, monkeypatch):
    """A new file for other images, transforms and versions, not for other labels and times."""
    where = tmp_path / "cache"

    def files(found=images, key="4"):
        pixels(found, transform, key, Paths.of(where))
        return len(list((where / "pixels").glob("*.npy")))

    assert files() == 1
    assert files(images.relabelled((1,) * 5)) == 1
    assert files(images.select([1, 0])) == 2
    assert files(key="5") == 3
    Image.new("RGB", (600, 600)).save(images.files[0])
    assert files(images.select(range(5))) == 4
    monkeypatch.setattr(cache, "_VERSION", 0)
    assert files(images.select(range(5))) == 5
    monkeypatch.setattr(PIL, "__version__", "0")
    assert files(images.select(range(5))) == 6


BUILD = """
import sys, time
from pathlib import Path
import numpy as np
from gift.data import ImageFiles, Paths, pixels

folder, me, other = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
files = tuple(sorted(folder.glob("*.png")))
decoded = []

def slow(image):
    time.sleep(0.3)
    decoded.append(image)
    return np.asarray(image.resize((4, 4)))

(folder / me).touch()
while not (folder / other).exists():
    time.sleep(0.01)
found = pixels(ImageFiles(files, (0,) * len(files)), slow, "4", Paths.of(folder / "cache"))
print(len(decoded), found.sum())
"""


def test_of_two_processes_one_builds_and_the_other_waits(images, tmp_path):
    processes = [
        subprocess.Popen([sys.executable, "-c", BUILD, tmp_path, *names], stdout=subprocess.PIPE)
        for names in (("a", "b"), ("b", "a"))
    ]
    printed = sorted(process.communicate(timeout=60)[0].split() for process in processes)
    assert [int(decoded) for decoded, _ in printed] == [0, 5]
    assert printed[0][1] == printed[1][1]
    made = {path.suffix for path in (tmp_path / "cache" / "pixels").iterdir()}
    assert made == {".npy", ".TAG"}


def test_unreadable_image_leaves_nothing_behind(images, tmp_path):
    images.files[3].write_bytes(b"no image")
    with pytest.raises(OSError, match=r"3\.png cannot be read"):
        pixels(images, transform, "4", Paths.of(tmp_path / "cache"))
    assert [path.name for path in (tmp_path / "cache" / "pixels").iterdir()] == [TAG]


def test_unwritable_cache_says_what_to_do(images, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(OSError, match="GIFT_HOME"):
        pixels(images, transform, "4", Paths.of(tmp_path / "cache"))
    with pytest.raises(OSError, match="GIFT_HOME"):
        check_images(images, paths=Paths.of(tmp_path / "cache"))


def test_full_disk_says_what_to_do(images, tmp_path, monkeypatch):
    def full(file, header):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(OSError, match=r"No space left on device.*free some space"):
        pixels(images, transform, "4", Paths.of(tmp_path / "cache"))
    assert [path.name for path in (tmp_path / "cache" / "pixels").iterdir()] == [TAG]


def test_default_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("GIFT_HOME", str(tmp_path))
    assert Paths.of().cache == tmp_path
    monkeypatch.delenv("GIFT_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Paths.of().cache == tmp_path / "gift"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert Paths.of().cache == Path.home() / ".cache/gift"


def test_check_names_all_unreadable_images_at_once(images, tmp_path):
    for i in (1, 4):
        images.files[i].write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"(?s)^2 unreadable.*1\.png.*4\.png") as caught:
        check_images(images, paths=Paths.of(tmp_path / "cache"))
    assert "more" not in str(caught.value)
    many = images.select([1] * 30)
    with pytest.raises(ValueError, match=r"(?s)^30 unreadable.*and 10 more$"):
        check_images(many, paths=Paths.of(tmp_path / "cache"))


def test_check_is_remembered(images, tmp_path):
    seen = []
    for _ in range(2):
        with listening(seen.append):
            check_images(images, paths=Paths.of(tmp_path / "c"))
    assert [now[:3] for now in seen] == [("check", 5, 5)]


# What lies in the cache folder


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
    synthetic = cache.tagged(home / "images") / "0123456789abcdef"
    synthetic.mkdir()
    (synthetic / "set.json").write_text("{}")
    (synthetic / "000001.png").write_bytes(b"12345")
    (synthetic / ".lock").touch()
    made = home / "data" / load_dataset("micro-dtd").source.path
    write_folder(made / "train")
    (made / MADE).touch()
    made.with_name(f".{made.name}.lock").touch()
    other = home / "data" / "draw-2" / load_dataset("micro-dtd").source.path
    write_folder(other / "train")
    (other / MADE).touch()
    (home / "data" / "MNIST").mkdir()
    (home / "data" / "MNIST" / "mine").write_bytes(b"x")
    return synthetic, made


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def test_everything_is_counted(home):
    synthetic, _ = fill(home)
    os.utime(synthetic / "000001.png", (2e9, 1e9))
    usage = {one.kind: one for one in cache_usage(Paths.of(home))}
    assert {kind: one.number for kind, one in usage.items()} == {
        "pixels": 2,
        "checked": 1,
        "images": 1,
        "data": 2,
    }
    assert usage["pixels"].bytes == 4 * 3 * (16 + 64) + 2 * (128 + 32)  # with header and checksum
    assert usage["checked"].bytes == 64
    assert usage["images"].bytes == 7
    assert usage["images"].last_use == datetime.fromtimestamp(2e9, UTC)
    assert usage["data"].bytes > 8 * 50


def test_an_empty_directory_holds_nothing(home):
    assert [(one.number, one.bytes, one.last_use) for one in cache_usage(Paths.of(home))] == [
        (0, 0, None)
    ] * 4
    assert [one.number for one in clear_cache(Paths.of(home), ["pixels", "data"])] == [0, 0]


def test_only_what_is_named_is_deleted(home):
    fill(home)
    (home / "pixels" / f".{'0' * 32}.npy.1-2.tmp").write_bytes(b"left by a killed process")
    (cleared,) = clear_cache(Paths.of(home), ["pixels"])
    assert (cleared.kind, cleared.number) == ("pixels", 2)
    assert [path.name for path in (home / "pixels").iterdir()] == [TAG]
    assert [one.number for one in cache_usage(Paths.of(home))] == [0, 1, 1, 2]
    assert (
        sum(one.number for one in clear_cache(Paths.of(home), ["checked", "images", "data"])) == 4
    )
    assert [one.number for one in cache_usage(Paths.of(home))] == [0] * 4
    left = [path for path in home.rglob("*") if path.is_file() and path.name != TAG]
    assert left == [home / "data" / "MNIST" / "mine"]


def test_what_is_not_ours_is_never_deleted(home):
    """A cache directory that is the user's own folder, with images and data of the user's."""
    mine = home / "images" / "holiday" / "1.png"
    made = home / "data" / load_dataset("micro-dtd").source.path / "train" / "1.png"
    for path in (mine, made):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"mine")
    cache.tagged(home / "images")
    for kinds in (["images"], ["checked", "images"]):
        with pytest.raises(ValueError, match=r"images has no CACHEDIR\.TAG.*Nothing was deleted"):
            clear_cache(Paths.of(home), kinds)
    assert [one.number for one in clear_cache(Paths.of(home), ["data", "pixels"])] == [0, 0]
    (home / "images" / TAG).write_text("by the user")
    assert [one.number for one in clear_cache(Paths.of(home), ["images"])] == [0]
    assert mine.read_bytes() == made.read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["images", "data", "pixels"])
def test_nothing_is_deleted_while_something_is_made(home, kind):
    synthetic, made = fill(home)
    lock = {
        "images": synthetic / ".lock",
        "data": made.with_name(f".{made.name}.lock"),
        "pixels": home / "pixels" / f"{'0' * 32}.lock",
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
    assert "Delete pixels (1.3 kB) and checked (64 bytes) from" in capsys.readouterr().err
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
