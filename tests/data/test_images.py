import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import ExifTags, Image

from gift.data.images import ImageFiles, formats, image_problem, suffixes, to_rgb


def save(path, image):
    image.save(path)
    return path


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I;16", "I", "F"]
)
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


CORNERS = np.array([[10, 90], [170, 250]], dtype=np.uint8).repeat(8, 0).repeat(8, 1)
UPRIGHT = {
    1: CORNERS,
    2: CORNERS[:, ::-1],
    3: CORNERS[::-1, ::-1],
    4: CORNERS[::-1],
    5: CORNERS.T,
    6: CORNERS.T[:, ::-1],
    7: CORNERS.T[::-1, ::-1],
    8: CORNERS.T[::-1],
}


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_photos_are_turned_upright(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(CORNERS).save(path, exif=exif)
    shown = np.asarray(ImageFiles((path,), (0,))[0])[..., 0]
    assert np.array_equal(shown, UPRIGHT[orientation])


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_photo_is_turned_once(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(CORNERS).convert("RGB").save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as image:
        once = to_rgb(image)
    assert np.array_equal(np.asarray(once)[..., 0], UPRIGHT[orientation])
    assert np.array_equal(to_rgb(once), once)


def test_a_photo_is_turned_once_by_the_tag_of_an_editor(tmp_path):
    tag = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    Image.new("RGB", (8, 4)).save(tmp_path / "x.jpg", xmp=tag)
    with Image.open(tmp_path / "x.jpg") as image:
        once = to_rgb(image)
    assert once.size == to_rgb(once).size == (4, 8)


def test_damaged_tags_cost_no_photo(tmp_path):
    Image.new("RGB", (4, 2)).save(tmp_path / "x.png", exif=b"Exif\0\0damaged")
    assert ImageFiles((tmp_path / "x.png",), (0,))[0].size == (4, 2)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_values_of_any_depth_look_alike(bits):
    grey = np.arange(256).reshape(16, 16)
    deep = Image.fromarray(np.rint(grey * (2**bits - 1) / 255).astype(np.uint16))
    assert np.array_equal(np.asarray(to_rgb(deep))[..., 0], grey)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.2, 1], [0, 51, 255]),
        ([0, 0.2, np.nan], [0, 51, 0]),
        ([0, 128, 255], [0, 128, 255]),
        ([0, 1023, 4095], [0, 64, 255]),
        ([-1, 0, 1], [0, 128, 255]),
        ([0, 1.5, np.inf], [0, 255, 255]),
        ([7.5, 7.5, 7.5], [0, 0, 0]),
    ],
)
def test_numbers_with_fractions_become_grey(values, expected):
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert np.asarray(to_rgb(image))[0, :, 0].tolist() == expected


def test_whole_numbers_below_zero_are_stretched():
    image = Image.fromarray(np.array([[-1024, 1024, 3072]], dtype=np.int32))
    assert np.asarray(to_rgb(image))[0, :, 0].tolist() == [0, 128, 255]


def test_an_image_without_any_number_is_refused(tmp_path):
    path = save(tmp_path / "x.tif", Image.fromarray(np.full((2, 2), np.nan, dtype=np.float32)))
    with pytest.raises(OSError, match=r"x\.tif cannot .* \(none of its values is a finite number"):
        ImageFiles((path,), (0,))[0]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(OSError, match=r"x\.png cannot .* \(it is no regular file"):
        ImageFiles((tmp_path / "x.png",), (0,))[0]


@pytest.fixture
def heif(monkeypatch):
    """Puts a package pillow_heif in place that reads PNG files."""

    def register():
        monkeypatch.setitem(Image.OPEN, "HEIF", Image.OPEN["PNG"])
        monkeypatch.setitem(Image.EXTENSION, ".heic", "HEIF")

    package = SimpleNamespace(register_heif_opener=register)
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    formats.cache_clear()
    suffixes.cache_clear()
    yield
    monkeypatch.undo()
    formats.cache_clear()
    suffixes.cache_clear()


@pytest.mark.usefixtures("heif")
def test_heif_is_read_where_its_package_is(tmp_path):
    Image.new("RGB", (4, 2)).save(tmp_path / "x.HEIC", format="PNG")
    assert image_problem(tmp_path / "x.HEIC") is None
    assert ImageFiles((tmp_path / "x.HEIC",), (0,))[0].size == (4, 2)


@pytest.mark.usefixtures("without_heif")
def test_heif_needs_its_package(tmp_path):
    assert image_problem(tmp_path / "x.HEIC") == "needs pip install 'gift-cl[heif]'"
    (tmp_path / "x.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(OSError, match=r"gift-cl\[heif\]"):
        ImageFiles((tmp_path / "x.HEIC",), (0,))[0]


def test_photos_of_phones_in_heif_are_turned_upright(tmp_path):
    """As phones write them: turned by the container, with the same orientation in the tags."""
    pytest.importorskip("pillow_heif")
    assert ".heic" in suffixes()
    photo = Image.new("RGB", (64, 32), "red")
    photo.paste("blue", (32, 0, 64, 32))
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    stored = photo.transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "IMG_1.HEIC", exif=tags.tobytes())
    image = ImageFiles((tmp_path / "IMG_1.HEIC",), (0,))[0]
    assert (image.mode, image.size) == ("RGB", (64, 32))
    red, blue = (image.getpixel((x, 16)) for x in (8, 56))
    assert red[0] > 200 > 60 > red[2]
    assert blue[2] > 200 > 60 > blue[0]


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


def make(folder, shades=(0, 1), names=("a.png", "b.png")):
    folder.mkdir()
    for name, shade in zip(names, shades, strict=True):
        Image.new("RGB", (2, 2), (shade, 0, 0)).save(folder / name, "BMP")
        os.utime(folder / name, (1_000, 1_000))
    return ImageFiles(tuple(folder / name for name in names), (0, 1))


def again(images):
    return ImageFiles(images.files, images.labels)


def test_the_fingerprint_follows_the_content_and_neither_names_nor_times(tmp_path):
    first = make(tmp_path / "one")
    assert first.fingerprint == make(tmp_path / "two", names=("x.png", "y.png")).fingerprint
    assert first.fingerprint != first.select([1, 0]).fingerprint
    other = make(tmp_path / "three", shades=(0, 2))
    assert [p.stat().st_size for p in other.files] == [p.stat().st_size for p in first.files]
    assert first.fingerprint != other.fingerprint


def test_the_stamp_changes_with_every_write_and_every_other_file(tmp_path):
    first = make(tmp_path / "one")
    assert first.stamp == again(first).stamp
    assert first.stamp != make(tmp_path / "two").stamp
    content = first.files[0].read_bytes()
    first.files[0].write_bytes(content[::-1])
    os.utime(first.files[0], (1_000, 1_000))
    assert first.stamp != again(first).stamp


def test_select_keeps_labels_beside_files(tmp_path):
    chosen = make(tmp_path / "one").select([1])
    assert (chosen.files[0].name, chosen.labels) == ("b.png", (1,))
