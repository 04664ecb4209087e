"""Any damage to any files of a run or a learner: the same bits as without it, or a refusal by name.

A few examples by default; ``GIFT_EXAMPLES=500 pytest tests/test_damaged_folders.py`` tries more.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import unittest.mock
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from worlds import World, at

ASKED = "GIFT_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("GIFT_EXAMPLES", "3"))
HARMS = ("deleted", "emptied", "cut", "foreign")
STATES = ("training", "saved", "done")
"""Where a run or a learner was interrupted in its second task."""
EVIDENCE = ("manifest.json", "data.json", "inputs.json", "learner", "tasks/*")
"""Without any of them, a folder is one in which nothing was learned yet."""
COSTS = ("seconds", "peak_memory_mb", "command")
UNCHECKED = ("env.json", "events.jsonl", ".lock", ".owner.json")
"""Notes: what is damaged in them is said and lost, and every start writes them."""


@dataclass(frozen=True)
class Harm:
    """What happens to a file or folder below the run folder."""

    path: str
    kind: str

    def do(self, folder: Path, foreign: Path) -> None:
        path, other = folder / self.path, foreign / self.path
        if self.kind in {"emptied", "cut"} and path.is_file():
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2] if self.kind == "cut" else b"")
        elif path.exists() and (self.kind == "deleted" or other.exists()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            if self.kind == "foreign":
                copy = shutil.copytree if other.is_dir() else shutil.copy
                copy(other, path)


def harms(folder: Path) -> st.SearchStrategy[list[Harm]]:
    """Several harms to the files and folders in a folder."""
    found = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != ".lock"
    )
    one = st.builds(Harm, st.sampled_from(found), st.sampled_from(HARMS))
    top = [name for name in found if "/" not in name]
    likely = st.builds(Harm, st.sampled_from(top), st.sampled_from(HARMS))
    return st.lists(likely | one, min_size=1, max_size=8, unique_by=lambda harm: harm.path)


def result(folder: Path) -> dict[str, object]:
    """What a run or learner comes to."""
    files = sorted(path for path in folder.glob("learner/**/*") if path.is_file())
    found: dict[str, object] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in [*files, folder / "matrix.json"]
        if path.name not in {"manifest.json", "history.json"} and path.exists()
    }
    for history in folder.glob("learner/history.json"):
        costs = {"learned": None, "seconds": None}
        found["history"] = [record | costs for record in json.loads(history.read_text())]
    if (folder / "summary.json").exists():
        summary = json.loads((folder / "summary.json").read_text())
        found["summary"] = {key: value for key, value in summary.items() if key not in COSTS}
    return found


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder but for notes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in UNCHECKED
    }


@pytest.fixture(autouse=True, scope="module")
def handlers() -> Iterator[None]:
    """Signals act as in a terminal, and afterwards as before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny_clip_folder, tiny_pipeline_folder) -> World:
    root = tmp_path_factory.mktemp("damaged")
    models = (tiny_clip_folder, tiny_pipeline_folder)
    made = World(root / "world", root / "kept", models, ("colours", "shapes"))
    made.build()
    made.keep("fresh")
    return made


def interrupt(event: tuple[str, int] | None) -> contextlib.AbstractContextManager[object]:
    """Where a stage has done so much; without one, between saving and measuring."""
    if event is not None:
        return at(*event, signal.SIGINT)
    return unittest.mock.patch("gift.commands.learning.keep", side_effect=KeyboardInterrupt)


def keep_states(
    world: World, name: str, command: Sequence[str], saved: tuple[str, int] | None
) -> None:
    """Keep what a command leaves where it is interrupted, and in the end."""
    for state, event in zip(STATES, (("learning shapes", 1), saved), strict=False):
        with interrupt(event):
            assert world.start(*command)[0] == 130
        world.keep(f"{name}-{state}")
    assert world.start(*command)[0] == 0
    world.keep(f"{name}-done")


RUN = {"training.iterations": 2, "synthesis.images": 2}


