from __future__ import annotations

import fcntl

import pytest
import yaml
from support import write_folder

from gift.config import RunConfig
from gift.data import Paths
from gift.files import read_json
from gift.progress import listening
from gift.runs import RunFolder
from gift.studies import Interval, search

RATE = "training.learning_rate"


@pytest.fixture
def benchmark(tmp_path):
    """Two tasks whose classes differ in brightness; the test images are broken on purpose."""
    for number, name in enumerate(("colours", "shapes")):
        for split in ("train", "validation", "test"):
            write_folder(tmp_path / name / split, ("one", "two", "three"), seed=number)
        (tmp_path / name / "test" / "one" / "0.png").write_bytes(b"never opened")
    tasks = [{"name": name, "source": {"path": name}} for name in ("colours", "shapes")]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "tasks": tasks}))
    return path


@pytest.fixture
def settings(tiny_clip_folder):
    training = {"iterations": 3, "batch_size": 4, "learning_rate": 1e-3, "warmup": 1}
    return {"model": str(tiny_clip_folder), "training": {**training}, "seed": 3}


@pytest.fixture
def start(benchmark, settings, tmp_path):
    del settings["training"]["learning_rate"]

    def run(space, trials=10, folder="search", method="finetune", **options):
        options = {"settings": settings, "paths": Paths.of(tmp_path / "home"), **options}
        where = tmp_path / folder
        return search(str(benchmark), method, space=space, trials=trials, folder=where, **options)

    return run


def trial_folders(folder):
    return sorted(path for path in (folder / "trials").iterdir() if path.is_dir())


