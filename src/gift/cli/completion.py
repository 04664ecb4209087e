"""What the shell completes: names and folders that are found without heavy imports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from gift.plugins import shipped_files
from gift.text import user_path


def methods() -> list[str]:
    """All methods."""
    from gift.methods import method_names

    return method_names()


def benchmarks() -> list[str]:
    """The shipped benchmarks."""
    return list(shipped_files("benchmarks", ".yaml"))


def benchmarks_and_datasets() -> list[str]:
    """The shipped benchmarks and data sets."""
    return [*benchmarks(), *shipped_files("datasets", ".yaml")]


def recipes() -> list[str]:
    """The shipped recipes."""
    return list(shipped_files("recipes", ".yaml"))


def trackers() -> list[str]:
    """The trackers of experiments."""
    from gift.config import TrackerName

    return list(get_args(TrackerName))


def settings() -> Iterator[tuple[str, str]]:
    """The settings, ready for a value, and what each means."""
    from gift.config import RunConfig
    from gift.settings import described

    for path, (_, meaning) in described(RunConfig).items():
        yield f"{path}=", meaning


def learners(incomplete: str) -> Iterator[str]:
    """The learner and run folders that begin like a path; of other folders the shell knows."""
    above = incomplete[: incomplete.rfind("/") + 1]
    for config in sorted(user_path(above or ".").glob("*/config.yaml")):
        yield f"{above}{config.parent.name}"
