import json
from pathlib import Path
from typing import Any

import pytest

from gift.report import write_report
from gift.report.comparison import compare
from gift.runs.read import Data, read_run


def test_unfinished_seed_is_named_and_does_not_count(make_run: Any) -> None:
    rows = [[80.0, 40.0, 30.0]]
    runs = [read_run(make_run("a")), read_run(make_run("b", seed=2, accuracy=rows))]
    comparison = compare(runs)
    assert comparison.groups[0].used == (runs[0],)
    assert comparison.notes == (
        "Unfinished run. gift, seed 2: 1 of 3 tasks learned; not in the numbers of its method.",
    )


def test_method_without_a_finished_run_shows_what_it_has(make_run: Any) -> None:
    rows = [[80.0, 40.0, 30.0]]
    comparison = compare([read_run(make_run("a", accuracy=rows, finished=False))])
    assert not comparison.groups[0].complete
    assert "1 of 3 tasks learned; its numbers are those of the tasks so far" in comparison.notes[0]


def test_same_method_and_seed_are_not_averaged(make_run: Any) -> None:
    runs = [read_run(make_run(name)) for name in ("strong", "weak")]
    assert [g.label for g in compare(runs).groups] == ["gift (strong)", "gift (weak)"]
    assert [g.label for g in compare(runs, ["x", "x"]).groups] == ["x"]
    with pytest.raises(ValueError, match="one label per run: 2 runs, 1 labels"):
        compare(runs, ["x"])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"benchmark": "other"}, "their benchmark differs.*tiny.*other"),
        ({"version": 2}, "their benchmark version differs"),
        ({"tasks": ["a", "b", "c"]}, "their list of tasks differs"),
        (
            {"setting": {"label_space": "union", "task_id": "given", "split": "test"}},
            "their label_space differs",
        ),
        (
            {"setting": {"label_space": "task", "task_id": "given", "split": "validation"}},
            "their split differs",
        ),
    ],
)
def test_refuses_runs_that_measured_different_things(
    make_run: Any, change: dict[str, Any], what: str
) -> None:
    runs = [read_run(make_run("a")), read_run(make_run("b", seed=2, **change))]
    with pytest.raises(ValueError, match=what):
        compare(runs)


def test_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        compare([])


def test_notes_on_different_models_and_modified_sources(make_run: Any) -> None:
    path = make_run("b", seed=2, zero_shot=[61.0, 50.0, 40.0])
    (path / "env.json").write_text('{"clean": false}')
    comparison = compare([read_run(make_run("a")), read_run(path)])
    assert comparison.start.zero_shot[0] == 60.5
    assert "differ by up to 1.0 points" in comparison.notes[0]
    assert "uncommitted changes (gift)" in comparison.notes[1]


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
