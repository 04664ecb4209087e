"""Nothing is lost: full disks, vanished files, signals, damage and second processes.

Every test provokes a fault in a run of a small benchmark, reads what the user is told, and runs the
same command again without the fault: it must end with the bits of a run that was left alone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import Tensor
from worlds import RESULTS, World, at

from gift.losses import classification


@pytest.fixture(scope="module")
def worlds(tmp_path_factory, tiny_clip_folder, tiny_pipeline_folder) -> World:
    """Kept are: nothing run yet, a run left alone, one stopped in its last task."""
    root = tmp_path_factory.mktemp("faults")
    world = World(root / "world", root / "kept", (tiny_clip_folder, tiny_pipeline_folder))
    world.build()
    world.keep("fresh")
    assert world.start()[0] == 0
    world.keep("done")
    world.reset("fresh")
    with at("learning sounds", 2, signal.SIGINT):
        assert world.start()[0] == 130
    world.keep("stopped")
    return world


@pytest.fixture(scope="module")
def expected(worlds) -> list[bytes]:
    """What comes out of a run that is left alone."""
    return [(worlds.snapshots / "done" / "run" / name).read_bytes() for name in RESULTS]


@pytest.fixture
def fresh(worlds) -> World:
    worlds.reset("fresh")
    return worlds


@pytest.fixture
def stopped(worlds) -> World:
    worlds.reset("stopped")
    return worlds


@pytest.fixture
def done(worlds) -> World:
    worlds.reset("done")
    return worlds


@pytest.fixture(autouse=True, scope="module")
def handlers() -> Iterator[None]:
    """Signals act as in a terminal, and afterwards as before."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


# A full disk ------------------------------------------------------------------------------------


@contextlib.contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The system refuses to make any file larger; what fits is written, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@dataclass
class Disk:
    """Refuses writes below a folder from the n-th on, as long as ``code`` is set."""

    folder: Path = Path("/nowhere")
    code: int = 0
    allowed: int = 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """See :func:`sys.addaudithook`."""
        if self.code and self._is_write(event, arguments):
            self.allowed -= 1
            if self.allowed < 0:
                raise OSError(self.code, os.strerror(self.code), arguments[0])

    def _is_write(self, event: str, arguments: tuple[object, ...]) -> bool:
        if event not in {"open", "os.mkdir", "os.rename"}:
            return False
        if event == "open" and not int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR):
            return False
        path = arguments[0]
        return isinstance(path, str | Path) and Path(path).absolute().is_relative_to(self.folder)

    @contextlib.contextmanager
    def refusing(self, folder: Path, code: int, after: int = 0) -> Iterator[None]:
        self.folder, self.code, self.allowed = folder, code, after
        try:
            yield
        finally:
            self.code = 0


disk = Disk()
sys.addaudithook(disk)  # for good: a hook cannot be taken back

FILES = {  # what does not fit, and steps between checkpoints
    "run/config.yaml": 0,
    "run/events.jsonl": 0,
    "home/images/*/000001.png": 0,
    "home/pixels/*.npy": 0,
    "run/learner/model/model.safetensors": 0,
    "the checkpoint": 1,
}


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_does_not_fit_on_the_disk(fresh, expected, file):
    """Cut off in the middle of the write, whoever writes it."""
    whole = fresh.snapshots / "done"
    sizes = [path.stat().st_size for path in whole.glob(file)]
    model = (whole / "run/learner/model/model.safetensors").stat().st_size
    with files_end_at(max(sizes, default=model + 1) - 1):
        message = fresh.fails(**{"training.checkpoint_steps": FILES[file]})
    assert "cannot be written (File too large" in message
    assert "free some space" in message
    assert fresh.start()[0] == 0
    assert fresh.result == expected


@pytest.mark.parametrize("state", ["fresh", "stopped"])
@pytest.mark.parametrize("writes", [1, 4, 9, 17, 30, 55])
def test_the_disk_is_full_from_the_nth_write_on(worlds, expected, state, writes):
    worlds.reset(state)
    with disk.refusing(worlds.root, errno.ENOSPC, after=writes):
        message = worlds.fails()
    assert "cannot be written (No space left on device" in message
    assert re.search(r"(run|home/\w+)[ /].*; .*free some space", message)
    assert worlds.start()[0] == 0
    assert worlds.result == expected


# A folder that cannot be written ----------------------------------------------------------------


