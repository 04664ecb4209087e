"""The run folder: what is where, written so that a killed process never leaves half a file.

Everything goes to a temporary name first and is renamed; ``DONE`` comes last. A folder holds
``config.yaml``, ``env.json``, ``events.jsonl``, ``learner/``, ``tasks/NN-name/``, ``matrix.json``,
``summary.json`` and ``DONE``.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import shutil
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

from gift.files import read_json, write_json, write_text, writing_to
from gift.records import AccuracyMatrix

_PACKAGES = ("gift-cl", "torch", "transformers", "diffusers", "accelerate", "numpy", "pillow")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Build a folder beside its place and swap it in when the block ends well.

    A crash leaves either the old folder or, between the two renames, the new one under its
    temporary name, which :func:`recover` puts in place.
    """
    new = folder.with_name(f"{folder.name}.new")
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    yield new
    (new / _WHOLE).touch()
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    (folder / _WHOLE).unlink()
    shutil.rmtree(old, ignore_errors=True)


_WHOLE = ".whole"


def recover(folder: Path) -> None:
    """Finish a swap that a crash interrupted; drop what was never whole.

    Only for who writes the folder: a swap that is going on would be disturbed.
    """
    new = folder.with_name(f"{folder.name}.new")
    old = folder.with_name(f"{folder.name}.old")
    if (new / _WHOLE).exists() and not folder.exists():
        new.rename(folder)
    (folder / _WHOLE).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(new, ignore_errors=True)


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
    def has_learner(self) -> bool:
        """Whether a task was finished here."""
        return (self.learner / "memory.json").exists()

    @property
    def done(self) -> bool:
        return (self.path / "DONE").exists()

    def task(self, position: int, name: str) -> Path:
        """The folder of one task; ``position`` counts from 1."""
        safe = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "task"
        return self.path / "tasks" / f"{position:02d}-{safe}"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder and keep other processes out of it while the block runs.

        Raises:
            OSError: it cannot be made or written, with the reason.
            ValueError: another process works in it.
        """
        with writing_to(self.path, "the folder", "choose another one, or free some space"):
            (self.path / "tasks").mkdir(exist_ok=True)
            lock = FileLock(self.path / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise ValueError(
                    f"another process works in {self.path}; wait for it, or use another folder."
                ) from None
        with lock:
            recover(self.learner)
            self.mend_events()
            yield

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Store the resolved configuration, or check that it is the one of the folder.

        Raises:
            ValueError: something was already learned with another configuration; names what
                differs.
        """
        if self.has_config and (self.has_learner or self.read_matrix() is not None):
            different = differences(self.read_config(), dict(config))
            if different:
                raise ValueError(
                    f"{self.path} was made with other settings: {'; '.join(different)}. Use "
                    "another folder, or the same settings to continue."
                )
            return
        write_text(
            self.path / "config.yaml",
            yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        )

    @property
    def has_config(self) -> bool:
        return (self.path / "config.yaml").exists()

    def read_config(self) -> dict[str, Any]:
        """The resolved configuration."""
        value = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        assert isinstance(value, dict)
        return value

    def write_environment(self, device: str) -> None:
        """Store versions, machine, device and the state of the source tree."""
        write_json(self.path / "env.json", environment(device))

    def log(self, stage: str, **values: Any) -> None:
        """Append one line to events.jsonl."""
        line = json.dumps({"time": round(time.time(), 3), "stage": stage, **values})
        with (self.path / "events.jsonl").open("ab") as file:
            file.write(f"{line}\n".encode())

    def mend_events(self) -> None:
        """Remove the end of a line that a crash cut off, before more is appended."""
        path = self.path / "events.jsonl"
        if path.exists():
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)

    def events(self) -> list[dict[str, Any]]:
        """The whole lines of events.jsonl."""
        path = self.path / "events.jsonl"
        if not path.exists():
            return []
        whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def seconds(self) -> dict[str, float]:
        """Seconds per stage and in total, over all the starts of the run."""
        total: dict[str, float] = {}
        for event in self.events():
            if "seconds" in event:
                total[event["stage"]] = total.get(event["stage"], 0.0) + event["seconds"]
        return {
            "total": round(sum(total.values()), 2),
            **{stage: round(value, 2) for stage, value in total.items()},
        }

    def read_matrix(self) -> AccuracyMatrix | None:
        """The accuracy matrix as far as it is measured, or None."""
        path = self.path / "matrix.json"
        return AccuracyMatrix.from_json(read_json(path)) if path.exists() else None

    def write_matrix(self, matrix: AccuracyMatrix) -> None:
        write_json(self.path / "matrix.json", matrix.to_json())

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        write_json(self.path / "summary.json", summary)

    def read_summary(self) -> dict[str, Any]:
        value = read_json(self.path / "summary.json")
        assert isinstance(value, dict)
        return value

    def finish(self) -> None:
        """Write the completion marker."""
        write_text(self.path / "DONE", "")


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


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """What differs between two nested configurations, a phrase each."""
    lines: list[str] = []
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key} is {before!r} there and {after!r} here")
    return lines


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
