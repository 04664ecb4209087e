import os

import numpy as np
import pytest
from PIL import Image

from gift.data.images import ImageFiles, to_rgb


def save(path, image):
    image.save(path)
    return path


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode):
    assert to_rgb(Image.new(mode, (3, 2))).mode == "RGB"


def test_sixteen_bit_is_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257 * 10, 65535]], dtype=np.uint16)
    path = save(tmp_path / "x.png", Image.fromarray(values))
    assert np.asarray(ImageFiles((path,), (0,))[0])[0, :, 1].tolist() == [0, 10, 255]


def test_small_integers_stay_as_they_are():
    values = np.array([[0, 7, 255]], dtype=np.int32)
    assert np.asarray(to_rgb(Image.fromarray(values)))[0, :, 0].tolist() == [0, 7, 255]


def test_alpha_is_dropped(tmp_path):
    path = save(tmp_path / "x.png", Image.new("RGBA", (1, 1), (10, 20, 30, 0)))
    assert ImageFiles((path,), (0,))[0].getpixel((0, 0)) == (10, 20, 30)


def test_palette_with_transparency_keeps_its_colours(tmp_path):
    image = Image.new("RGB", (2, 1), (200, 0, 0)).quantize(4)
    path = tmp_path / "x.png"
    image.save(path, transparency=b"\x00\x80\xff\xff")
    assert ImageFiles((path,), (0,))[0].getpixel((1, 0)) == (200, 0, 0)


def test_orientation_tag_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2)).save(tmp_path / "x.jpg", exif=exif)
    assert ImageFiles((tmp_path / "x.jpg",), (0,))[0].size == (4, 2)


def test_content_counts_not_the_suffix(tmp_path):
    Image.new("RGB", (4, 2), (0, 0, 9)).save(tmp_path / "x.jpg", format="PNG")
    assert ImageFiles((tmp_path / "x.jpg",), (0,))[0].getpixel((0, 0)) == (0, 0, 9)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "missing"])
def test_unreadable_file_is_named(tmp_path, damage):
    path = tmp_path / "x.png"
    Image.effect_noise((64, 64), 50).save(path)
    if damage == "missing":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes({"empty": b"", "text": b"hello", "cut": content[:900]}[damage])
    with pytest.raises(OSError, match=r"x\.png cannot be read"):
        ImageFiles((path,), (0,))[0]


def make(folder, mtime=1_000):
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (2, 2)).save(folder / name)
        os.utime(folder / name, (mtime, mtime))
    return ImageFiles((folder / "a.png", folder / "b.png"), (0, 1))


def test_fingerprint_follows_paths_sizes_and_times_but_not_the_place(tmp_path):
    first, second = make(tmp_path / "one"), make(tmp_path / "two")
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != first.select([1, 0]).fingerprint
    assert first.fingerprint != make(tmp_path / "three", mtime=2_000).fingerprint
    Image.new("RGB", (9, 9)).save(second.files[0])
    os.utime(second.files[0], (1_000, 1_000))
    assert first.fingerprint != ImageFiles(second.files, second.labels).fingerprint


def test_select_keeps_labels_beside_files(tmp_path):
    chosen = make(tmp_path / "one").select([1])
    assert (chosen.files[0].name, chosen.labels) == ("b.png", (1,))