@pytest.mark.parametrize("place", ["run", "home"])
@pytest.mark.parametrize("state", ["fresh", "stopped"])
def test_a_read_only_folder_is_named(worlds, expected, state, place):
    worlds.reset(state)
    shutil.rmtree(worlds.root / "home", ignore_errors=True)
    with disk.refusing(worlds.root / place, errno.EROFS):
        message = worlds.fails()
    assert re.search(rf"{place}.* cannot be written \(Read-only file system", message)
    assert worlds.start()[0] == 0
    assert worlds.result == expected


def test_a_file_in_the_place_of_the_folder_is_named(fresh):
    fresh.run.touch()
    assert "run cannot be written (File exists)" in fresh.fails()


def test_a_read_only_learner_still_serves(done):
    image = "sounds/test/one/0.png"
    with disk.refusing(done.run, errno.EROFS):
        assert done.start("predict", "run", image, "--home", "home")[0] == 0
        assert done.start("eval", "run", "--task", "sounds", "--home", "home")[0] == 0


# Data that vanish -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "workers"),
    [(("learning sounds", 1), 0), (("tasks", 2), 1)],
    ids=["during", "worker"],
)
def test_images_that_vanish_while_they_are_learned(stopped, expected, time, workers):
    """Put back, they let the run resume."""
    images, away = stopped.root / "sounds" / "train", stopped.root / "away"
    shutil.rmtree(stopped.run / "tasks" / "03-sounds" / "checkpoint")
    with at(*time, lambda: images.rename(away)):
        message = stopped.fails(**{"training.workers": workers})
    assert re.match(r"\S+sounds/train/\w+/\d\.png cannot be read .*; replace or remove", message)
    assert message.count("\n") == 1
    away.rename(images)
    assert stopped.start()[0] == 0
    assert stopped.result == expected


def test_an_image_that_vanished_between_two_starts(stopped, expected):
    image = stopped.root / "sounds" / "train" / "one" / "0.png"
    image.rename(stopped.root / "away.png")
    message = stopped.fails()
    assert "sounds.train.images is 8 there and 7 here" in message
    assert "Bring the data back" in message
    (stopped.root / "away.png").rename(image)
    assert stopped.start()[0] == 0
    assert stopped.result == expected


# Being asked to stop ----------------------------------------------------------------------------

STOPS = [
    ("decode", 8, signal.SIGTERM),
    ("generate", 2, signal.SIGINT),
    ("learning shapes", 2, signal.SIGTERM),
    ("evaluating", 2, signal.SIGINT),
]


@pytest.mark.parametrize(("stage", "count", "number"), STOPS)
def test_asked_to_stop(fresh, expected, stage, count, number):
    with at(stage, count, number):
        status, text = fresh.start()
    assert status == 130
    assert "interrupted; finished work is kept, run the same command again" in text
    assert fresh.start()[0] == 0
    assert fresh.result == expected


# Damage -----------------------------------------------------------------------------------------


