"""Opening, checking and preparing data sets, and what identifies their content."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict

import pytest
from official import miniature
from support import write_folder

from gift import Learner
from gift.cli import main
from gift.data import (
    DatasetEntry,
    Paths,
    Task,
    check_dataset,
    hub,
    load_benchmark,
    load_dataset,
    measured_split,
    open_task,
    open_tasks,
    pixels,
    prepare,
    provenance,
)
from gift.data.entries import Counts
from gift.data.images import NumberedImages
from gift.data.readers.folder import scan
from gift.progress import listening
from gift.vlm import Preprocess
from gift_micro.images import COUNTS


def test_another_draw_has_a_folder_of_its_own(tmp_path, monkeypatch):
    for split, count in {"train": 2, "validation": 1, "test": 1}.items():
        monkeypatch.setitem(COUNTS, split, count)
    entry = load_dataset("micro-dtd").model_copy(update={"counts": Counts()})
    (first,), (second,) = (open_tasks([entry], Paths.of(data=tmp_path), draw) for draw in (0, 3))
    assert first.labels == second.labels
    assert {path.relative_to(tmp_path).parts[0] for path in first.train.files} == {"micro-1"}
    assert {path.relative_to(tmp_path).parts[0] for path in second.train.files} == {"draw-3"}
    assert first.train.files[0].read_bytes() != second.train.files[0].read_bytes()


def test_another_draw_needs_data_that_is_made(tmp_path):
    entries = [load_dataset("micro-dtd").model_copy(update={"made_by": None})]
    with pytest.raises(ValueError, match=r"draw = 2 needs data sets that can be made.*micro-dtd"):
        open_tasks(entries, Paths.of(data=tmp_path), 2)


@pytest.mark.parametrize("name", ["micro-1", "micro-cil"])
def test_some_tasks_in_the_order_of_the_benchmark(name):
    benchmark = load_benchmark(name)
    some = (benchmark.tasks[3], benchmark.tasks[1])
    assert [entry.name for entry in benchmark.datasets(some)] == [some[1], some[0]]
    assert len(benchmark.datasets()) == len(benchmark.tasks)
    with pytest.raises(ValueError, match="unknown task"):
        benchmark.datasets(["nonsense"])


def test_the_measured_split_takes_the_place_of_the_test_split(tmp_path):
    for split, count in {"train": 10, "validation": 3, "test": 2}.items():
        write_folder(tmp_path / "all" / split, count=count)
    task = Task.from_folder(tmp_path / "all")
    assert measured_split(task, "test", 0.2).evaluation == task.test
    validation = measured_split(task, "validation", 0.2)
    assert (validation.train, validation.evaluation) == (task.train, task.validation)


def test_validation_images_are_split_off_training_where_there_are_none(tmp_path):
    write_folder(tmp_path / "few" / "train", count=10)
    write_folder(tmp_path / "few" / "test", count=2)
    task = Task.from_folder(tmp_path / "few")
    measured = measured_split(task, "validation", 0.3)
    assert measured == measured_split(task, "validation", 0.3)
    assert sorted(measured.evaluation.labels) == [0] * 3 + [1] * 3
    assert sorted(measured.train.files + measured.evaluation.files) == sorted(task.train.files)
    assert not set(measured.evaluation.files) & set(task.test.files)


def test_a_class_of_one_image_has_none_for_validation(tmp_path):
    write_folder(tmp_path / "one" / "train", count=1)
    task = Task.from_folder(tmp_path / "one")
    with pytest.raises(ValueError, match=r"one image, but evaluation\.validation_fraction needs"):
        measured_split(task, "validation", 0.2)
    write_folder(tmp_path / "flat", count=1)
    with pytest.raises(ValueError, match="has no test images"):
        measured_split(Task.from_folder(tmp_path / "flat"), "test", 0.2)


SMALL = Preprocess(8, "squash", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 3)
"""Images of 8 x 8 pixels."""


def decoding(paths, preprocess=SMALL):
    return lambda images: pixels(images, preprocess.test_array, preprocess.key, paths)


def colours(**values):
    return DatasetEntry.model_validate({"name": "colours", "source": {"path": "colours"}} | values)


def test_a_prepared_data_set_leaves_nothing_to_decode(tmp_path, tiny_clip_folder):
    for split in ("train", "test"):
        write_folder(tmp_path / "data" / "colours" / split, count=3)
    learner = Learner.from_pretrained(
        tiny_clip_folder, method="finetune", paths=Paths.of(tmp_path / "home")
    )
    paths = Paths(tmp_path / "home", tmp_path / "data")
    done = prepare([colours()], paths, decoding(paths, learner.model.preprocess))
    assert (done.done, done.cached, done.problem) == (("checked", "decoded"), 6, "")
    assert done.images == {"train": 6, "test": 6}
    stages = []
    with listening(lambda now: stages.append(now.stage)):
        learner.evaluate(open_task(colours(), Paths.of(data=tmp_path / "data")))
    assert stages == ["evaluating"]


def test_steps_are_prepared_as_they_are_measured(tmp_path):
    for split in ("train", "test"):
        write_folder(tmp_path / "colours" / split, count=3)
    steps = [
        colours(name=f"colours-{n}", subset={"of": "colours", "labels": [n]}) for n in range(2)
    ]
    paths = Paths(tmp_path / "home", tmp_path)
    done = prepare(steps, paths, decoding(paths))
    assert (done.name, done.images, done.cached) == ("colours", {"train": 6, "test": 6}, 6)
    assert len(list((tmp_path / "home" / "pixels").glob("*.npy"))) == 2


def test_what_can_be_made_is_made(tmp_path, monkeypatch):
    for split, count in {"train": 2, "validation": 1, "test": 1}.items():
        monkeypatch.setitem(COUNTS, split, count)
    entry = load_dataset("micro-dtd").model_copy(update={"counts": Counts()})
    first, second = (
        prepare([entry], Paths(tmp_path / "home", tmp_path / "data")) for _ in range(2)
    )
    assert first.done == ("made", "checked")
    assert second.done == ("checked",)
    assert first.cached is None


@pytest.mark.parametrize("damage", ["missing", "short", "unreadable"])
def test_what_cannot_be_prepared_is_explained(tmp_path, damage):
    entry = colours(counts={"train": 4}) if damage == "short" else colours()
    if damage != "missing":
        for split in ("train", "test"):
            write_folder(tmp_path / "colours" / split, count=1)
    if damage == "unreadable":
        (tmp_path / "colours" / "test" / "red" / "0.png").write_bytes(b"?")
    paths = Paths(tmp_path / "home", tmp_path)
    done = prepare([entry], paths, decoding(paths))
    expected = {"missing": "no folder", "short": "4 train images", "unreadable": "1 unreadable"}
    assert expected[damage] in done.problem
    assert done.cached is None
    assert not (tmp_path / "home" / "pixels").exists()


def call(*arguments):
    """Run a command; returns its exit status."""
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return exit.value.code or 0


def test_the_command_downloads_a_chosen_commit_and_says_what_it_cannot_do(
    tmp_path, capsys, monkeypatch
):
    asked = []

    def read(source, name):
        asked.append((name, source.id, source.revision))
        raise OSError("no network")

    monkeypatch.setattr(hub, "read", read)
    where = ("--home", tmp_path / "home", "--data-root", tmp_path)
    chosen = ("--set", "hub_revisions.dtd=abc123")
    assert call("data", "prepare", "dtd", "sun397", *chosen, *where) == 1
    shown = capsys.readouterr()
    assert asked[0] == ("dtd", "mcimpoi/dtd_split_1", "abc123")
    assert "downloading the copy of dtd" in shown.err
    for text in ("no network", "Unpack SUN397.tar.gz", "0 of 2 data sets are ready"):
        assert text in shown.out

    names = ("green", "red")
    files, labels = scan(write_folder(tmp_path / "copy"))["train"]
    splits = {"train": (files, labels), "test": (files[:1], labels[:1])}
    monkeypatch.setattr(hub, "read", lambda *_: hub.Copy("a/b@abc123", splits))
    content = {"name": "dtd2", "hub": {"id": "a/b"}, "classnames": list(names)}
    (tmp_path / "mine.yaml").write_text(json.dumps({"name": "mine", "tasks": [content]}))
    chosen = ("--set", "hub_revisions.dtd2=abc123")
    assert call("data", "prepare", tmp_path / "mine.yaml", *chosen, *where, "--json") == 0
    (identity,) = json.loads(capsys.readouterr().out)["data_sets"]
    assert identity["done"] == ["hub copy there", "checked"]
    assert identity["images"] == {"train": 8, "test": 1}
    assert call("data", "check", tmp_path / "mine.yaml", *chosen, *where) == 0
    assert call("data", "check", tmp_path / "mine.yaml", "--set", "seed=1", *where) == 1
    assert "unknown setting 'seed'" in capsys.readouterr().err


# Checking data sets without opening them


def test_all_is_well(tmp_path):
    entry, made = miniature("dtd", tmp_path)
    result = check_dataset(entry, Paths.of(tmp_path, tmp_path), decode=True)
    assert result.ok
    assert result.problems == ()
    assert result.found_in == str(made.root)
    assert result.classes == 47
    assert result.images == result.expected == {"train": 47, "validation": 47, "test": 47}
    assert result.looked_in == (
        str(made.root),
        "mcimpoi/dtd_split_1 on the Hugging Face hub (no commit chosen)",
    )
    json.dumps(asdict(result))


def test_what_is_missing_is_named(tmp_path):
    result = check_dataset(load_dataset("sun397"), Paths.of(data=tmp_path))
    assert not result.ok
    assert result.found_in is None
    assert result.expected == {"train": 87003, "test": 21751}
    assert "SUN397.tar.gz" in result.problems[0]


def test_all_problems_are_named_at_once(tmp_path):
    _, made = miniature("aircraft", tmp_path)
    listing = made.root / "images_variant_test.txt"
    listing.write_text(listing.read_text().replace("Yak-42", "Yak-43"))
    path = made.root / "images" / "0000007.jpg"
    path.write_bytes(b"?")
    result = check_dataset(load_dataset("aircraft"), Paths.of(tmp_path, tmp_path), decode=True)
    labels, counts, unreadable = result.problems
    assert "missing none; unexpected Yak-43" in labels
    assert "3334 train images expected" in counts
    assert "3333 test images expected" in counts
    assert str(path) in unreadable
    assert result.classes is None
    assert result.images == {"train": 100, "validation": 100, "test": 100}


def test_folders_are_checked_too(tmp_path):
    write_folder(tmp_path / "mine" / "train")
    entry = DatasetEntry.model_validate({"name": "mine", "source": {"path": "mine"}})
    result = check_dataset(entry, Paths.of(data=tmp_path))
    assert (result.ok, result.classes, result.images) == (True, 2, {"train": 8})


# What a task is made of, wherever and whenever its files were put

ENTRY = DatasetEntry.model_validate({"name": "skin", "version": 3, "source": {"path": "skin"}})


def write(root):
    for split, count in {"train": 4, "test": 2}.items():
        write_folder(root / "skin" / split, count=count)
    return root


def found(root, entry=ENTRY):
    paths = Paths.of(data=root)
    return asdict(provenance(open_task(entry, paths), paths, entry))


def test_it_names_place_numbers_and_version(tmp_path):
    identity = found(write(tmp_path))
    assert (identity["data_set"], identity["version"], identity["classes"]) == ("skin", 3, 2)
    assert (identity["place"], identity["metric"]) == ("skin", "top1")
    assert (identity["train"]["images"], identity["test"]["images"]) == (8, 4)
    assert identity["train"]["checksum"] != identity["test"]["checksum"]


def test_neither_place_nor_time_changes_it(tmp_path):
    first = found(write(tmp_path / "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "two" / "deep", copy_function=shutil.copyfile)
    for path in (tmp_path / "two").rglob("*.png"):
        os.utime(path, (1, 1))
    assert found(tmp_path / "two" / "deep") | {"place": first["place"]} == first


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda root: (root / "skin/train/red/0.png").unlink(), "train"),
        (lambda root: (root / "skin/test/red/0.png").rename(root / "skin/test/red/9.png"), "test"),
        (
            lambda root: (root / "skin/test/red/0.png").rename(root / "skin/test/green/9.png"),
            "test",
        ),
    ],
)
def test_other_images_change_it(tmp_path, change, key):
    before = found(write(tmp_path))
    change(tmp_path)
    after = found(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {key}


def test_other_labels_words_and_splits_change_it(tmp_path):
    write_folder(tmp_path / "skin", count=10)

    def identity(**changes):
        return found(tmp_path, DatasetEntry.model_validate(ENTRY.model_dump() | changes))

    split = {"train": 0.8, "seed": 42}
    first = identity(random_split=split)
    names = {"green": "g", "red": "r"}
    for changes, keys in (
        ({"classnames": names}, {"words"}),
        ({"classnames": dict(reversed(names.items()))}, {"words", "train", "test"}),
        ({"templates": ["a {}."]}, {"words"}),
        ({"random_split": {"train": 0.8, "seed": 1}}, {"train", "test"}),
        ({"metric": "mean_per_class"}, {"metric"}),
    ):
        other = identity(**{"random_split": split} | changes)
        assert {key for key in first if first[key] != other[key]} == keys


def test_images_of_one_file_are_told_apart_by_their_positions(tmp_path):
    entry, made = miniature("mnist", tmp_path)
    task = open_task(entry, Paths.of(data=tmp_path))
    assert provenance(task, Paths.of(data=made.root / "elsewhere"), entry).place == str(made.root)
    some = task.train.select([0, 1, 3])
    assert some.checksum != task.train.select([0, 1, 2]).checksum
    assert some.checksum != some.relabelled([9, 9, 9]).checksum
    assert NumberedImages((0, 1, 3), some.labels, None).checksum == some.checksum
