"""Files that others made: images, tables of images, lists of numbers and links do no harm."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import datasets
import numpy as np
import pytest
from official import miniature
from PIL import Image, PngImagePlugin
from scipy.io import savemat
from support import memory_below, write_folder

from gift.cli import main
from gift.data import (
    DatasetEntry,
    ImageFiles,
    Paths,
    Task,
    check_dataset,
    check_images,
    clear_cache,
    load_benchmark,
    open_task,
)
from gift.data.cache import tagged
from gift.data.readers import load_mat, mnist
from gift.synthesis import SyntheticSet

# Lists of numbers


def idx(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("train-images-idx3-ubyte", idx(2**31, 28, 28)),
        ("train-images-idx3-ubyte", idx(2**32 - 1, 2**32 - 1, 2**32 - 1) + b"0" * 784),
        ("train-images-idx3-ubyte", idx(2**31, 2**31, 4)),
        ("t10k-labels-idx1-ubyte", idx(2**31) + b"0"),
        ("train-images-idx3-ubyte", idx(1, 28)[:7]),
        ("train-images-idx3-ubyte", b""),
    ],
)
def test_an_idx_file_holds_what_it_says(file, content, tmp_path):
    _, made = miniature("mnist", tmp_path)
    (made.root / file).write_bytes(content)
    refused = pytest.raises(ValueError, match=r"belong in it|is no unpacked idx file")
    with memory_below(10e6), refused:
        mnist.read(made.root, ())


@pytest.mark.parametrize("damage", ["cut off", "too large", "other variables", "no MAT file"])
def test_a_mat_file_is_small_and_whole_or_refused(damage, tmp_path):
    path = tmp_path / "x.mat"
    savemat(path, {"x" if damage == "other variables" else "labels": np.arange(5)})
    content = path.read_bytes()
    if damage == "cut off":
        path.write_bytes(content[:-8])
    elif damage == "too large":
        path.write_bytes(content + bytes(2**21))
    elif damage == "no MAT file":
        path.write_bytes(b"<html>" * 100)
    with pytest.raises(ValueError, match=r"x\.mat (cannot be read|has no variable 'labels')"):
        load_mat(path, "labels")


def mat_element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def mat_cells(count: int, content: bytes = b"") -> bytes:
    """An array of cells that is said to have so many of them."""
    flags, shape = struct.pack("<II", 1, 0), struct.pack("<ii", 1, count)
    parts = mat_element(6, flags) + mat_element(5, shape) + mat_element(1, b"labels")
    return mat_element(14, parts + content)


def nested_cells(levels: int) -> bytes:
    content = b""
    for _ in range(levels):
        content = mat_cells(1, content)
    return content


MATRICES = {
    "a packed gigabyte": (
        mat_element(15, zlib.compress(bytes(2**27))),
        "unpacked it is larger than 16 MiB",
    ),
    "a cell array without cells": (mat_cells(2**28), "268435456 values is said to be in"),
    "packed": (mat_element(15, zlib.compress(mat_cells(2**28))), "values is said to be in"),
    "nested": (nested_cells(200), "nested more than 20 levels"),
}


@pytest.mark.parametrize("case", MATRICES)
def test_a_mat_file_takes_no_more_memory_than_it_should(case, tmp_path):
    content, message = MATRICES[case]
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM"
    (tmp_path / "x.mat").write_bytes(header + content)
    with memory_below(60e6), pytest.raises(ValueError, match=rf"x\.mat cannot be read .*{message}"):
        load_mat(tmp_path / "x.mat", "labels")


def test_an_ordinary_packed_mat_file_is_read(tmp_path):
    savemat(tmp_path / "x.mat", {"labels": np.arange(5)}, do_compression=True)
    assert load_mat(tmp_path / "x.mat", "labels")[0].tolist() == [0, 1, 2, 3, 4]


# Class lists


@pytest.mark.parametrize("names", ["../../etc/passwd", "/etc/passwd", "../other.txt", "link.txt"])
@pytest.mark.parametrize("key", ["base_classnames", "classnames", "labels"])
def test_a_benchmark_shows_no_file_from_elsewhere(names, key, tmp_path):
    (tmp_path / "other.txt").write_text("secret\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "link.txt").symlink_to(tmp_path / "other.txt")
    entry = {"name": "t", "source": {"path": "t"}, "classnames": ["a"]}
    whole = {"name": "b", "tasks": [entry]}
    (whole if key == "base_classnames" else entry)[key] = names
    (tmp_path / "b" / "b.yaml").write_text(json.dumps(whole))
    with pytest.raises(ValueError, match=rf"{key} = '{names}' is no \.txt file in .*beside the"):
        load_benchmark(str(tmp_path / "b" / "b.yaml"))


# Images


def png(width: int, height: int, *chunks: tuple[bytes, bytes], data: bytes = b"") -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    middle = b"".join(chunk(name, content) for name, content in chunks)
    end = chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + middle + end


TEXT = b"Comment\0\0" + zlib.compress(b"A" * 2**27)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
LIMIT = Image.MAX_IMAGE_PIXELS
IMAGES = {
    "more than twice the limit": (png(20_000, 20_000), "at most .* pixels are decoded"),
    "just above the limit": (png(9_500, 9_500), "at most .* pixels are decoded; make it smaller"),
    "2^31 wide": (png(2**31 - 1, 2**31 - 1), "at most .* pixels are decoded"),
    "a huge text chunk": (png(8, 8, (b"zTXt", TEXT), data=bytes(200)), "too large"),
    "a huge colour profile": (png(8, 8, (b"iCCP", b"x\0\0" + zlib.compress(bytes(2**27)))), ""),
    "truncated": (png(64, 64, data=bytes(100)), "truncated|not enough"),
    "a program for another program": (EPS, "it is none of JPEG, PNG"),
    "empty": (b"", "it is none of JPEG, PNG"),
}


@pytest.mark.filterwarnings(
    # Pillow says so before it is refused here: https://pillow.readthedocs.io/en/stable/reference/
    "ignore:Image size:PIL.Image.DecompressionBombWarning"
)
@pytest.mark.parametrize("case", IMAGES)
def test_an_image_is_small_enough_and_whole_or_refused(case, tmp_path):
    content, message = IMAGES[case]
    path = tmp_path / "x.png"
    path.write_bytes(content)
    refused = pytest.raises(OSError, match=rf"x\.png cannot be read as an image \(.*{message}")
    with memory_below(20e6), refused as error:
        ImageFiles((path,), (0,))[0]
    assert "\n" not in str(error.value)


def test_a_bomb_is_an_error_where_warnings_are_errors_too(tmp_path):
    (tmp_path / "x.png").write_bytes(png(9_500, 9_500))
    with pytest.raises(OSError, match=r"at most .* pixels are decoded"):
        ImageFiles((tmp_path / "x.png",), (0,))[0]


def test_the_limit_is_pillows_own(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    Image.new("RGB", (20, 20)).save(path)
    assert ImageFiles((path,), (0,))[0].size == (20, 20)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    assert ImageFiles((path,), (0,))[0].size == (20, 20)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert ImageFiles((path,), (0,))[0].size == (20, 20)


def test_text_of_ordinary_length_is_no_harm(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 1000, zip=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png", pnginfo=info)
    assert ImageFiles((tmp_path / "x.png",), (0,))[0].size == (4, 4)


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_bombs_are_found_before_anything_is_learned(tmp_path):
    folder = write_folder(tmp_path / "t", count=2)
    (folder / "red" / "bomb.png").write_bytes(png(9_500, 9_500))
    with pytest.raises(ValueError, match=r"1 unreadable images:\n.*bomb\.png"):
        check_images(Task.from_folder(folder).train, paths=Paths.of(tmp_path))


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_a_painted_set_that_was_copied_from_others_is_no_bomb(tmp_path):
    (tmp_path / "000001.png").write_bytes(png(9_500, 9_500))
    with pytest.raises(OSError, match=r"000001\.png cannot be read .* at most .* pixels"):
        SyntheticSet((tmp_path / "000001.png",), ("x",))[0]


# Tables of images


def table_entry(folder: Path, *parts: str) -> DatasetEntry:
    hub = {"id": str(folder), "parts": {part: (part,) for part in parts or ("train",)}}
    return DatasetEntry.model_validate({"name": "t", "classnames": ["a"], "hub": hub})


def write_table(folder: Path, image: dict[str, object]) -> Path:
    folder.mkdir()
    column = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({"image": column, "label": datasets.Value("string")})
    rows = datasets.Dataset.from_dict({"image": [image], "label": ["a"]}, features=features)
    rows.to_parquet(folder / "train-00000-of-00001.parquet")
    return folder


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.mark.usefixtures("own_cache")
@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_a_row_holds_its_image_and_names_no_file(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    for number, image in enumerate(
        (
            {"bytes": None, "path": str(tmp_path / "secret.png")},
            {"bytes": b"", "path": "../secret.png"},
            {"bytes": png(9_500, 9_500), "path": None},
        )
    ):
        folder = write_table(tmp_path / f"copy{number}", image)
        task = open_task(table_entry(folder), Paths.of(data=tmp_path))
        with pytest.raises(OSError, match=r"row 0 of .*copy\d, train cannot be read as an image"):
            task.train[0]


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("suffix", ["csv", "json", "txt", "tar", "zip", "png", "pkl"])
def test_only_tables_of_images_are_read(suffix, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / f"train.{suffix}").write_bytes(b"image,label\n/etc/passwd,a\n")
    with pytest.raises(OSError, match=r"t: .*copy cannot be loaded"):
        open_task(table_entry(tmp_path / "copy"), Paths.of(data=tmp_path))


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("keep", [slice(None, 40), slice(None, -8), slice(4, None)])
def test_a_damaged_table_is_refused(keep, tmp_path):
    folder = write_table(tmp_path / "copy", {"bytes": b"x" * 100, "path": None})
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[keep])
    with pytest.raises(OSError, match=r"t: .*copy cannot be loaded"):
        open_task(table_entry(folder), Paths.of(data=tmp_path))


@pytest.mark.usefixtures("own_cache")
def test_a_table_whose_footer_is_larger_than_the_file_is_refused(tmp_path):
    folder = write_table(tmp_path / "copy", {"bytes": b"x" * 100, "path": None})
    (file,) = folder.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1")
    with pytest.raises(OSError, match=r"t: .*copy cannot be loaded"):
        open_task(table_entry(folder), Paths.of(data=tmp_path))


# Links


@pytest.fixture
def outside(tmp_path) -> Path:
    return write_folder(tmp_path / "outside", ("secret",), count=1)


def test_links_out_of_a_task_folder_are_refused_or_followed_on_request(tmp_path, outside):
    secret = outside / "secret"
    for name, place, target in (
        ("image", "red/x.png", secret / "0.png"),
        ("class", "green", secret),
        ("relative", "red/y.png", Path("../../outside/secret/0.png")),
        ("part", "train", outside),
    ):
        folder = tmp_path / name
        if name != "part":
            write_folder(folder, ("red", "blue"), count=1)
        folder.mkdir(exist_ok=True)
        (folder / place).symlink_to(target)
        with pytest.raises(ValueError, match=rf"{place} is a link to .*outside.*--follow-links"):
            Task.from_folder(folder)
        assert len(Task.from_folder(folder, follow_links=True).train) == (
            1 if name == "part" else 3
        )
    chain = write_folder(tmp_path / "chain", ("red",), count=1)
    (chain / "red" / "a.png").symlink_to(chain / "red" / "b.png")
    (chain / "red" / "b.png").symlink_to(secret / "0.png")
    with pytest.raises(ValueError, match=r"is a link to .*outside"):
        Task.from_folder(chain)


def test_links_inside_and_the_folder_itself_as_a_link_are_fine(tmp_path):
    folder = write_folder(tmp_path / "t", ("red",), count=1)
    (folder / "red" / "again.png").symlink_to("0.png")
    (folder / "rouge").symlink_to("red")
    (folder / "red" / "broken.png").symlink_to("nowhere.png")
    (tmp_path / "link").symlink_to(folder)
    assert len(Task.from_folder(tmp_path / "link").train) == 4
    beside = tmp_path / "t-and-more"  # begins like the folder's name, but is another one
    write_folder(beside, ("red",), count=1)
    (folder / "red" / "beside.png").symlink_to(beside / "red" / "0.png")
    with pytest.raises(ValueError, match="out of"):
        Task.from_folder(tmp_path / "link")


def test_data_roots_may_be_made_of_links(tmp_path, outside):
    (tmp_path / "root" / "own").mkdir(parents=True)
    (tmp_path / "root" / "own" / "train").symlink_to(outside)
    entry = DatasetEntry.model_validate({"name": "own", "source": {"path": "own"}})
    assert check_dataset(entry, Paths.of(data=tmp_path / "root")).images == {"train": 1}


@pytest.mark.parametrize("command", ["learn", "eval"])
def test_the_command_line_follows_links_on_request(command, tmp_path, outside, capsys):
    folder = write_folder(tmp_path / "t", count=1)
    (folder / "link").symlink_to(outside / "secret")
    for options, message in (([], "is a link to"), (["--follow-links"], "no learner|model")):
        with pytest.raises(SystemExit) as end:
            main([command, str(tmp_path / "x"), "--task", str(folder), *options])
        assert end.value.code == 1
        error = capsys.readouterr().err
        assert any(word in error for word in message.split("|"))
        assert ("is a link" in error) == (not options)


def test_the_cache_is_cleared_without_following_links(tmp_path, outside):
    link = tagged(tmp_path / "home" / "images") / "0123456789abcdef"
    link.symlink_to(outside)
    clear_cache(Paths.of(tmp_path / "home"), ["images"])
    assert (outside / "secret" / "0.png").is_file()
    assert not link.exists()