def flip(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def digit(content: bytearray, chance: random.Random) -> None:
    """Another number: what no parser notices."""
    place = chance.choice([i for i, byte in enumerate(content) if byte in b"23456789"])
    content[place] = ord("1")


def damage(world: World, file: str, harm: Callable[[bytearray, random.Random], None]) -> None:
    """Harm all files of a pattern, each at another random place."""
    chance = random.Random(f"{file} {harm.__name__}")
    paths = sorted(world.root.glob(file))
    assert paths
    for path in paths:
        content = bytearray(path.read_bytes())
        harm(content, chance)
        path.write_bytes(content)


CHECKPOINT = "run/tasks/03-sounds/checkpoint/step-0000002"
NAMED = {  # what is said when it is damaged
    "run/learner/model/model.safetensors": "model/model.safetensors not as written",
    "run/learner/model/config.json": "model/config.json not as written",
    "run/learner/method.safetensors": "method.safetensors not as written",
    "run/learner/memory.json": "memory.json not as written",
    "run/learner/manifest.json": "The learner before is used",
    f"{CHECKPOINT}/state.safetensors": f"{CHECKPOINT}: state.safetensors not as written",
    f"{CHECKPOINT}/manifest.json": f"checkpoint {CHECKPOINT}",
    "home/images/*/000001.png": "1 images are damaged or missing; generated again",
    "home/pixels/*.npy": ".npy is not as it was written; it is made again",
}
UNSAID = (  # nothing is taken from it, or what it says is checked against something else
    "run/config.yaml",
    "run/data.json",
    "home/images/*/metadata.jsonl",
    "home/images/*/set.json",
    "run/.owner.json",
    "run/env.json",
    "run/events.jsonl",
    "run/learner.previous/model/model.safetensors",
    "run/tasks/01-colours/eval.json",
)
HARMS = [(file, flip) for file in NAMED] + [(file, cut) for file in (*NAMED, *UNSAID)]


@pytest.mark.parametrize(("file", "harm"), HARMS)
def test_a_damaged_file_is_repaired(stopped, expected, file, harm):
    damage(stopped, file, harm)
    status, text = stopped.start()
    assert status == 0, text
    assert NAMED.get(file, "") in text
    assert stopped.result == expected


@pytest.mark.parametrize("harm", [flip, cut, digit])
@pytest.mark.parametrize("state", ["stopped", "done"])
def test_an_altered_matrix_is_refused_and_may_be_put_back(worlds, expected, state, harm):
    worlds.reset(state)
    whole = (worlds.run / "matrix.json").read_bytes()
    damage(worlds, "run/matrix.json", harm)
    for command in (worlds.command(), ["report", "run"]):
        message = worlds.fails(*command)
        assert "run/matrix.json is not as it was written (wrong checksum)" in message
        assert "the figures also stand in run/tasks/*/eval.json" in message
    (worlds.run / "matrix.json").write_bytes(whole)
    assert worlds.start()[0] == 0
    assert worlds.result == expected


@pytest.mark.parametrize("harm", [flip, cut, digit])
@pytest.mark.parametrize("file", ["config.yaml", "summary.json"])
def test_a_finished_run_is_repaired_without_its_marker(done, file, harm):
    whole = (done.run / file).read_text()
    damage(done, f"run/{file}", harm)
    for command in (done.command(), ["report", "run"]):
        assert f"run/{file} is not as it was written (wrong checksum)" in done.fails(*command)
    (done.run / "DONE").unlink()
    assert done.start()[0] == 0
    if file == "config.yaml":
        assert (done.run / file).read_text() == whole
    else:
        costs = {"seconds": 0, "peak_memory_mb": 0, "command": ""}
        again = json.loads((done.run / file).read_text())
        assert {**again, **costs} == {**json.loads(whole), **costs}
    assert done.start("report", "run")[0] == 0


@pytest.mark.parametrize("harm", [flip, cut])
def test_a_damaged_manifest_is_refused_and_may_be_put_back(stopped, expected, harm):
    whole = (stopped.run / "manifest.json").read_bytes()
    damage(stopped, "run/manifest.json", harm)
    assert "run/manifest.json is damaged" in stopped.fails()
    (stopped.run / "manifest.json").unlink()
    assert "run/manifest.json is missing" in stopped.fails()
    (stopped.run / "manifest.json").write_bytes(whole)
    assert stopped.start()[0] == 0
    assert stopped.result == expected


@pytest.mark.parametrize("file", ["config.yaml", "data.json"])
def test_a_deleted_file_is_missed(stopped, expected, file):
    (stopped.run / file).unlink()
    message = stopped.fails(**{"training.iterations": 4, "evaluation.split": "validation"})
    assert re.search("config.yaml is missing|made with other settings", message)
    assert stopped.start()[0] == 0
    assert (stopped.run / file).exists()
    assert stopped.result == expected


def test_files_of_another_run_are_refused_before_any_work(stopped, expected):
    """The learner of a run with another seed."""
    shutil.move(stopped.run, stopped.root / "own")
    with at("learning sounds", 1, signal.SIGINT):
        stopped.start(seed=3)
    other = stopped.run.rename(stopped.root / "other")
    shutil.copytree(stopped.root / "own", stopped.run)
    for source, refused in ((other, True), (stopped.root / "own", False)):
        shutil.rmtree(stopped.run / "learner")
        shutil.copytree(source / "learner", stopped.run / "learner")
        if refused:
            assert "run/learner belongs to another run than run" in stopped.fails()
    assert stopped.start()[0] == 0
    assert stopped.result == expected


def test_the_first_learner_has_none_before_it(fresh):
    with at("learning shapes", 1, signal.SIGINT):
        fresh.start()
    damage(fresh, "run/learner/model/model.safetensors", flip)
    message = fresh.fails()
    assert "run/learner: model/model.safetensors not as written (wrong checksum)" in message
    assert "Put back a copy of the folder, or start again" in message


def test_a_damaged_learner_predicts_nothing(done):
    """The one before knows a task less: its answers would be taken for those of this one."""
    damage(done, "run/learner/model/model.safetensors", flip)
    for words in (["predict", "run", "sounds/test/one/0.png"], ["eval", "run", "--task", "sounds"]):
        message = done.fails(*words, "--home", "home")
        assert "run/learner: model/model.safetensors not as written" in message
        assert (
            "to use the learner of one task before, remove it and call run/learner.prev" in message
        )
    shutil.rmtree(done.run / "learner")
    (done.run / "learner.previous").rename(done.run / "learner")
    assert done.start("predict", "run", "sounds/test/one/0.png", "--home", "home")[0] == 0


def test_a_learner_with_altered_settings_is_refused(done):
    """What ``run`` is given by its command, others read from the folder."""
    for path in done.run.iterdir():
        if path.is_file() and path.name != "config.yaml":
            path.unlink()
    config = done.run / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("teacher: last", "teacher: initial"))
    done.root.joinpath("colours").rename(done.root / "more")
    for command in ("learn", "eval"):
        message = done.fails(command, "run", "--task", "more", "--home", "home")
        assert "run/learner was made with other settings than run/config.yaml holds" in message
    config.write_text(text)
    assert done.start("learn", "run", "--task", "more", "--home", "home")[0] == 0
    config.write_text(text.replace("teacher: last", "teacher: initial"))
    message = done.fails("learn", "run", "--task", "shapes", "--home", "home")
    assert "run/config.yaml is not as it was written" in message


