"""The environment of a run: versions, machine, state of the source, and peak memory."""

from __future__ import annotations

import logging
import os
import platform
import re
import resource
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gift.files import read_json, write_json
from gift.settings import differences

log = logging.getLogger(__name__)

_PACKAGES = ("gift-cl", "torch", "transformers", "diffusers", "accelerate", "numpy", "pillow")


def package_version(name: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def environment(device: str) -> dict[str, object]:
    """The environment of this process: versions, machine and state of the source.

    ``commit`` is that of the checkout that the package runs from, ``clean`` whether the package had
    no uncommitted changes there; None where it is installed.
    """
    commit, clean = _source_state()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "device": device,
        "packages": _versions(),
        "commit": commit,
        "clean": clean,
    }


def add_environment(path: Path, device: str) -> None:
    """Write the environment of this start to a JSON file; those of earlier ones stay in a list.

    Versions that differ from those of the start before are warned of.
    """
    earlier, now = [], environment(device)
    if path.exists():
        try:
            found = dict(read_json(path))
            earlier = [*found.pop("earlier", []), found]
            before = {"python": found.get("python"), **found.get("packages", {})}
        except (ValueError, TypeError):
            log.warning("%s is damaged; the environments of earlier starts are lost.", path)
        else:
            versions = {"python": platform.python_version(), **_versions()}
            if changed := differences(before, versions):
                log.warning(
                    "%s: versions have changed since the start before (%s); figures may differ "
                    "from those of a run that was left alone.",
                    path,
                    "; ".join(changed),
                )
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    write_json(path, {**now, "started": started, "earlier": earlier})


def _versions() -> dict[str, str]:
    return {name: found for name in _PACKAGES if (found := package_version(name))}


def _source_state() -> tuple[str | None, bool | None]:
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
        return None, None
    clean = git("status", "--porcelain", "--", "..") == ""  # of the package's folder
    return git("rev-parse", "HEAD"), clean


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
