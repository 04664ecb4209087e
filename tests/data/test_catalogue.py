import pytest
from PIL import Image

from gift.data import (
    BenchmarkEntry,
    DatasetEntry,
    Paths,
    benchmark_names,
    class_list,
    dataset_names,
    load_benchmark,
    load_dataset,
    open_task,
)
from gift.data.catalogue import ClassIncremental
from gift.data.entries import Counts, HubSource, RandomSplit, Source, Subset
from gift.data.readers import reader, reader_names


def make(root, **splits):
    for split, counts in splits.items():
        for folder, count in counts.items():
            (root / split / folder).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (2, 2)).save(root / split / folder / f"{i}.png")
    return root


def entry(**values):
    return DatasetEntry.model_validate(
        {"name": "shapes", "source": {"path": "shapes"}, "classnames": ["red square", "disc"]}
        | values
    )


def test_shipped_entries_are_whole():
    for name in dataset_names():
        assert load_dataset(name).name == name
    for name in benchmark_names():
        benchmark = load_benchmark(name)
        assert benchmark.name == name
        assert [entry.name for entry in benchmark.datasets()] == list(benchmark.tasks)
        assert class_list(benchmark.base_classnames)


@pytest.mark.parametrize(
    "model",
    [
        BenchmarkEntry,
        DatasetEntry,
        Source,
        HubSource,
        Counts,
        RandomSplit,
        Subset,
        ClassIncremental,
    ],
)
def test_every_field_is_described(model):
    assert all(field.description for field in model.model_fields.values())


def load_text(folder, text):
    path = folder / "mine.yaml"
    path.write_text(f"name: mine\n{text}\n")
    return load_benchmark(str(path))


def test_imagenet_names_keep_their_repetitions():
    names = class_list("imagenet")
    assert (len(names), len(set(names)), names[0]) == (1000, 998, "tench")


def test_class_list_of_the_user(tmp_path):
    (tmp_path / "names.txt").write_text("one\n\n two words \n")
    assert class_list(str(tmp_path / "names.txt")) == ("one", "two words")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="no class names"):
        class_list(str(tmp_path / "empty.txt"))
    with pytest.raises(ValueError, match="does not exist"):
        class_list(str(tmp_path / "nowhere.txt"))


@pytest.mark.parametrize("load", [load_dataset, load_benchmark, class_list])
@pytest.mark.parametrize("name", ["nonsense", "..", ""])
def test_unknown_name(load, name):
    with pytest.raises(ValueError, match="unknown"):
        load(name)