def without_seconds(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


class Killed(BaseException):
    """Not an Exception, as when a process is stopped."""


def kill_in(trial):
    """A progress callback that stops everything after the first task of a trial."""

    started = []

    def listen(now):
        if now.stage == "tasks" and now.done == 1:
            started.append(now)
            if len(started) == trial:
                raise Killed

    return listen


def test_a_grid_finds_the_best_of_the_given_runs(start, benchmark, settings, tmp_path):
    space = {RATE: [1e-4, 1e-2], "training.label_smoothing": [0.0, 0.2]}
    outcome = start(space)
    assert outcome == read_json(tmp_path / "search" / "search.json")
    assert outcome["budget"] == 4  # not 10: no point twice
    points = [tuple(row["values"].values()) for row in outcome["rows"]]
    assert len(set(points)) == 4
    assert len(trial_folders(tmp_path / "search")) == 4
    for row in outcome["rows"]:
        folder = tmp_path / "search" / "trials" / row["folder"]
        training = RunFolder(folder).read_config(RunConfig).training
        assert {
            f"training.{k}": getattr(training, k) for k in ("label_smoothing", "learning_rate")
        } == row["values"]
        assert row["avg"] == RunFolder(folder).read_summary().avg
        assert RunFolder(folder).read_config(RunConfig).seed == outcome["seed"] == 3
        assert RunFolder(folder).read_matrix().setting["split"] == "validation"
    assert outcome["best"]["avg"] == max(row["avg"] for row in outcome["rows"])


def test_fewer_trials_are_a_part_of_the_grid_that_more_trials_complete(start, monkeypatch):
    space = {RATE: [1e-4, 1e-3, 1e-2]}
    few = start(space, trials=2)
    assert len(few["rows"]) == 2
    more = start(space, trials=3)
    assert more["rows"][:2] == few["rows"]
    monkeypatch.setattr("gift.studies.searching.run", None)
    assert start(space, trials=3) == more


def test_a_killed_trial_is_continued(start, tmp_path):
    space = {RATE: Interval(1e-4, 1e-2)}
    whole = start(space, trials=3, folder="whole")
    with pytest.raises(Killed), listening(kill_in(trial=2)):
        start(space, trials=3)
    (cut,) = (f for f in trial_folders(tmp_path / "search") if not RunFolder(f).done)
    assert RunFolder(cut).has_learner
    events = len(RunFolder(cut).events())
    resumed = start(space, trials=3)
    assert len(RunFolder(cut).events()) > events  # the same folder went on
    assert without_seconds(resumed["rows"]) == without_seconds(whole["rows"])
    assert len(trial_folders(tmp_path / "search")) == 3


def test_what_a_killed_process_leaves_in_the_journal_is_mended(start, tmp_path):
    first = start({RATE: [1e-4, 1e-3]}, trials=1)
    journal = tmp_path / "search" / "study.journal"
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    journal.with_name("study.journal.lock").touch()
    assert start({RATE: [1e-4, 1e-3]}, trials=2)["rows"][0] == first["rows"][0]


def test_an_interval_is_searched_without_repeats(start):
    outcome = start({RATE: Interval(1e-4, 1e-2), "training.label_smoothing": [0.0, 0.2]}, trials=4)
    rates = [row["values"][RATE] for row in outcome["rows"]]
    assert len(set(rates)) == 4
    assert all(1e-4 <= rate <= 1e-2 and float(f"{rate:.4g}") == rate for rate in rates)
    assert outcome["space"][RATE] == {"low": 1e-4, "high": 1e-2}


def test_a_failed_trial_is_reported_and_the_search_continues(start):
    outcome = start({RATE: [1e30, 1e-3]})
    good, bad = sorted(outcome["rows"], key=lambda row: row["values"][RATE])
    assert "not finite" in bad["failure"]
    assert "avg" not in bad
    assert outcome["best"] == good


def test_values_that_contradict_each_other_are_a_failed_trial(start):
    space = {"synthesis.source": ["real", "synthetic"], "synthesis.plain_template": [False, True]}
    (failed,) = (row for row in start(space)["rows"] if "failure" in row)
    assert failed["values"] == {"synthesis.source": "real", "synthesis.plain_template": True}
    assert "nothing is generated" in failed["failure"]


def test_nothing_finite_is_no_best(start):
    assert start({RATE: [1e30]})["best"] is None


def test_a_trial_of_another_process_is_left_to_it(start, tmp_path):
    """It is retried as soon as that process is gone."""
    space = {RATE: [1e-4, 1e-3, 1e-2]}
    with pytest.raises(Killed), listening(kill_in(trial=1)):
        start(space)
    with (tmp_path / "search" / ".lock").open() as theirs:
        fcntl.flock(theirs, fcntl.LOCK_SH)
        assert len(start(space)["rows"]) == 2
    assert len(start(space)["rows"]) == 3
    assert len(trial_folders(tmp_path / "search")) == 3


def test_an_interrupted_point_of_a_grid_is_not_lost(start, monkeypatch):
    """Ctrl-C makes optuna call the trial failed."""
    space = {RATE: [1e-4, 1e-3]}

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gift.studies.searching.run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start(space)
    monkeypatch.undo()
    assert sorted(row["values"][RATE] for row in start(space)["rows"]) == space[RATE]


@pytest.mark.slow
def test_processes_share_a_search_without_doing_work_twice(start, tmp_path):
    space = {RATE: [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]}
    outcome = start(space, jobs=2)
    assert sorted(row["values"][RATE] for row in outcome["rows"]) == sorted(space[RATE])
    assert len(trial_folders(tmp_path / "search")) == 5
    for folder in trial_folders(tmp_path / "search"):
        stages = [event.stage for event in RunFolder(folder).events()]
        assert stages.count("evaluate") == 3


def test_progress_counts_trials(start):
    seen = []
    with listening(seen.append):
        start({RATE: [1e-4, 1e-3]})
    assert [now[:3] for now in seen if now.stage == "trials"] == [
        ("trials", 0, 2),
        ("trials", 1, 2),
        ("trials", 2, 2),
    ]


def test_test_images_are_refused(start, settings):
    chosen = {**settings, "evaluation": {"split": "test"}}
    with pytest.raises(ValueError, match="never on test images"):
        start({RATE: [1e-3]}, settings=chosen)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "search space is empty"),
        ({"training.learning_rat": [1]}, "Did you mean 'training.learning_rate'"),
        ({RATE: [1e-3, "fast"]}, "learning_rate=fast"),
        ({RATE: []}, "at least one value"),
        ({RATE: [1e-3, 1e-3]}, "each only once"),
        ({RATE: [[1e-3]]}, "cannot be tried"),
        ({"training.log_every": Interval(1, 9)}, "list the values if only some are allowed"),
        ({"seed": [1, 2]}, "what is measured"),
        ({"evaluation.split": ["test"]}, "what is measured"),
    ],
)
def test_a_wrong_space_is_refused_before_any_work(start, tmp_path, space, message):
    with pytest.raises(ValueError, match=message):
        start(space)
    assert not (tmp_path / "search").exists()


def test_a_wrong_task_is_refused_and_leaves_the_folder_free(start, settings, tmp_path):
    space = {"training.learning_rate": [1e-3]}
    with pytest.raises(ValueError, match="unknown task 'nothing'"):
        start(space, settings={**settings, "tasks": ["nothing"]})
    assert len(start(space)["rows"]) == 1


@pytest.mark.parametrize("counts", [{"trials": 0}, {"jobs": 0}])
def test_no_trial_and_no_process_are_refused(start, counts):
    with pytest.raises(ValueError, match="at least 1"):
        start({RATE: [1e-3]}, **counts)


def test_another_search_needs_another_folder(start, settings):
    start({RATE: [1e-3]})
    with pytest.raises(ValueError, match=r"holds another search: space\.training\.learning_rate"):
        start({RATE: [1e-3, 1e-2]})
    with pytest.raises(ValueError, match="seed is 3 there and 4 here"):
        start({RATE: [1e-3]}, settings={**settings, "seed": 4})
    with pytest.raises(ValueError, match="method is 'finetune' there and 'zero_shot' here"):
        start({RATE: [1e-3]}, method="zero_shot")


def test_optuna_is_named_where_it_is_missing(start, monkeypatch):
    monkeypatch.setattr("gift.studies.searching.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'gift-cl\[search\]'"):
        start({RATE: [1e-3]})
