import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from gift.data import ImageFiles, Paths, cache, check_images, pixels
from gift.progress import listening


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
    with listening(lambda *step: seen.append(step)):
        found = pixels(images, transform, "4", Paths.of(cache))
    assert isinstance(found, np.memmap)
    assert (found.shape, found.dtype) == ((5, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(found, [transform(images[i]) for i in range(5)])
    assert seen[-1] == ("decode", 5, 5)
    np.testing.assert_array_equal(pixels(images, forbidden, "4", Paths.of(cache)), found)
    with pytest.raises(AssertionError, match="cache"):
        pixels(images, forbidden, "other", Paths.of(cache))
    assert len(list((cache / "pixels").iterdir())) == 1


@pytest.mark.parametrize("keep", [0, 50, 200])
def test_damaged_cache_is_made_again(images, tmp_path, keep):
    cache = tmp_path / "cache"
    good = np.array(pixels(images, transform, "4", Paths.of(cache)))
    (file,) = (cache / "pixels").iterdir()
    file.write_bytes(file.read_bytes()[:keep])
    np.testing.assert_array_equal(pixels(images, transform, "4", Paths.of(cache)), good)


def test_changed_image_is_noticed(images, tmp_path):
    pixels(images, transform, "4", Paths.of(tmp_path))
    Image.new("RGB", (6, 6), (200, 0, 0)).save(images.files[0])
    os.utime(images.files[0], (1, 1))
    changed = ImageFiles(images.files, images.labels)
    assert pixels(changed, transform, "4", Paths.of(tmp_path))[0, 0, 0, 0] == 200


def test_the_name_holds_all_that_decides_the_content(images, tmp_path, monkeypatch):
    """A new file for other images, times, sizes, transforms and versions, not for other labels."""
    where = tmp_path / "cache"

    def files(found=images, key="4"):
        pixels(found, transform, key, Paths.of(where))
        return len(list((where / "pixels").iterdir()))

    assert files() == 1
    assert files(images.relabelled((1,) * 5)) == 1
    assert files(images.select([1, 0])) == 2
    assert files(key="5") == 3
    os.utime(images.files[0], (1, 1))
    assert files(images.select(range(5))) == 4
    Image.new("RGB", (600, 600)).save(images.files[0])
    os.utime(images.files[0], (1, 1))
    assert files(images.select(range(5))) == 5
    monkeypatch.setattr(cache, "_VERSION", 0)
    assert files() == 6
    monkeypatch.setattr(PIL, "__version__", "0")
    assert files() == 7


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
    told = sorted(process.communicate(timeout=60)[0].split() for process in processes)
    assert [int(decoded) for decoded, _ in told] == [0, 5]
    assert told[0][1] == told[1][1]
    assert [path.suffix for path in (tmp_path / "cache" / "pixels").iterdir()] == [".npy"]


def test_unreadable_image_leaves_nothing_behind(images, tmp_path):
    images.files[3].write_bytes(b"no image")
    with pytest.raises(OSError, match=r"3\.png cannot be read"):
        pixels(images, transform, "4", Paths.of(tmp_path / "cache"))
    assert list((tmp_path / "cache" / "pixels").iterdir()) == []


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
    assert list((tmp_path / "cache" / "pixels").iterdir()) == []


def test_home(monkeypatch, tmp_path):
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
        with listening(lambda *step: seen.append(step)):
            check_images(images, paths=Paths.of(tmp_path / "c"))
    assert seen == [("check", 5, 5)]