@pytest.fixture(scope="module")
def runs(world) -> World:
    """Runs with two seeds in all states."""
    for seed in (0, 3):
        world.reset("fresh")
        keep_states(world, f"run{seed}", world.command(seed=seed, **RUN), ("evaluating", 2))
    return world


def learning(world: World, task: str, seed: int) -> list[str]:
    """The command that lets a learner learn a task, with the settings of the runs."""
    options = world.command(seed=seed, **RUN)
    return ["learn", "run", "--task", task, *options[options.index("--home") :]]


@pytest.fixture(scope="module")
def learners(world) -> World:
    """Learners of two tasks with two seeds, in all states of the second task."""
    for seed in (0, 3):
        world.reset("fresh")
        assert world.start(*learning(world, "colours", seed))[0] == 0
        keep_states(world, f"learner{seed}", learning(world, "shapes", seed), None)
    return world


def same_or_refused(
    world: World, data: st.DataObject, kept: tuple[str, str], command: Sequence[str]
) -> tuple[str, str]:
    """Damage a folder and call a command; where it refuses, put the files back and call it again.

    Args:
        world: where.
        data: draws the damage.
        kept: names of the folder as it is, and of another one, whose files are foreign.
        command: what is called.

    Returns:
        What the first and the last call print.
    """
    whole, foreign = (world.snapshots / name / "run" for name in kept)
    found = data.draw(harms(whole))
    world.reset(kept[0])
    for harm in found:
        harm.do(world.run, foreign)
    foreigners = {harm.path for harm in found if harm.kind == "foreign"}
    assume(not {"config.yaml", "learner"} <= foreigners)  # that is another learner, as a whole
    assume(any(next(world.run.glob(name), None) for name in EVIDENCE))
    before, right = content(world.run), content(whole)
    status, printed, said = world.call(*command)
    note(f"{kept[0]}: {found}: {status} {said}")
    if not status:
        return printed, printed
    assert re.search(r"gift: .*(\brun\b|'shapes' was already learned)", said)
    after = content(world.run)
    for name, value in before.items():  # only what was put right may have changed
        assert after.get(name) in {value, right.get(name)}, name
    shutil.rmtree(world.run)
    shutil.copytree(whole, world.run)
    status, again, _ = world.call(*command)
    assert status == 0
    return printed, again


def tried(test: Callable[[st.DataObject], None]) -> None:
    """Try a few examples, always the same ones, or as many as were asked for."""
    settings(max_examples=EXAMPLES, derandomize=not ASKED, database=None)(given(st.data())(test))()


def test_a_damaged_run_ends_with_the_same_bits_or_is_refused(runs):
    expected = result(runs.snapshots / "run0-done" / "run")

    def holds(data: st.DataObject) -> None:
        state = data.draw(st.sampled_from(STATES))
        same_or_refused(runs, data, (f"run0-{state}", f"run3-{state}"), runs.command(**RUN))
        assert result(runs.run) == expected

    tried(holds)


def test_a_damaged_learner_learns_the_same_or_is_refused(learners):
    expected = result(learners.snapshots / "learner0-done" / "run")

    def holds(data: st.DataObject) -> None:
        state = data.draw(st.sampled_from(["training", "saved"]))
        names = (f"learner0-{state}", f"learner3-{state}")
        same_or_refused(learners, data, names, learning(learners, "shapes", 0))
        assert result(learners.run) == expected

    tried(holds)


def test_a_damaged_learner_predicts_the_same_or_is_refused(learners):
    image = "shapes/test/one/0.png"
    commands = {
        "predict": ["predict", "run", image, "--json", "--home", "home"],
        "eval": ["eval", "run", "--task", "shapes", "--json", "--home", "home"],
    }
    learners.reset("learner0-done")
    expected = {name: learners.call(*words)[1] for name, words in commands.items()}

    def holds(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(commands)))
        kept = ("learner0-done", "learner3-done")
        first, last = same_or_refused(learners, data, kept, commands[name])
        assert last == expected[name]
        assert first in {"", last}

    tried(holds)
