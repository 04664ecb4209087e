from typing import Any

import numpy as np
import pytest

from gift.report.groups import Estimate, compare
from gift.report.outcome import outcome
from gift.runs.read import read_run


def test_seeds_become_mean_and_sample_deviation(make_run: Any) -> None:
    runs = [read_run(make_run(f"s{s}", seed=s, shift=s)) for s in (1, 2, 4)]
    [group] = compare(runs).groups
    last = group.metric("last")
    assert last is not None
    assert last.mean == pytest.approx(253 / 3 + np.mean([1, 2, 4]))
    assert last.spread == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert group.matrices.shape == (3, 3, 3)


def test_one_run_has_no_spread(make_run: Any) -> None:
    [group] = compare([read_run(make_run("a"))]).groups
    assert group.metric("avg") == Estimate(pytest.approx(620 / 9), None)


def test_unfinished_seed_is_named_and_left_out(make_run: Any) -> None:
    rows = [[80.0, 40.0, 30.0]]
    runs = [read_run(make_run("a")), read_run(make_run("b", seed=2, accuracy=rows))]
    comparison = compare(runs)
    assert comparison.groups[0].used == (runs[0],)
    assert comparison.notes == (
        "Unfinished run. gift, seed 2: 1 of 3 tasks learned; left out of the numbers of its "
        "method.",
    )


def test_method_without_a_finished_run_shows_what_it_has(make_run: Any) -> None:
    rows = [[80.0, 40.0, 30.0]]
    comparison = compare([read_run(make_run("a", accuracy=rows, finished=False))])
    assert comparison.complete == ()
    assert "1 of 3 tasks learned; its numbers are those of the tasks so far" in comparison.notes[0]
    assert outcome(comparison).headline.startswith("gift learned 1 of 3 tasks")


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
    assert comparison.zero_shot[0] == 60.5
    assert "differ by up to 1.0 points" in comparison.notes[0]
    assert "uncommitted changes (gift)" in comparison.notes[1]


def test_outcome_of_one_run(make_run: Any) -> None:
    found = outcome(compare([read_run(make_run("a"))]))
    assert found.headline == "gift learned 3 tasks: mean accuracy rose from 50.0 % to 84.3 %."
    assert found.sentences == (
        "On tasks it had not learned yet it scored 42.8 % (Transfer), 2.2 points below the "
        "zero-shot model (45.0 %).",
        "A learned task lost 6.0 points on average compared with its best moment (Forgetting).",
    )


def test_outcome_of_a_comparison(make_run: Any) -> None:
    runs = [
        read_run(make_run("f", method="finetune", shift=-36.0)),
        read_run(make_run("g", method="gift")),
    ]
    found = outcome(compare(runs))
    assert found.headline == (
        "gift kept most: 84.3 % over all 3 tasks at the end, 36.0 points more than finetune."
    )
    assert "finetune ended below that." in found.sentences[0]
    assert "gift did best on it: 42.8 % (Transfer), 2.2 points below" in found.sentences[1]
    assert "one run per method" in found.sentences[-1]


def test_difference_within_the_spread_is_not_called_a_win(make_run: Any) -> None:
    runs = [
        read_run(make_run(f"{method}{seed}", method=method, seed=seed, shift=shift))
        for method, seed, shift in [("a", 1, 0), ("a", 2, 4), ("b", 1, 1), ("b", 2, 4)]
    ]
    assert outcome(compare(runs)).headline.startswith("b and a end level: 86.8 % and 86.3 %")


def test_outcome_before_the_first_task_and_of_a_single_task(make_run: Any) -> None:
    start = compare([read_run(make_run("a", accuracy=[], finished=False))])
    assert outcome(start).headline == "Nothing has been learned yet."
    single = {"tasks": ["x"], "zero_shot": [50.0], "accuracy": [[40.0]]}
    found = outcome(compare([read_run(make_run("b", **single))]))
    assert found.headline == "gift learned 1 task: mean accuracy fell from 50.0 % to 40.0 %."
    assert found.sentences == ()
