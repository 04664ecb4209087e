import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gift.data import Task
from gift.data.readers.folder import class_name, scan, split_name


def make(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def test_flat_folder_in_byte_order(tmp_path):
    make(tmp_path, "b/2.png", "b/10.PNG", "B_c/x.JpEg", "a/é.webp", "a/z.bmp", "a/notes.txt")
    make(tmp_path, ".hidden/x.png", "a/.x.png", "README.md")
    files, folders = scan(tmp_path)["train"]
    names = [path.relative_to(tmp_path).as_posix() for path in files]
    assert names == ["B_c/x.JpEg", "a/z.bmp", "a/é.webp", "b/10.PNG", "b/2.png"]
    assert folders == ["B_c", "a", "a", "b", "b"]
    task = Task.from_folder(tmp_path)
    assert task.labels.classnames == ("B c", "a", "b")
    assert task.train.labels == (0, 1, 1, 2, 2)


@pytest.mark.parametrize(
    ("train", "test", "validation"),
    [
        ("train", "test", "validation"),
        ("Train", "TEST", "Valid"),
        ("training", "eval", "val"),
        ("trn", "holdout", "dev"),
        ("train2017", "test_set", "validation images"),
    ],
)
def test_split_folder(tmp_path, train, test, validation):
    make(tmp_path, *(f"{split}/{c}/x.png" for split in (validation, test, train) for c in "ab"))
    found = scan(tmp_path)
    assert list(found) == ["train", "test", "validation"]
    assert all(folders == ["a", "b"] for _, folders in found.values())


@pytest.mark.parametrize("name", ["fold1", "bananas", "trains", "devil", "valley", "été", ""])
def test_other_names_are_no_splits(name):
    assert split_name(name) is None


def test_train_may_be_a_class(tmp_path):
    found = scan(make(tmp_path, "bus/x.png", "train/x.png"))
    assert found["train"][1] == ["bus", "train"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "no class folders"),
        (["x.png"], "images without class folders"),
        (["a/x.png", "x.png"], "images without class folders"),
        (["train/x.png", "test/x.png"], "train holds images without class folders"),
        (["a/x.png", "b/x.txt"], "b holds no images"),
        (["a/b/x.png"], "a holds folders"),
        (["train/a/x.png", "train/b/x.png", "test/a/x.png", "test/c/x.png"], "b only in train, c"),
        (["flower_a/x.png", "flower a/x.png"], "'flower a' and 'flower_a' both spell"),
        (["train/a/x.png", "val/a/x.png", "validation/a/x.png"], "keep one"),
        (["train_1/a/x.png", "train_2/a/x.png"], "train_1/ and train_2/, .* train split; keep one"),
        (["train/a/x.png", "fold2/a/x.png"], "fold2 has the same class folders .* rename it to"),
        (["Test/a/x.png", "val/a/x.png"], "Test/ and no training split"),
        (["train/a/x.png", "test/a/x.png", "x.png"], "images beside its splits"),
    ],
)
def test_refused_layouts(tmp_path, paths, message):
    with pytest.raises(ValueError, match=message):
        scan(make(tmp_path, *paths))


def test_all_problems_are_told_at_once(tmp_path):
    make(tmp_path, "a/x.png", "A_b/x.png", "A b/x.png", "c/d/x.png", "e/notes.txt", "loose.png")
    with pytest.raises(ValueError, match="4 problems in") as error:
        scan(tmp_path)
    assert len(str(error.value).splitlines()) == 5


def test_what_is_not_read_is_counted_and_named_once(tmp_path, caplog):
    make(tmp_path, "train/a/x.png", "train/a/notes.txt", "train/a/Thumbs.db", "train/a/.x.png")
    make(tmp_path, "test/a/y.JPG", "test/a/no_image", "notes/b/x.png", "labels.csv")
    os.mkfifo(tmp_path / "train/a/pipe.png")
    (tmp_path / "train/a/broken.png").symlink_to("nowhere")
    (tmp_path / "train/a/circle.png").symlink_to("circle.png")
    found = scan(tmp_path)
    assert {split: len(files) for split, (files, _) in found.items()} == {"train": 1, "test": 1}
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{tmp_path}: 7 not read as images: labels.csv (not the suffix of an image), "
        "test/a/no_image (not an image), train/a/broken.png (a broken link), "
        "train/a/circle.png (a broken link), train/a/notes.txt (not the suffix of an image) "
        "and 2 more."
    )


@pytest.mark.parametrize(
    "suffix", ["jfif", "JPE", "webp", "bmp", "tif", "gif", "ppm", "jp2", "tga"]
)
def test_every_suffix_of_an_image_is_read(tmp_path, suffix, caplog):
    files, _ = scan(make(tmp_path, f"a/x.{suffix}"))["train"]
    assert [path.name for path in files] == [f"x.{suffix}"]
    assert not caplog.records


@pytest.mark.usefixtures("without_heif")
def test_photos_whose_package_is_missing_say_what_to_install(tmp_path):
    make(tmp_path, "a/x.png", "b/IMG_1.HEIC")
    message = r"b holds no images \(1 not read as images: b/IMG_1.HEIC \(needs pip install"
    with pytest.raises(ValueError, match=message):
        scan(tmp_path)


