import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from gift.files import (
    Unwritable,
    read_json,
    refuse_special,
    replacing_file,
    write_json,
    write_text,
    writing_to,
)


def test_text_and_json_come_back(tmp_path):
    write_text(tmp_path / "new/folder/a.txt", "über\n")
    assert (tmp_path / "new/folder/a.txt").read_bytes() == "über\n".encode()
    value = {"a": [1, 2.5, None], "name": "é"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_text(encoding="utf-8").endswith("}\n")


def test_an_existing_file_is_replaced(tmp_path):
    write_text(tmp_path / "a", "a much longer first text")
    write_text(tmp_path / "a", "second")
    assert (tmp_path / "a").read_text() == "second"
    assert os.listdir(tmp_path) == ["a"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    write_text(tmp_path / "a", "old")
    with replacing_file(tmp_path / "a") as file:
        file.write(b"new")
        file.flush()
        assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("before", ["old", None])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, before):
    if before:
        write_text(tmp_path / "a", before)
    with pytest.raises(TypeError), replacing_file(tmp_path / "a") as file:
        file.writelines([b"half", None])
    assert [path.read_text() for path in tmp_path.iterdir()] == ([before] if before else [])


def test_a_failed_rename_leaves_nothing_behind(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_text(tmp_path / "a", "text")
    assert os.listdir(tmp_path) == ["a"]


def test_values_that_are_no_json_leave_the_old_file(tmp_path):
    write_json(tmp_path / "a", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a", {"x": object()})
    assert read_json(tmp_path / "a") == 1


def test_files_have_ordinary_permissions(tmp_path):
    (tmp_path / "plain").touch()
    write_text(tmp_path / "a", "")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "a")}
    assert len(modes) == 1


def test_threads_that_write_one_file_do_not_mix(tmp_path):
    both = threading.Barrier(2)

    def write(text):
        with replacing_file(tmp_path / "a") as file:
            both.wait()
            file.write(text)
            both.wait()

    texts = [b"1" * 1000, b"2" * 2000]
    threads = [threading.Thread(target=write, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() in texts
    assert os.listdir(tmp_path) == ["a"]


def test_writing_to_makes_the_folder_and_passes_other_errors_on(tmp_path):
    with writing_to(tmp_path / "a/b", "the box", "buy another"):
        assert (tmp_path / "a/b").is_dir()
    for error in (OSError("x.png cannot be read"), ValueError("no")):
        with (
            pytest.raises(type(error), match=f"^{error}$"),
            writing_to(tmp_path, "the box", "buy another"),
        ):
            raise error


def test_writing_to_says_what_to_do(tmp_path):
    with (
        pytest.raises(OSError, match=r"the box .* cannot be written \(No space") as caught,
        writing_to(tmp_path, "the box", "buy another"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value).endswith("; buy another")
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=r"file cannot be written .*; buy another$"),
        writing_to(tmp_path / "file", "the box", "buy another"),
    ):
        pass


def test_a_file_that_is_no_json_is_named(tmp_path):
    for content in (b"{", b"\xff", b""):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.json is damaged, it is no JSON"):
            read_json(tmp_path / "a.json")


def test_writing_to_names_what_is_inside_and_leaves_others_alone(tmp_path, monkeypatch):
    """Also where one path is given from the current folder and the other is not."""
    monkeypatch.chdir(tmp_path)

    def failing(name):
        with writing_to(Path("box"), "the box", "buy another"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)

    with pytest.raises(Unwritable, match=r"^the box box .* \(Read-only file system at a/b\); buy"):
        failing(str(tmp_path / "box" / "a" / "b"))
    with pytest.raises(OSError, match=r"^\[Errno 30\]"):
        failing(str(tmp_path / "other"))
    inner = Unwritable(errno.ENOSPC, "the lid is full; buy another lid")
    with pytest.raises(Unwritable, match="the lid is full"), writing_to(Path("box"), "", ""):
        raise inner


def test_json_that_is_nested_too_deeply_is_named(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"a\.json is damaged, it is no JSON"):
        read_json(tmp_path / "a.json")


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path):
    (tmp_path / "outside").write_text("secret")
    temporary = tmp_path / f".a.{os.getpid()}-{threading.get_ident()}.tmp"
    temporary.symlink_to(tmp_path / "outside")
    write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text() == "text"
    assert (tmp_path / "outside").read_text() == "secret"


def test_links_pipes_and_the_like_are_refused(tmp_path):
    folder = tmp_path / "folder"
    deep = folder / "b" / "c"
    deep.mkdir(parents=True)
    (folder / "a").write_text("")
    (tmp_path / "link").symlink_to(folder)
    refuse_special(tmp_path / "link")  # the folder itself may be one
    refuse_special(tmp_path / "nowhere")
    refuse_special(folder / "a", "below a file")
    (deep / "loop").symlink_to("..")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"loop is a (link|pipe)"):
            refuse_special(folder)
        with pytest.raises(ValueError, match="loop is a"):
            refuse_special(folder / "b" / "c", "nowhere", "loop")
        refuse_special(tmp_path / "link", "a", "nowhere", "b")
        (deep / "loop").unlink()
        os.mkfifo(deep / "loop")
