import importlib.machinery
from types import SimpleNamespace
from typing import ClassVar

import pytest
from support import write_folder

from gift.cli import main
from gift.commands import learn
from gift.config import LearnerConfig
from gift.data import Task
from gift.runs import Event, RunFolder
from gift.settings import validate
from gift.tracking import Steps, check_trackers, tracked

accelerate_tracking = pytest.importorskip("accelerate.tracking")


def config(*names):
    return validate(LearnerConfig, {"tracking": names, "training": {"warmup": 7}})


def log_steps(folder, task, steps):
    for step in steps:
        losses = {"task": 0.5 / (step + 1), "anchor": None}
        folder.log("train", task=task, step=step, losses=losses, lr=0.1, images_per_second=9.0)


def curves(folder):
    """The points of TensorBoard's curves, read back by its own reader."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(folder / "tracking" / "tensorboard"))
    found.Reload()
    return {
        name: [(point.step, point.value) for point in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


class Tracker:
    """Stands for one that needs an account."""

    requires_logging_directory = False
    started: ClassVar[list["Tracker"]] = []

    def __init__(self, project, **options):
        self.project, self.options, self.config, self.points = project, options, None, []
        self.ended, self.fails = False, False
        self.tracker = SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def start(self):
        self.started.append(self)

    def store_init_configuration(self, values):
        self.config = values

    def log(self, values, step):
        if self.fails:
            raise ConnectionError("no server")
        self.points.append((step, values))

    def finish(self):
        self.ended = True


@pytest.fixture
def tracker(monkeypatch):
    monkeypatch.setattr(Tracker, "started", [])
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(accelerate_tracking.LOGGER_TYPE_TO_CLASS, name, Tracker)
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: importlib.machinery.ModuleSpec(name, None)
    )
    return Tracker.started


def test_curves_go_on_over_tasks_and_starts(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.writing(), tracked(folder, config("tensorboard")):
        folder.log("evaluate", task="zero-shot", accuracy={"pets": 10.0, "cars": 30.0})
        log_steps(folder, "pets", range(5))
    with folder.writing(), tracked(folder, config("tensorboard")):
        log_steps(folder, "pets", range(3, 6))  # from the checkpoint on
        folder.log("evaluate", task="pets", accuracy={"pets": 50.0, "cars": 20.0})
        log_steps(folder, "cars/é", range(2))
        folder.log("evaluate", task="cars/é", accuracy={"cars/é": 60.0}, among="seen")
    found = curves(folder.path)
    assert [step for step, _ in found["loss/task"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert found["loss/task"][6][1] == pytest.approx(0.5)
    assert "loss/anchor" not in found
    assert {"learning_rate", "images_per_second"} <= set(found)
    assert found["accuracy_among_task/pets"] == [(0, 10.0), (6, 50.0)]
    assert found["mean_accuracy_among_task"] == [(0, 20.0), (6, 35.0)]
    assert found["accuracy_among_seen/cars_é"] == [(8, 60.0)]
    assert len(list((folder.path / "tracking").rglob("hparams.yml"))) == 1


def test_a_tracker_gets_name_settings_and_points(tracker, tmp_path):
    folder = RunFolder(tmp_path / "micro-1" / "gift-seed0")
    with folder.writing(), tracked(folder, config("wandb")):
        log_steps(folder, "pets", range(2))
    (one,) = tracker
    assert one.project == "gift"
    assert one.options["name"] == "micro-1/gift-seed0"
    assert one.config["training.warmup"] == 7
    assert all(isinstance(value, bool | int | float | str) for value in one.config.values())
    assert [step for step, _ in one.points] == [1, 2]
    assert one.ended


def test_a_run_continues_with_the_tracker_of_its_first_start(tracker, tmp_path):
    folder = RunFolder(tmp_path)
    for _ in range(2):
        with folder.writing(), tracked(folder, config("mlflow", "wandb")):
            pass
    mlflow, wandb, mlflow_again, wandb_again = tracker
    assert (mlflow.options["run_id"], mlflow_again.options["run_id"]) == (None, "r1")
    assert wandb.options["id"] == wandb_again.options["id"] != ""
    assert mlflow.config
    assert mlflow_again.config is None


def test_a_tracker_that_fails_is_warned_of_and_stops_nothing(tracker, tmp_path, caplog):
    folder = RunFolder(tmp_path)
    with folder.writing(), tracked(folder, config("wandb", "mlflow")):
        tracker[0].fails = True
        log_steps(folder, "pets", range(3))
    assert [len(one.points) for one in tracker] == [0, 3]
    assert caplog.text.count("wandb gets no more: ConnectionError: no server") == 1
    assert len(folder.events()) == 3


def test_a_tracker_that_cannot_start_is_refused(tracker, tmp_path, monkeypatch):
    def start(self):
        raise PermissionError("sign in first")

    monkeypatch.setattr(Tracker, "start", start)
    folder = RunFolder(tmp_path)
    with (
        folder.writing(),
        pytest.raises(ValueError, match=r"wandb cannot be started .*sign in first"),
        tracked(folder, config("wandb")),
    ):
        pass


def test_other_processes_send_nothing(tracker, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    with folder.writing():
        monkeypatch.setattr("gift.distributed.is_main", lambda: False)
        with tracked(folder, config("wandb")):
            log_steps(folder, "pets", range(2))
    assert not tracker


def test_trackers_that_are_not_installed_are_refused_before_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"(?s)wandb, tensorboard.*pip install wandb.*\[track\]"):
        check_trackers(["wandb", "tensorboard"])
    task = Task.from_folder(write_folder(tmp_path / "colours"))
    monkeypatch.setattr("gift.commands.learning.open_learner", None)  # nothing is loaded
    with pytest.raises(ValueError, match="not installed"):
        learn(tmp_path / "mine", task, {"tracking": ["tensorboard"]})
    arguments = ["experiment", "table3", "--track", "wandb", "--out", str(tmp_path / "runs")]
    with pytest.raises(SystemExit, match="1"):
        main(arguments)
    assert "pip install wandb" in capsys.readouterr().err


def test_steps_are_numbered_over_all_tasks():
    def step(task, number):
        return Event(stage="train", task=task, step=number)

    def measured(task):
        return Event(stage="evaluate", task=task, accuracy={"a": 1.0})

    steps = Steps()
    lines = [
        (measured("zero-shot"), 0),
        (step("a", 0), 1),
        (step("a", 9), 10),
        (Event(stage="generate", task="b"), 10),
        (measured("a"), 10),
        (step("b", 0), 11),
        (measured("b"), 11),
        (Event(stage="undo", task="b"), 10),
        (measured("closed"), 11),
        (step("b", 4), 16),
        (measured("b"), 16),
    ]
    assert [steps.after(event) for event, _ in lines] == [wanted for _, wanted in lines]
    again = Steps([event for event, _ in lines])
    assert again.after(step("c", 0)) == 17
