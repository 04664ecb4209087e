import json
from typing import Any

import pytest

from gift.runs import Storage
from gift.runs.read import read_run


def test_reads_a_whole_run(make_run: Any) -> None:
    run = read_run(make_run("a"))
    assert (run.method, run.seed, run.learned, run.modified) == ("gift", 1, 3, False)
    assert list(run.seconds) == ["train", "evaluate", "total"]
    assert run.environment == {"python": "3.12", "clean": "True", "torch": "2.13"}
    assert len(run.steps) == 15  # the last line was cut off by a killed process
    assert run.steps[1].losses == {"anchor": 0.1, "task": 1.9}  # not finite: skipped


def test_result_folder_with_matrix_and_summary_only(make_run: Any) -> None:
    run = read_run(make_run("a", only_results=True), images_per_task=4)
    assert (run.config, run.environment, run.steps, run.samples) == (None, {}, (), {})
    assert run.method == "gift"


STORAGE = {"model_bytes": 400, "method_bytes": 300, "extra_parameters": 20}


def test_what_a_run_stores(make_run: Any) -> None:
    path = make_run("a")
    assert read_run(path).storage is None  # as in older summaries
    summary = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text(json.dumps({**summary, "storage": STORAGE}))
    assert read_run(path).storage == Storage(**STORAGE)


@pytest.mark.parametrize("storage", [{**STORAGE, "method_bytes": "many"}, {"model_bytes": 4}, [1]])
def test_a_summary_that_is_none_is_named(make_run: Any, storage: object) -> None:
    path = make_run("a")
    summary = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text(json.dumps({**summary, "storage": storage}))
    with pytest.raises(ValueError, match=r"summary\.json is no summary of a run: storage"):
        read_run(path)


def test_unfinished_run_takes_method_and_time_from_config_and_events(make_run: Any) -> None:
    run = read_run(make_run("a", method="lwf", finished=False))
    assert (run.method, run.seed) == ("lwf", 1)
    assert run.seconds == {"generate": 9.0, "evaluate": 2.0}  # "paint" in older runs
    (make_run.root / "a" / "config.yaml").unlink()
    assert read_run(make_run.root / "a").method == "a"


def test_step_repeated_after_a_resume_counts_once(make_run: Any) -> None:
    path = make_run("a")
    again = {"stage": "train", "task": "birds", "step": 4, "losses": {"task": 7.0}}
    with (path / "events.jsonl").open("a") as file:
        file.write("\n" + json.dumps(again) + "\n")
    steps = read_run(path).steps
    assert [s.losses for s in steps if (s.task, s.step) == ("birds", 4)] == [{"task": 7.0}]


def test_samples_are_spread_over_the_set(make_run: Any) -> None:
    path = make_run("a")
    make_run.generate(path, count=10)
    images = read_run(path, images_per_task=5).samples["birds"]
    assert [image.path.name for image in images] == [f"{i}.png" for i in (0, 2, 4, 6, 8)]
    assert len(read_run(path, images_per_task=100).samples["birds"]) == 10


def test_black_images_and_files_elsewhere_are_skipped(make_run: Any) -> None:
    path = make_run("a")
    make_run.generate(path, black=True)
    (make_run.root / "secret.png").write_bytes(b"x")
    make_run.generate(path, task="02-x", file="../../../../secret.png")
    make_run.generate(path, task="99-unknown")
    assert read_run(path, images_per_task=5).samples == {}


def test_names_lose_control_characters(make_run: Any) -> None:
    path = make_run("a", method="a\nb\x1b", tasks=["x\ud800", "y", "z"], only_results=True)
    run = read_run(path)
    assert (run.method, run.matrix.tasks) == ("a b ", ("x ", "y", "z"))


def test_says_what_is_missing_or_broken(make_run: Any) -> None:
    path = make_run("a")
    with pytest.raises(FileNotFoundError, match=r"not a run folder: it has no matrix\.json"):
        read_run(path / "tasks")
    for wrong in ("[", "[]", '{"benchmark": "x"}'):
        (path / "matrix.json").write_text(wrong)
        with pytest.raises(ValueError, match=r"matrix\.json"):
            read_run(path)


@pytest.mark.parametrize(
    "accuracy", [[[1.0, 2.0]], [[1.0, 2.0, 101.0]], [[1.0, 2.0, float("nan")]], [[1.0] * 3] * 4]
)
def test_refuses_a_wrong_matrix(make_run: Any, accuracy: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="3 tasks need 3"):
        read_run(make_run("a", accuracy=accuracy))
