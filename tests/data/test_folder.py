import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gift.data import Task
from gift.data.readers.folder import class_name, scan


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


@pytest.mark.parametrize("validation", ["val", "validation"])
def test_split_folder(tmp_path, validation):
    make(tmp_path, *(f"{split}/{c}/x.png" for split in ("train", "test", validation) for c in "ab"))
    found = scan(tmp_path)
    assert set(found) == {"train", "test", "validation"}
    assert all(folders == ["a", "b"] for _, folders in found.values())


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
    ],
)
def test_refused_layouts(tmp_path, paths, message):
    with pytest.raises(ValueError, match=message):
        scan(make(tmp_path, *paths))


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


LETTERS = st.characters(
    codec="utf-8", exclude_characters="/.", exclude_categories=("Cc", "Zl", "Zp")
)


@settings(max_examples=25)
@given(st.sets(st.text(LETTERS, min_size=1, max_size=8)))
def test_order_is_that_of_the_bytes(tmp_path_factory, names):
    by_class = {class_name(name): name for name in names if len(os.fsencode(name)) < 60}
    folders = [name for spelled, name in by_class.items() if spelled]
    root = tmp_path_factory.mktemp("root")
    if folders and "train" not in folders:
        make(root, *(f"{name}/x.png" for name in folders))
        assert scan(root)["train"][1] == sorted(folders, key=os.fsencode)
