from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from gift.data.finding import image_files, listed_paths


@pytest.fixture
def mess(tmp_path):
    for name in ("b.png", "a.JPG", "sub/ünï/c.webp", "sub/d", ".hidden/e.png", "@eaDir/f.png"):
        (tmp_path / "mess" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / "mess" / name, "png")
    (tmp_path / "mess" / "notes.txt").touch()
    (tmp_path / "mess" / "Thumbs.db").touch()
    (tmp_path / "mess" / "broken.png").touch()
    os.symlink("../mess", tmp_path / "mess" / "around")
    os.symlink(tmp_path / "mess" / "b.png", tmp_path / "mess" / "link.png")
    return tmp_path / "mess"


INSIDE = ["a.JPG", "b.png", "broken.png", "link.png", "sub/d", "sub/ünï/c.webp"]


def test_folders_are_looked_through_in_order(mess, caplog):
    assert [path.relative_to(mess).as_posix() for path in image_files([mess])] == INSIDE
    assert "skipped what is no image: notes.txt: not the suffix of an image" in caplog.text


def test_each_image_comes_once_and_named_files_need_not_be_there(mess):
    first = [mess / "notes.txt", mess / "missing.png", mess / "b.png"]
    found = image_files([*first, mess, mess / "sub"])
    assert found[:3] == first
    rest = [mess / name for name in INSIDE if name != "b.png"]
    assert found[3:] == rest


def test_folders_without_an_image_are_all_named(mess, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with pytest.raises(ValueError, match=r"(?s)no images in .*one, .*two or below"):
        image_files([tmp_path / "one", mess, tmp_path / "two"])


def test_a_link_to_a_folder_that_is_named_is_followed(mess, tmp_path):
    os.symlink("mess", tmp_path / "photos")
    assert len(image_files([tmp_path / "photos"])) == len(INSIDE)


@pytest.mark.parametrize(
    "content",
    [
        b"a.jpg\nb c.jpg\n",
        b"\xef\xbb\xbfa.jpg\r\n\r\n  b c.jpg\t\r\n",
        b"a.jpg\0b c.jpg\0",
    ],
)
def test_lists_of_every_editor(content):
    assert listed_paths(content, "x") == [Path("a.jpg"), Path("b c.jpg")]


def test_lists_hold_any_name():
    (path,) = listed_paths(b"caf\xe9 \n.jpg\0", "x")
    assert os.fsencode(path) == b"caf\xe9 \n.jpg"
    assert listed_paths(b"~/x.jpg", "x") == [Path.home() / "x.jpg"]


@pytest.mark.parametrize("content", [b"", b"\n \n", "a.jpg".encode("utf-16")])
def test_a_list_of_nothing_is_refused(content):
    with pytest.raises(ValueError, match=r"the list (names no file|is not UTF-8 text)"):
        listed_paths(content, "the list")
