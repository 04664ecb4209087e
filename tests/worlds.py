"""A folder with a benchmark of small tasks, in which commands are run and disturbed."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from support import write_folder

from gift import progress
from gift.cli import main

TASKS = ("colours", "shapes", "sounds")
SETTINGS = {
    "training.iterations": 3,
    "training.batch_size": 4,
    "training.warmup": 1,
    "training.learning_rate": 1e-3,
    "training.checkpoint_steps": 1,
    "training.log_every": 1,
    "synthesis.images": 4,
    "synthesis.steps": 1,
    "synthesis.batch_size": 2,
}
RESULTS = ("learner/model/model.safetensors", "learner/method.safetensors", "matrix.json")


@dataclass(frozen=True)
class World:
    """A folder with a benchmark of three tasks, a run of it, and a cache; it can be reset."""

    root: Path
    snapshots: Path
    models: tuple[Path, Path]
    tasks: tuple[str, ...] = TASKS

    def build(self) -> None:
        """Write the benchmark's images and its file."""
        for number, name in enumerate(self.tasks):
            for part in ("train", "test"):
                write_folder(self.root / name / part, ("one", "two"), seed=number)
        (self.root / "base.txt").write_text("fox\nowl\n")
        tasks = [{"name": name, "source": {"path": name}} for name in self.tasks]
        entry = {"name": "mine", "tasks": tasks, "base_classnames": "base.txt"}
        (self.root / "mine.yaml").write_text(yaml.safe_dump(entry))

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def result(self) -> list[bytes]:
        return [(self.run / name).read_bytes() for name in RESULTS]

    def keep(self, name: str) -> None:
        shutil.copytree(self.root, self.snapshots / name)

    def reset(self, name: str) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self.snapshots / name, self.root)

    def command(self, **settings: object) -> list[str]:
        words = ["run", "mine.yaml", "--out", "run", "--home", "home"]
        words += ["--model", str(self.models[0]), "--generator", str(self.models[1])]
        for key, value in {**SETTINGS, **settings}.items():
            words += ["--set", f"{key}={value}"]
        return words

    def start(self, *command: str, **settings: object) -> tuple[int, str]:
        """Run a command in the folder; its exit status and what it says on standard error."""
        status, _, said = self.call(*command, **settings)
        return status, said

    def call(self, *command: str, **settings: object) -> tuple[int, str, str]:
        """Run a command in the folder; its exit status, what it prints and what it says."""
        said, printed = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.root),
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(printed),
            pytest.raises(SystemExit) as end,
        ):
            main(list(command) or self.command(**settings))
        text = said.getvalue()
        assert "Traceback" not in text
        assert "--debug" not in text, f"the bare error of a library: {text}"
        return end.value.code or 0, printed.getvalue(), text

    def fails(self, *command: str, **settings: object) -> str:
        """The message that a command ends with."""
        status, text = self.start(*command, **settings)
        assert status == 1, text
        return text.partition("gift: ")[2]


@contextlib.contextmanager
def at(stage: str, done: int, event: signal.Signals | Callable[[], object]) -> Iterator[None]:
    """Once, when a stage has done so much, a signal comes or something else happens."""
    events = [event]
    write = progress._Lines.write

    def written(self: progress._Lines, now: progress.Progress) -> None:
        write(self, now)
        if (now.stage, now.done) == (stage, done) and events:
            happening = events.pop()
            if isinstance(happening, signal.Signals):
                os.kill(os.getpid(), happening)
            else:
                happening()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress._Lines, "write", written)
        yield
