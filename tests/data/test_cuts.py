"""Cuts of the real data sets in their published layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from gift.cli import main
from gift.data import ImageFiles, Paths, check_dataset, check_images, load_dataset, open_task
from gift.data.entries import Counts

CUTS = Path(__file__).parents[3] / "shared" / "data"

SIZES = {
    "caltech101": (101, 969, 243),
    "cifar100": (100, 5000, 1000),
    "mnist": (10, 4000, 1000),
    "tinyimagenet": (200, 3000, 800),
}

pytestmark = pytest.mark.skipif(
    not CUTS.is_dir(), reason=f"needs cuts of the real data sets in {CUTS}"
)


@pytest.mark.parametrize("name", SIZES)
def test_real_files_are_read(name, tmp_path):
    entry = load_dataset(name).model_copy(update={"counts": Counts()})
    task = open_task(entry, Paths.of(data=CUTS))
    classes, train, test = SIZES[name]
    assert (len(task.labels.classnames), len(task.train), len(task.test)) == (classes, train, test)
    check_images(task.test, paths=Paths.of(tmp_path))
    if name in {"cifar100", "tinyimagenet"}:  # whose cuts are balanced
        assert {task.test.labels.count(label) for label in range(classes)} == {test // classes}
    if isinstance(task.train, ImageFiles):
        own = entry.own_labels
        assert all(
            own[label] in path.parts
            for path, label in zip(task.train.files, task.train.labels, strict=True)
        )


@pytest.mark.parametrize("name", SIZES)
def test_a_cut_is_not_taken_for_the_whole(name):
    result = check_dataset(load_dataset(name), Paths.of(data=CUTS))
    assert result.classes == SIZES[name][0]
    (problem,) = result.problems
    assert "train images expected" in problem


def call(*arguments):
    """Run a command; returns its exit status."""
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return exit.value.code or 0


@pytest.fixture
def benchmark(tmp_path, capsys):
    """A benchmark made of the lines that the check proposes, in two orders."""
    where = ("--data-root", CUTS, "--home", tmp_path / "home", "--no-decode", "--json")
    assert call("data", "check", *SIZES, *where) == 1
    tasks = []
    for result in json.loads(capsys.readouterr().out)["data_sets"]:
        (problem,) = result["problems"]
        (task,) = yaml.safe_load(problem.partition("'tasks':\n")[2])
        tasks.append(task | {"templates": ["a photo of a {}."]})
    names = [task["dataset"] for task in tasks]
    orders = {"I": names, "II": names[::-1]}
    content = {"name": "cuts", "tasks": tasks, "orders": orders, "base_classnames": "micro-base"}
    (tmp_path / "cuts.yaml").write_text(yaml.safe_dump(content))
    assert call("data", "check", tmp_path / "cuts.yaml", *where) == 0
    capsys.readouterr()
    return tmp_path / "cuts.yaml"


@pytest.mark.slow
def test_a_benchmark_of_cuts_runs_in_both_orders(
    benchmark, tmp_path, capsys, tiny_clip_folder, tiny_pipeline_folder
):
    settings = {
        "training.iterations": 2,
        "training.warmup": 1,
        "training.batch_size": 4,
        "synthesis.images": 2,
        "synthesis.steps": 1,
    }
    more = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    more += ["--model", tiny_clip_folder, "--generator", tiny_pipeline_folder]
    more += ["--data-root", CUTS, "--home", tmp_path / "home", "--json"]
    for order, first in (("I", "caltech101"), ("II", "tinyimagenet")):
        runs = [tmp_path / "runs" / order / method for method in ("gift", "finetune")]
        for run in runs:
            named = ("--method", run.name, "--out", run)
            assert call("run", f"{benchmark}@{order}", *named, *more) == 0
            matrix = json.loads((run / "matrix.json").read_text())
            assert matrix["benchmark"] == f"cuts-{order}"
            assert matrix["tasks"][0] == first
            assert [len(row) for row in matrix["accuracy"]] == [4] * 4
            assert matrix["setting"]["counts"] == {
                name: {"train": train, "test": test} for name, (_, train, test) in SIZES.items()
            }
        assert call("report", *runs, "--out", tmp_path / order) == 0
        page = (tmp_path / order / "report.html").read_text()
        assert "not the published images: " in page
        assert "12,969 training and 3,043 measured images" in page
        assert (tmp_path / order / "tables" / "accuracy-gift.md").is_file()