def test_a_file_without_suffix_is_read_by_its_content(tmp_path, caplog):
    make(tmp_path, "a/1.png", "a/text")
    Image.new("RGB", (2, 2)).save(tmp_path / "a/2", format="PNG")
    (tmp_path / "a/text").write_text("hello")
    files, _ = scan(tmp_path)["train"]
    assert [path.name for path in files] == ["1.png", "2"]
    assert "a/text (not an image)" in caplog.text


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a folder"):
        scan(tmp_path / "nowhere")


@pytest.mark.parametrize("link", ["file", "folder"])
def test_splits_that_share_files_are_refused(tmp_path, link):
    make(tmp_path, "train/a/x.png")
    if link == "file":
        (tmp_path / "test/a").mkdir(parents=True)
        (tmp_path / "test/a/y.png").symlink_to(tmp_path / "train/a/x.png")
    else:
        (tmp_path / "test").symlink_to(tmp_path / "train")
    with pytest.raises(ValueError, match="are the same file"):
        scan(tmp_path)


@pytest.mark.parametrize("split", ["", "train/"])
def test_a_name_with_its_accents_written_in_two_ways_is_one_class(tmp_path, split):
    make(tmp_path, f"{split}ros\u00e9/x.png", f"{split}rose\u0301/y.png", f"{split}a/x.png")
    if split:
        make(tmp_path, "test/a/z.png", "test/rose\u0301/z.png")
    task = Task.from_folder(tmp_path)
    assert task.labels.classnames == ("a", "ros\u00e9")
    assert task.train.labels == (0, 1, 1)
    assert task.test is None or task.test.labels == (0, 1)


def test_several_folders_are_one_class_by_a_mapping(tmp_path):
    make(tmp_path, "kitty/x.png", "tomcat/y.png", "dog_b/x.png", "dog b/z.png")
    names = {"kitty": "cat", "tomcat": "cat", "dog b": "dog", "dog_b": "dog"}
    task = Task.from_folder(tmp_path, classnames=names)
    assert task.labels.classnames == ("dog", "cat")
    assert task.train.labels == (0, 0, 1, 1)
    some = Task.from_folder(tmp_path, classnames={"kitty": "tomcat", "dog b": "dog"})
    assert some.labels.classnames == ("dog", "dog b", "tomcat")


def test_splits_have_the_same_classes_by_a_mapping(tmp_path):
    make(tmp_path, "train/cat/x.png", "train/kitty/x.png", "test/cat/x.png")
    with pytest.raises(ValueError, match="kitty only in train"):
        Task.from_folder(tmp_path)
    assert Task.from_folder(tmp_path, classnames={"kitty": "cat"}).test.labels == (0,)


def test_a_mapping_of_other_folders_is_refused_with_everything_else(tmp_path):
    make(tmp_path, "cat/x.png", "loose.png")
    with pytest.raises(ValueError, match=r"(?s)2 problems in .*Did you mean 'cat'"):
        Task.from_folder(tmp_path, classnames={"catt": "kitty"})


def test_sub_folders_belong_to_their_class_on_request(tmp_path, caplog):
    make(tmp_path, "a/x.png", "a/2024/may/y.png", "a/2024/z.jpg", "b/2025/x.png", "b/.git/x.png")
    (tmp_path / "a/2024/again").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match=r"a holds folders \(2024\).*--nested"):
        scan(tmp_path)
    files, folders = scan(tmp_path, nested=True)["train"]
    names = [path.relative_to(tmp_path).as_posix() for path in files]
    assert names == ["a/x.png", "a/2024/z.jpg", "a/2024/may/y.png", "b/2025/x.png"]
    assert folders == ["a", "a", "a", "b"]
    assert "a/2024/again (a link to a folder that it lies in)" in caplog.text
    make(tmp_path, "c/2024/notes.txt")
    with pytest.raises(ValueError, match="c holds no images"):
        scan(tmp_path, nested=True)


def test_files_of_file_managers_are_ignored_however_they_are_written(tmp_path, caplog):
    make(tmp_path, "a/x.png", "a/THUMBS.DB", "Desktop.ini", ".DS_Store", "a/.DS_Store")
    make(tmp_path, "a/._x.png", "System Volume Information/x.png", "__MACOSX/a/._x.png")
    assert scan(tmp_path)["train"][1] == ["a"]
    assert not caplog.records


SYSTEM = (
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "system volume information",
)  # hypothesis finds them in the source
LETTERS = st.characters(
    codec="utf-8", exclude_characters="/.", exclude_categories=("Cc", "Zl", "Zp")
)


@settings(max_examples=25)
@given(st.sets(st.text(LETTERS, min_size=1, max_size=8)))
def test_order_is_that_of_the_bytes(tmp_path_factory, names):
    by_class = {class_name(name): name for name in names if len(os.fsencode(name)) < 60}
    folders = [
        name for name in by_class.values() if class_name(name) and name.casefold() not in SYSTEM
    ]
    root = tmp_path_factory.mktemp("root")
    if folders and not any(map(split_name, folders)):
        make(root, *(f"{name}/x.png" for name in folders))
        assert scan(root)["train"][1] == sorted(folders, key=os.fsencode)