# Two processes ----------------------------------------------------------------------------------


def test_a_second_process_is_refused_until_the_first_is_dead(stopped, expected):
    """The first is stopped in the middle of its work, and then killed."""
    code = (
        "import os, signal, sys; from gift.cli import console, main\n"
        "from gift.progress import listening\n"
        "def stop(now): "
        "now.stage == 'learning sounds' and os.kill(os.getpid(), signal.SIGSTOP)\n"
        "console.listening = lambda shown: listening(stop); main(sys.argv[1:])"
    )
    first = subprocess.Popen([sys.executable, "-c", code, *stopped.command()], cwd=stopped.root)
    os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WNOWAIT)
    message = stopped.fails()
    assert f"another process works in run (process {first.pid} on " in message
    assert "wait for it, or use another folder" in message
    first.kill()
    first.wait()
    assert stopped.start()[0] == 0
    assert stopped.result == expected


# Losses that are not finite ---------------------------------------------------------------------


def test_a_loss_that_is_not_finite(stopped, expected, monkeypatch):
    """The state stays as it was; without the fault, the run resumes."""
    _spoil_losses(monkeypatch)
    message = stopped.fails()
    assert re.match(r"task sounds, step 2: task is not finite \(task batch: images \[\d", message)
    assert "training.on_nonfinite = skip" in message
    monkeypatch.undo()
    assert stopped.start()[0] == 0
    assert stopped.result == expected


def test_a_step_with_a_loss_that_is_not_finite_may_be_skipped(fresh, monkeypatch):
    _spoil_losses(monkeypatch)
    status, text = fresh.start(**{"training.on_nonfinite": "skip", "method_settings": "{}"})
    assert status == 0
    assert text.count("The step is skipped.") == 1
    assert json.loads((fresh.run / "summary.json").read_text())["steps_left_out"] == 1


def _spoil_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first task loss from now on is not a number."""
    spoilt: list[bool] = []

    def spoil(*arguments: Tensor, **options: float) -> Tensor:
        found = classification(*arguments, **options)
        spoilt.append(True)
        return found * float("nan") if len(spoilt) == 1 else found

    monkeypatch.setattr("gift.methods.gift.classification", spoil)


def test_the_page_names_tests_that_exist():
    root = Path(__file__).parents[1]
    page = (root / "docs" / "reliability.md").read_text()
    named = re.findall(r"`(?:(tests/[\w/]+\.py)(?:::)?)?(test_\w+)?`", page)
    found = [
        (root / (file or "tests/test_faults.py"), name) for file, name in named if file or name
    ]
    assert len(found) > 20
    for path, name in found:
        assert not name or f"def {name}(" in path.read_text(), name
        assert path.exists()
