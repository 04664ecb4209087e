from typing import Any

import pytest

from gift.report.comparison import compare
from gift.runs.read import read_run


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
