"""What the page says about the data of its runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from gift.report import write_report
from gift.report.comparison import compare
from gift.runs.read import Data, read_run


def describe(run: Path, words: str = "aa") -> Path:
    task = {
        "words": words,
        "place": str(run),
        "train": {"images": 900, "checksum": "12"},
        "test": {"images": 300, "checksum": "34"},
    }
    (run / "data.json").write_text(json.dumps({"one": task, "two": task}))
    return run


def test_numbers_and_checksum_are_read(make_run: Any) -> None:
    first, second = (read_run(describe(make_run(name, method=name))).data for name in "ab")
    assert first == second
    assert isinstance(first, Data)
    assert (first.train, first.test) == (1800, 600)
    assert read_run(make_run("c")).data is None


def test_the_page_tells_them(make_run: Any, tmp_path: Path) -> None:
    setting = {"label_space": "task", "split": "test"}
    setting |= {"metric": {"birds": "mean_per_class"}, "counts": {"birds": {"test": 5}}}
    runs = [make_run("a", setting=setting), describe(make_run("b", seed=2, setting=setting))]
    page = write_report(runs, tmp_path / "page").page.read_text()
    assert "1,800 training and 600 measured images, checksum " in page
    assert "mean over the classes instead of over the images: birds" in page
    assert "not the published images: birds" in page


def test_runs_on_other_data_do_not_stand_side_by_side(make_run: Any) -> None:
    runs = [describe(make_run("a")), describe(make_run("b", seed=2), "bb")]
    with pytest.raises(ValueError, match="their checksum of the data differs"):
        compare([read_run(run) for run in runs])


@pytest.mark.parametrize("key", ["metric", "counts"])
def test_other_rules_do_not_stand_side_by_side(make_run: Any, key: str) -> None:
    usual = {"label_space": "task", "task_id": "given", "split": "test"}
    runs = [make_run("a"), make_run("b", seed=2, setting=usual | {key: {"birds": "x"}})]
    with pytest.raises(ValueError, match=f"their {key} differs"):
        compare([read_run(run) for run in runs])
