"""The run folder: what is where, written so that a killed process never leaves half a file.

Everything goes to a temporary name first and is renamed; ``DONE`` comes last. A folder holds
``config.yaml``, ``env.json``, ``events.jsonl``, ``learner/``, ``tasks/NN-name/``, ``matrix.json``,
``summary.json`` and ``DONE``.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from gift import distributed
from gift.files import (
    as_json,
    copy_of,
    damage,
    read_json,
    recover,
    remove_unfinished,
    restore,
    unaltered,
    write_json,
    write_text,
    write_with_copy,
    writing_to,
)
from gift.metrics import AccuracyMatrix
from gift.settings import Settings, differences, identity, validate

log = logging.getLogger(__name__)

_CURE = (
    "what was finished is kept; make the folder writable or free some space, then run the same "
    "command again"
)
EARLIER_STAGES = {"paint": "generate"}
"""Names of stages in the files of earlier versions -> their names now."""

_PACKAGES = ("gift-cl", "torch", "transformers", "diffusers", "accelerate", "numpy", "pillow")


class RunFolder:
    """Paths and files of one run (or learner) folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def learner(self) -> Path:
        return self.path / "learner"

    @property
    def previous_learner(self) -> Path:
        """The learner of one task before, should the last one be damaged."""
        return self.path / "learner.previous"

    @property
    def has_learner(self) -> bool:
        """Whether a task was finished here."""
        return any((folder / "memory.json").exists() for folder in self._learners)

    @property
    def _learners(self) -> tuple[Path, ...]:
        """Where a learner may be: in its place, on its way there after a crash, or before."""
        return (self.learner, self.path / "learner.new", self.previous_learner)

    def whole_learner(self) -> Path:
        """The learner's folder, or where that is damaged, the one before.

        Raises:
            ValueError: no learner is whole; says what is wrong with the last one.
        """
        problem = damage(self.learner)
        if problem is None:
            return self.learner
        _, coming, previous = self._learners
        if damage(coming, sealed=True) is None:
            return coming
        if damage(previous) is None:
            log.warning("%s: %s. The learner before is used.", self.learner, problem)
            return previous
        raise ValueError(
            f"{self.learner}: {problem}, and there is no whole learner of the task before. Put "
            "back a copy of the folder, or start again in another one."
        )

    @property
    def done(self) -> bool:
        return (self.path / "DONE").exists()

    def task(self, position: int, name: str) -> Path:
        """The folder of one task; ``position`` counts from 1. Of a long name, it has the start."""
        safe = re.sub(r"[^\w.-]+", "-", name)[:60].strip(".-") or "task"
        return self.path / "tasks" / f"{position:02d}-{safe}"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder and keep other processes out of it while the block runs.

        The system frees the lock of a process that is gone. Of processes that work together the
        main one holds it for all.

        Raises:
            OSError: it cannot be made or written, with the reason.
            ValueError: another process works in it; says which.
        """
        lock = FileLock(self.path / ".lock")
        with writing_to(self.path, "the run folder", _CURE):
            try:
                distributed.on_main(lambda: self._enter(lock))
                yield
            finally:
                lock.release()

    def _enter(self, lock: FileLock) -> None:
        owner = self.path / ".owner.json"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"another process works in {self.path} ({_described(owner)}); wait for it, or "
                "use another folder."
            ) from None
        write_json(owner, {"pid": os.getpid(), "host": platform.node(), "since": _now()})
        (self.path / "tasks").mkdir(exist_ok=True)
        remove_unfinished(self.path)
        recover(self.learner, self.previous_learner)
        for path in (self._matrix, self._summary):
            restore(path)
        self.mend_events()

    @property
    def _matrix(self) -> Path:
        return self.path / "matrix.json"

    @property
    def _summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def _config(self) -> Path:
        return self.path / "config.yaml"

    def write_config(self, config: Settings) -> None:
        """Store the resolved configuration, or check that it agrees with the folder's.

        What does not bear on results may change.

        Raises:
            ValueError: something was already learned with another configuration; names what
                differs.
        """
        if self.has_config and (self.has_learner or self.read_matrix() is not None):
            known = type(config).model_fields
            kept = _mapping(unaltered(self._config)) or self.read_config()
            own = {key: value for key, value in kept.items() if key in known}
            stored = validate(type(config), own, where=str(self._config))
            if different := differences(identity(stored), identity(config)):
                raise ValueError(
                    f"{self.path} was made with other settings: {'; '.join(different)}. Use "
                    "another folder, or the same settings to continue."
                )
        if not distributed.is_main():
            return
        if self.done:
            restore(self._config)
            return
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_with_copy(self._config, text)

    @property
    def has_config(self) -> bool:
        return self._config.exists()

    def read_config(self) -> dict[str, Any]:
        """The resolved configuration.

        One that was changed by hand is told of and holds; one that cannot be read is taken from
        its copy.

        Raises:
            ValueError: it cannot be read, nor its copy.
        """
        text, copy = self._config.read_bytes(), copy_of(self._config)
        found = _mapping(text)
        if found is None:
            found = _mapping(unaltered(self._config))
        elif copy is not None and text != copy.encode():
            told = "%s is not as it was written. If the change is not yours, see .copies beside it."
            log.warning(told, self._config)
        if found is None:
            raise ValueError(
                f"{self._config} is damaged, it holds no configuration; put back a copy of it, or "
                "start again in another folder."
            )
        return found

    def write_environment(self, device: str) -> None:
        """Store versions, machine, device and the state of the source tree."""
        if distributed.is_main():
            write_json(self.path / "env.json", environment(device))

    def log(self, stage: str, **values: Any) -> None:
        """Append one line to events.jsonl."""
        if not distributed.is_main():
            return
        line = json.dumps({"time": round(time.time(), 3), "stage": stage, **values})
        with (self.path / "events.jsonl").open("ab") as file:
            file.write(f"{line}\n".encode())

    def mend_events(self) -> None:
        """Remove the end of a line that a crash cut off, before more is appended."""
        path = self.path / "events.jsonl"
        if path.exists():
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)

    def events(self) -> list[dict[str, Any]]:
        """The whole lines of events.jsonl; damaged ones are told of and left out."""
        path = self.path / "events.jsonl"
        if not path.exists():
            return []
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        found = [_object(line) for line in whole.split(b"\n")] if whole else []
        if lost := found.count(None):
            log.warning("%s: %d lines are damaged and left out.", path, lost)
        return [event for event in found if event is not None]

    def seconds(self) -> dict[str, float]:
        """Seconds per stage and in total, over all the starts of the run."""
        total: dict[str, float] = {}
        for event in self.events():
            if {"stage", "seconds"} <= event.keys():
                stage = EARLIER_STAGES.get(event["stage"], event["stage"])
                total[stage] = total.get(stage, 0.0) + event["seconds"]
        return {
            "total": round(sum(total.values()), 2),
            **{stage: round(value, 2) for stage, value in total.items()},
        }

    def read_matrix(self) -> AccuracyMatrix | None:
        """The accuracy matrix as far as it is measured, or None.

        Raises:
            ValueError: it is damaged and so is its copy.
        """
        if not self._matrix.exists() and copy_of(self._matrix) is None:
            return None
        try:
            return AccuracyMatrix.from_json(json.loads(unaltered(self._matrix)))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self._matrix} is damaged ({error!r}); put back a copy of it, or start again in "
                "another folder."
            ) from None

    def write_matrix(self, matrix: AccuracyMatrix) -> None:
        if distributed.is_main():
            write_with_copy(self._matrix, as_json(matrix.to_json()))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        if distributed.is_main():
            write_with_copy(self._summary, as_json(summary))

    def read_summary(self) -> dict[str, Any]:
        """The summary of a finished run.

        Raises:
            ValueError: it is damaged and so is its copy.
        """
        try:
            found = _object(unaltered(self._summary))
        except FileNotFoundError:
            found = None
        if found is None:
            raise ValueError(
                f"{self._summary} is missing or damaged; remove {self.path / 'DONE'} and run the "
                "same command again: it is computed anew from matrix.json."
            )
        return found

    def finish(self) -> None:
        """Write the completion marker."""
        if distributed.is_main():
            write_text(self.path / "DONE", "")


def _mapping(text: str | bytes | None) -> dict[str, Any] | None:
    """The mapping in a YAML text; None where there is none."""
    try:
        value = yaml.safe_load(text or "")
    except yaml.YAMLError:
        return None
    return value if isinstance(value, dict) else None


def _object(line: bytes) -> dict[str, Any] | None:
    """The object in a JSON text; None where there is none."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")


def _described(owner: Path) -> str:
    """Who holds a folder, in words."""
    try:
        found = read_json(owner)
        return f"process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError):
        return "it has not said which"


def environment(device: str) -> dict[str, Any]:
    """Versions, machine and source state, for env.json."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "device": device,
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        **_source_state(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _source_state() -> dict[str, Any]:
    """Commit and cleanness of the checkout that the package runs from, if it is one."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            result = subprocess.run(
                ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return result.stdout.strip() if result.returncode == 0 else None

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return {"commit": None, "clean": None}
    clean = git("status", "--porcelain", "--", ".") == ""  # of the package's folder
    return {"commit": git("rev-parse", "HEAD"), "clean": clean}


def reset_peak_memory() -> None:
    """Start measuring the peak of this process's memory anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """The largest resident size since the start or since :func:`reset_peak_memory`, in MiB."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return round(int(found[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)
