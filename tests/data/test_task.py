import pytest
from hypothesis import given
from hypothesis import strategies as st

from gift.data import ImageFiles, Task
from gift.data.task import split


@pytest.fixture
def root(tmp_path):
    for folder, count in (("blue_circle", 5), ("red_square", 2)):
        (tmp_path / "shapes" / folder).mkdir(parents=True)
        for i in range(count):
            (tmp_path / "shapes" / folder / f"{i}.png").touch()
    return tmp_path / "shapes"


def test_flat_folder_is_trained_and_evaluated_on(root):
    task = Task.from_folder(root)
    assert (task.name, task.labels.classnames) == ("shapes", ("blue circle", "red square"))
    assert task.test is None
    assert task.evaluation is task.train


def test_split_folder_is_evaluated_on_its_test_split(root):
    root.rename(root.parent / "train")
    (root.parent / "test/blue_circle").mkdir(parents=True)
    (root.parent / "test/red_square").mkdir(parents=True)
    (root.parent / "test/blue_circle/9.png").touch()
    (root.parent / "test/red_square/9.png").touch()
    task = Task.from_folder(root.parent, name="mine")
    assert task.name == "mine"
    assert task.evaluation is task.test
    assert len(task.test) == 2
    with pytest.raises(ValueError, match="test split already"):
        Task.from_folder(root.parent, test_fraction=0.5)


def test_held_out_images_are_measured_before_those_of_training(root):
    (root / "train").mkdir()
    for folder in ("blue_circle", "red_square"):
        (root / folder).rename(root / "train" / folder)
        (root / "Valid" / folder).mkdir(parents=True)
        (root / "Valid" / folder / "9.png").touch()
    task = Task.from_folder(root)
    assert task.evaluated_split == "validation"
    assert task.evaluation is task.validation
    assert Task(task.labels, task.train, None).evaluated_split == "train"
    assert Task(task.labels, None, None).evaluated_split is None


@pytest.mark.parametrize("names", [("B", "R"), {"red_square": "R", "blue_circle": "B"}])
def test_given_class_names(root, names):
    assert Task.from_folder(root, classnames=names).labels.classnames == ("B", "R")


def test_a_mapping_may_name_some_folders_and_make_several_one_class(root):
    task = Task.from_folder(root, classnames={"red_square": "R"})
    assert task.labels.classnames == ("blue circle", "R")
    one = Task.from_folder(root, classnames={"red_square": "shape", "blue_circle": "shape"})
    assert one.labels.classnames == ("shape",)
    assert set(one.train.labels) == {0}


def test_its_repr_is_one_short_line(root):
    task = Task.from_folder(root)
    start = "<Task 'shapes': 2 classes (blue circle, red square), images: 7 train, from "
    assert repr(task).startswith(start)
    assert len(repr(task)) < 160
    assert repr(task.labels) == (
        "<LabelSpace 'shapes': 2 classes: blue circle, red square; 'a photo of a {}.'>"
    )
    assert repr(task.train).startswith("<ImageFiles: 7 images of 2 classes, the first from '")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classnames": ("B",)}, "2 class folders, but 1 class names"),
        ({"classnames": {"red_squar": "R"}}, "Did you mean 'red_square'"),
        ({"classnames": ("B", "B")}, "repeated"),
        ({"classnames": ("B", " ")}, "empty"),
        ({"templates": ("a photo",)}, "no '{}'"),
        ({"test_fraction": 1.0}, "between 0 and 1"),
    ],
)
def test_refused(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        Task.from_folder(root, **arguments)


def test_a_class_with_one_image_cannot_be_split(root):
    (root / "red_square/1.png").unlink()
    with pytest.raises(ValueError, match=r"red_square has one image"):
        Task.from_folder(root, test_fraction=0.5)


def test_a_validation_split_is_set_aside_per_class_and_always_the_same(root):
    task = Task.from_folder(root).with_validation(0.4)
    assert task == Task.from_folder(root).with_validation(0.4)
    assert (len(task.train), len(task.validation)) == (4, 3)
    assert set(task.validation.labels) == set(task.train.labels) == {0, 1}
    assert not set(task.validation.files) & set(task.train.files)
    assert task.measured_on == "validation"
    assert task.with_validation(0.9) is task


def test_a_class_with_one_image_keeps_it_for_training(root, caplog):
    (root / "red_square/1.png").unlink()
    task = Task.from_folder(root).with_validation(0.4)
    assert (task.train.labels, task.validation.labels) == ((0, 0, 0, 1), (0, 0))
    assert "1 of its classes have one image" in caplog.text
    assert "red square" in caplog.text
    for i in range(1, 5):
        (root / f"blue_circle/{i}.png").unlink()
    with pytest.raises(ValueError, match="one image per class"):
        Task.from_folder(root).with_validation(0.4)


@given(
    sizes=st.lists(st.integers(2, 12), min_size=1, max_size=4),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 99),
)
def test_split_is_a_seeded_partition_per_class(tmp_path_factory, sizes, fraction, seed):
    root = tmp_path_factory.getbasetemp()
    labels = tuple(label for label, size in enumerate(sizes) for _ in range(size))
    images = ImageFiles(tuple(root / str(i) for i in range(len(labels))), labels)
    rest, taken = split(images, fraction, seed)
    assert (rest, taken) == split(images, fraction, seed)
    assert sorted(rest.files + taken.files) == sorted(images.files)
    for label, size in enumerate(sizes):
        assert abs(taken.labels.count(label) - fraction * size) <= 1
        assert 0 < taken.labels.count(label) < size


def test_images_added_to_one_class_leave_the_others_alone(root):
    before = Task.from_folder(root, test_fraction=0.4)
    (root / "red_square/7.png").touch()
    after = Task.from_folder(root, test_fraction=0.4)

    def blue(task):
        return [path for path in task.test.files if path.parent.name == "blue_circle"]

    assert blue(before) == blue(after)


def numbered(root, names):
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "0.png").touch()
    return root


def test_a_list_of_names_goes_to_folders_called_by_numbers_in_their_order(tmp_path):
    """By their bytes 10 comes before 2."""
    folder = numbered(tmp_path / "n", map(str, range(12)))
    names = [f"class {number}" for number in range(12)]
    task = Task.from_folder(folder, classnames=names)
    found = {
        task.train.keys[i].split("/")[0]: task.labels.classnames[label]
        for i, label in enumerate(task.train.labels)
    }
    assert found == {str(number): names[number] for number in range(12)}


def test_a_list_of_names_that_may_mean_two_orders_is_refused_with_both(tmp_path):
    folder = numbered(tmp_path / "n", ("class2", "class10"))
    with pytest.raises(ValueError, match=r"Give a mapping; by the bytes .*class10.*: 'a'"):
        Task.from_folder(folder, classnames=["a", "b"])
    names = {"class2": "b", "class10": "a"}
    assert Task.from_folder(folder, classnames=names).labels.classnames == ("a", "b")
