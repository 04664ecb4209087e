"""The examples of docs/extending.md work as they stand there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from methods.learning import learn
from support import write_folder

import gift.methods
from gift.benchmark import resolve, run
from gift.data import Paths, load_benchmark, open_tasks, readers
from gift.methods import create_method, method_names
from gift.vlm import VisionLanguageModel

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
SECTIONS = dict(
    section.split("\n", 1) for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
)


def code(section: str, language: str = "python") -> list[str]:
    """The blocks of a language in a section, in order."""
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], re.DOTALL)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The page's method, as one new file beside the others."""
    name = re.search(r"`src/gift/methods/(\w+)\.py`", PAGE)[1]
    (tmp_path / f"{name}.py").write_text(code("A method")[0])
    monkeypatch.setattr(gift.methods, "__path__", [*gift.methods.__path__, str(tmp_path)])
    yield name
    sys.modules.pop(f"gift.methods.{name}", None)


def moved(model, start):
    """The squared distance of the weights from those in the folder."""
    before = start.trainable_parameters()
    return sum(
        float((parameter - before[name]).detach().square().sum())
        for name, parameter in model.trainable_parameters().items()
    )


def test_the_method_is_found_and_averages(example, tiny_clip_folder):
    assert example in method_names()
    start, averaged, plain = (VisionLanguageModel.from_pretrained(tiny_clip_folder) for _ in "123")
    learn(averaged, create_method(example, {"decay": 0.5}), 0)
    learn(plain, create_method("finetune"), 0)
    assert 0 < moved(averaged, start) < moved(plain, start)


def test_without_decay_the_method_is_plain_fine_tuning(example, tiny_clip_folder):
    models = [VisionLanguageModel.from_pretrained(tiny_clip_folder) for _ in range(2)]
    learn(models[0], create_method(example, {"decay": 0.0}), 0)
    learn(models[1], create_method("finetune"), 0)
    plain = models[1].trainable_parameters()
    for name, value in models[0].trainable_parameters().items():
        torch.testing.assert_close(value, plain[name])


def test_a_wrong_setting_of_the_method_is_refused(example):
    with pytest.raises(ValueError, match="decay"):
        create_method(example, {"decay": 1.5})


def test_the_loss_agrees_with_its_slow_version():
    values: dict[str, object] = {}
    exec(compile(code("A loss")[0], "extending.md", "exec"), values)
    tests = [value for name, value in values.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


@pytest.fixture
def benchmark_file(tmp_path, monkeypatch):
    """The page's benchmark with its data, and its reader beside the others."""
    kind = re.search(r"`src/gift/data/readers/(\w+)\.py`", PAGE)[1]
    (tmp_path / "readers").mkdir()
    reader = code("A data set in an odd format")[0]
    (tmp_path / "readers" / f"{kind}.py").write_text(reader)
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path / "readers")])
    birds = write_folder(tmp_path / "drawn", classes=("robin", "wren"), count=4)
    (tmp_path / "birds" / "images").mkdir(parents=True)
    listed: dict[str, list[str]] = {"train": [], "test": []}
    for file in sorted(birds.rglob("*.png")):
        name = f"{file.parent.name}-{file.name}"
        file.rename(tmp_path / "birds" / "images" / name)
        split = "test" if file.stem == "0" else "train"
        listed[split].append(f"{name},{file.parent.name}")
    for split, rows in listed.items():
        (tmp_path / "birds" / f"{split}.csv").write_text("\n".join(rows) + "\n")
    for split in ("train", "test"):
        write_folder(tmp_path / "colours" / split)
    file = tmp_path / re.search(r"As `(my\.yaml)`", PAGE)[1]
    file.write_text(code("A benchmark", "yaml")[0])
    yield file
    sys.modules.pop(f"gift.data.readers.{kind}", None)


def test_the_reader_lists_splits_and_the_entry_names_classes(benchmark_file, tmp_path):
    entries = load_benchmark(str(benchmark_file)).datasets()
    birds, colours = open_tasks(entries, Paths.of(tmp_path / "cache"))
    assert birds.labels.classnames == ("robin", "wren")
    assert (len(birds.train), len(birds.test)) == (6, 2)
    assert colours.labels.classnames == ("green", "red")


def test_what_the_reader_cannot_know_is_refused(benchmark_file, tmp_path):
    listing = tmp_path / "birds" / "train.csv"
    listing.write_text(listing.read_text().replace(",wren", ",heron"))
    entries = load_benchmark(str(benchmark_file)).datasets()
    with pytest.raises(ValueError, match="heron"):
        open_tasks(entries, Paths.of(tmp_path / "cache"))


def test_the_benchmark_runs_in_both_orders(benchmark_file, tmp_path, tiny_clip_folder):
    for order, tasks in (("I", ["birds", "colours"]), ("II", ["colours", "birds"])):
        config = resolve(f"{benchmark_file}@{order}", "zero_shot", {"model": str(tiny_clip_folder)})
        run(config, tmp_path / order, paths=Paths.of(tmp_path / "cache"))
        matrix = json.loads((tmp_path / order / "matrix.json").read_text())
        assert matrix["tasks"] == tasks
        assert len(matrix["accuracy"]) == 2