def test_nearest_name_is_offered():
    with pytest.raises(ValueError, match="Did you mean 'imagenet'"):
        class_list("imagnet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: [{name: x, source: {path: x}, template: [a]}]", "Did you mean 'templates'"),
        ("tasks: [{name: x, source: {pth: x}}]", "Did you mean 'source.path'"),
        ("tasks: [{source: {path: x}}]", "name is missing"),
        ("tasks: [{name: ../x, source: {path: x}}]", "name = '../x' is not allowed"),
        ("tasks: []", "tasks"),
        ("tasks: 3", "tasks"),
        ("label_space: seen", "give either tasks .* or class_incremental"),
        ("tasks: [x]\ntask_id: secret", "task_id = 'secret' is not allowed"),
        ("label_spce: seen", "Did you mean 'label_space'"),
        ("label_space: all\ntasks: [x]", "label_space = 'all' is not allowed"),
        ("tasks: [nonsense]", "unknown data set 'nonsense'"),
        ("tasks: [&x {name: x, source: {path: x}}, *x]", "once only: x"),
        ("tasks: [", "not valid YAML"),
    ],
)
def test_wrong_file_is_explained(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_text(tmp_path, text)


def test_missing_file():
    with pytest.raises(ValueError, match="does not exist"):
        load_benchmark("nowhere.yaml")


def test_own_benchmark_with_paths_relative_to_its_file(tmp_path, monkeypatch):
    make(tmp_path / "data/shapes", train={"a": 1, "b": 1}, test={"a": 1, "b": 1})
    (tmp_path / "base.txt").write_text("thing\n")
    text = "base_classnames: base.txt\ntasks: [{name: shapes, source: {path: data/shapes}}]"
    monkeypatch.chdir("/")
    benchmark = load_text(tmp_path, text)
    assert benchmark.tasks == ("shapes",)
    assert class_list(benchmark.base_classnames) == ("thing",)
    (dataset,) = benchmark.datasets()
    assert open_task(dataset, Paths.of(data=tmp_path / "elsewhere")).labels.classnames == ("a", "b")


def test_labels_follow_the_entry_not_the_folders(tmp_path):
    make(tmp_path / "shapes", train={"disc": 1, "red_square": 2}, test={"disc": 1, "red_square": 1})
    counts = {"train": 3, "test": 2, "validation": 0}
    task = open_task(entry(counts=counts), Paths.of(data=tmp_path))
    assert task.name == "shapes"
    assert task.labels.classnames == ("red square", "disc")
    assert task.train.labels == (1, 0, 0)
    for path, label in zip(task.test.files, task.test.labels, strict=True):
        assert path.parent.name.replace("_", " ") == task.labels.classnames[label]


def test_class_names_by_folder(tmp_path):
    make(tmp_path / "shapes", train={"n01": 1, "n02": 1})
    task = open_task(entry(classnames={"n02": "disc", "n01": "a/b"}), Paths.of(data=tmp_path))
    assert task.labels.classnames == ("disc", "a/b")
    assert task.train.labels == (1, 0)


def test_class_names_from_a_list(tmp_path):
    (tmp_path / "names.txt").write_text("disc\nbar\n")
    make(tmp_path / "shapes", train={"bar": 1, "disc": 1})
    task = open_task(entry(classnames=str(tmp_path / "names.txt")), Paths.of(data=tmp_path))
    assert (task.labels.classnames, task.train.labels) == (("disc", "bar"), (1, 0))


def test_wrong_folders_and_counts(tmp_path):
    make(tmp_path / "shapes", train={"disc": 1, "blob": 1})
    with pytest.raises(ValueError, match="missing red square; unexpected blob"):
        open_task(entry(), Paths.of(data=tmp_path))
    with pytest.raises(ValueError, match=r"9 train images expected in .* but 2 found"):
        open_task(entry(classnames=None, counts={"train": 9}), Paths.of(data=tmp_path))
    with pytest.raises(ValueError, match=r"4 test images expected in .* but 0 found"):
        open_task(entry(classnames=None, counts={"test": 4}), Paths.of(data=tmp_path))
    with pytest.raises(ValueError, match="repeated"):
        open_task(entry(classnames=["disc", "disc"]), Paths.of(data=tmp_path))


def test_missing_folder_says_where_and_what(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no folder {tmp_path}/shapes; put the data set"):
        open_task(entry(), Paths.of(data=tmp_path))
    with pytest.raises(FileNotFoundError, match="a run of a benchmark makes it"):
        open_task(entry(made_by="micro"), Paths.of(data=tmp_path))


def test_every_module_of_the_readers_is_one():
    assert {"folder", "mnist"} <= set(reader_names())
    assert all(callable(reader(name)) for name in reader_names())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labels": ["n1"]}, "1 labels .* were given for 2 class names"),
        ({"labels": ["n1", "n1"]}, r"2 labels \(1 of them distinct\) were given for 2"),
        ({"labels": ["n1", "n2"], "classnames": {"a": "b"}}, "'labels' go with 'classnames'"),
        ({"classnames": None, "source": {"kind": "mnist", "path": "x"}}, "give 'classnames'"),
        ({"source": None}, "give 'source', or 'hub'"),
        ({"source": {"kind": "zip", "path": "x"}}, "unknown kind 'zip'.* Known: aircraft"),
    ],
)
def test_wrong_names_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        assert entry(**values).own_labels


def test_classes_may_be_called_by_their_labels(tmp_path):
    steps = ClassIncremental(dataset="shapes", initial=1, increment=1, called_by="labels")
    named = steps.steps(entry(labels=["red_square", "disc_"]))
    assert {step.classnames for step in named} == {("red_square", "disc_")}
    with pytest.raises(ValueError, match="called_by = labels needs the 'labels' of shapes"):
        steps.steps(entry())


def test_label_lists_may_be_files_beside_a_benchmark(tmp_path, monkeypatch):
    make(tmp_path / "shapes", train={"n2": 1, "n1": 2})
    (tmp_path / "labels.txt").write_text("n2\nn1\n")
    text = (
        "tasks: [{name: shapes, source: {path: shapes}, classnames: [disc, bar], "
        "labels: labels.txt}]"
    )
    monkeypatch.chdir("/")
    (dataset,) = load_text(tmp_path, text).datasets()
    task = open_task(dataset, Paths.of(data=tmp_path))
    assert (task.labels.classnames, task.train.labels) == (("disc", "bar"), (1, 1, 0))
