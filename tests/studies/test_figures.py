"""Pictures that show more than accuracies, and what is kept so that they can be made again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from gift import studies
from gift.report.gallery import opened
from gift.studies.figure_data import read_data
from gift.synthesis import DiffusersGenerator

FIRST_TASK = {"tasks": ["{first_task}"], "training": {"learning_rate": 1e-3}}
TWO_RUNS = [
    {"name": "plain", "method": "finetune", "settings": FIRST_TASK},
    {"name": "bound", "method": "l2", "settings": FIRST_TASK},
]
LANDSCAPE = {"kind": "landscape", "unlearned": "shapes", "images": 3, "grid": 4}
LOSS = {"kind": "loss", "loss": "task", "tasks": 1, "label": "loss"}
GUIDANCE = [
    {"name": f"guidance {g}", "method": "gift", "settings": {"synthesis": {"guidance": g}}}
    for g in (1.0, 9.0)
]


def suffixes(result):
    return [path.suffix for path in result.files]


def picture(result) -> bytes:
    return next(path for path in result.files if path.suffix == ".png").read_bytes()


@pytest.fixture
def again_from_what_is_kept(compare, tmp_path):
    """Makes an experiment, and once more from nothing but what was kept of it."""

    def make(*arguments, **more):
        result = compare(*arguments, **more)
        assert not result.failures
        studies.keep(result, tmp_path / "results")
        shutil.rmtree(tmp_path / "runs")
        shutil.copytree(tmp_path / "results", tmp_path / "runs")
        return result, compare(*arguments, **more, workers=None)

    return make


def test_a_landscape_is_measured_once_and_kept(again_from_what_is_kept, compare, tmp_path):
    entry = {"figure": LANDSCAPE, "columns": ["first_task_last"]}
    before = compare("plane", rows=TWO_RUNS, entry=entry, workers=None)
    assert suffixes(before) == [".md", ".csv", ".json"]
    first, again = again_from_what_is_kept("plane", rows=TWO_RUNS, entry=entry)
    assert suffixes(first)[-2:] == [".png", ".pdf"]
    assert not list(tmp_path.glob("results/mine/*/learner"))
    assert again.table.rows == first.table.rows
    assert np.array_equal(*(np.array(Image.open(r.files[-2])) for r in (first, again)))
    found = read_data(again.entry, again.figure_data)
    assert [surface.title for surface in found.surfaces] == [
        "training loss, colours",
        "test loss, shapes",
    ]
    for surface in found.surfaces:
        assert surface.images == 3
        assert np.shape(surface.losses) == (4, 4)
        assert len(set(surface.models)) == 3
    training = found.surfaces[0]
    assert training.models[1] < training.models[0]  # what the first row learned


def test_models_of_the_same_weights_span_no_plane(compare):
    rows = [TWO_RUNS[0], {"name": "also", "method": "zero_shot", "settings": FIRST_TASK}]
    result = compare("plane", rows=rows, entry={"figure": LANDSCAPE, "columns": ["last"]})
    assert suffixes(result) == [".md", ".csv", ".json"]
    assert "on one line" in result.failures[result.figure_data]


def test_samples_need_no_run_and_are_generated_once(compare, monkeypatch, tmp_path):
    entry = {"figure": {"kind": "samples"}, "columns": [], "published": []}
    result = compare("guidance", rows=GUIDANCE, entry=entry)
    assert suffixes(result)[-2:] == [".png", ".pdf"]
    assert [path.name for path in (tmp_path / "runs" / "mine").iterdir()] == ["figures"]
    assert studies.missing_runs(result.rows) == []
    found = read_data(result.entry, result.figure_data)
    assert found.prompts == ("a photo of a one.", "a photo of a one.")
    images = np.array([[np.array(opened(uri)) for uri in own] for own in found.images])
    assert images.shape[:2] == (2, 2)
    assert not np.array_equal(images[0, 0], images[0, 1])  # of other noise
    assert not np.array_equal(images[0, 0], images[1, 0])  # of another guidance
    monkeypatch.setattr(DiffusersGenerator, "generate", None)
    again = compare("guidance", rows=GUIDANCE, entry=entry)
    assert picture(again) == picture(result)
    row = json.loads(result.files[2].read_text())["rows"][1]
    assert row["settings"]["synthesis.guidance"] == 9.0


def test_the_losses_of_a_picture_are_kept_and_no_others(again_from_what_is_kept, tmp_path):
    rows = [{"name": "bound", "method": "l2"}]
    first, again = again_from_what_is_kept("loss", rows=rows, entry={"figure": LOSS}, seeds=(0, 1))
    assert picture(again) == picture(first)
    for path in tmp_path.glob("results/mine/*/events.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["task"] for line in lines] == ["colours"] * 3
        assert [line["step"] for line in lines] == [0, 1, 2]
        assert all(set(line["losses"]) == {"task"} for line in lines)


def test_rows_on_both_orders_of_a_benchmark(compare, world):
    path = world[0] / "mine.yaml"
    values = yaml.safe_load(path.read_text())
    orders = {"I": ["colours", "shapes"], "II": ["shapes", "colours"]}
    path.write_text(yaml.safe_dump(values | {"orders": orders}))
    rows = [
        {"name": name, "method": name, "settings": {"synthesis": {"exclude": ["{first_task}"]}}}
        for name in ("finetune", "l2")
    ]
    entry = {
        "orders": True,
        "difference_to": None,
        "figure": {"kind": "accuracy", "tasks": 2},
        "columns": ["first_task_last"],
    }
    result = compare("both", rows=rows, entry=entry, seeds=(0, 1))
    assert not result.failures
    labels = ["finetune, mine-I", "l2, mine-I", "finetune, mine-II", "l2, mine-II"]
    assert [row.label for row in result.rows] == labels
    assert [row.config.synthesis.exclude for row in result.rows] == [
        ("colours",),
        ("colours",),
        ("shapes",),
        ("shapes",),
    ]
    assert [row.measured[0].matrix.tasks[0] for row in result.rows[1:3]] == ["colours", "shapes"]
    assert "mine-I and mine-II" in result.heading
    assert suffixes(result)[-2:] == [".png", ".pdf"]
    (one, other) = compare("both", rows=rows, entry=entry | {"rows": rows[1:]}).rows
    assert [one.name, other.name] == ["l2", "l2"]
