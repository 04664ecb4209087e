"""Images that cannot be read: refused, or skipped with a warning."""

import pytest
from support import write_folder

from gift.data import Paths, Task, check_images, provenance, readable
from gift.progress import listening


@pytest.fixture
def folder(tmp_path):
    found = write_folder(tmp_path / "photos", ("rose", "tulip"), count=4)
    (found / "rose/1.png").write_bytes(b"broken")
    return found


def test_they_are_refused_unless_asked_for(folder, tmp_path):
    task = Task.from_folder(folder)
    assert readable(task, Paths.of()) is task
    with pytest.raises(ValueError, match=r"(?s)1 unreadable.*1\.png.*\nor else$"):
        check_images(task.train, paths=Paths.of(), hint="or else")
    with pytest.raises(ValueError, match="on_bad_image = 'ignore' is neither"):
        Task.from_folder(folder, on_bad_image="ignore")


def test_each_skipped_image_is_named_and_counted_once(folder, tmp_path, caplog):
    paths = Paths.of(tmp_path / "home")
    task = readable(Task.from_folder(folder, on_bad_image="skip", test_fraction=0.25), paths)
    assert len(task.train) + len(task.test) == 7
    assert task.skipped == provenance(task, paths).skipped == 1
    assert caplog.text.count("rose/1.png cannot be read as an image") == 1
    assert readable(task, paths) == task
    assert caplog.text.count("rose/1.png") == 1
    assert "no test image of rose is left to measure" in caplog.text
    check_images(task.train, task.test, paths=paths)


def test_what_is_unreadable_is_remembered_until_the_file_is_mended(folder, tmp_path):
    paths = Paths.of(tmp_path / "home")

    def decoded():
        numbers = []
        with listening(lambda told: numbers.append(told.done)):
            task = readable(Task.from_folder(folder, on_bad_image="skip"), paths)
            check_images(task.train, paths=paths)
        return len(task.train), numbers

    assert decoded() == (7, [8])
    assert decoded() == (7, [])
    (folder / "rose/1.png").write_bytes((folder / "rose/2.png").read_bytes())
    assert decoded() == (8, [8])
    assert decoded() == (8, [])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (("rose/0", "rose/1", "rose/2", "rose/3"), "no train image of rose can be read"),
        (("rose/0", "rose/1", "rose/2", "tulip/0", "tulip/1"), "5 of 8 train images cannot be"),
    ],
)
def test_too_many_are_an_error(folder, tmp_path, bad, message):
    for name in bad:
        (folder / f"{name}.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=f"(?s)photos: {message}.*{bad[-1]}.png"):
        readable(Task.from_folder(folder, on_bad_image="skip"), Paths.of(tmp_path / "home"))
