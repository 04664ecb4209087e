"""The demo: five tasks of the micro benchmark, learned with two methods."""

from __future__ import annotations

from pathlib import Path

from gift import benchmark
from gift.data import Paths
from gift.progress import track
from gift.runs import Summary

METHODS = ("finetune", "gift")
SETTINGS = {
    "tasks": ("micro-aircraft", "micro-dtd", "micro-flowers", "micro-mnist", "micro-stanfordcars"),
    "synthesis": {"images": 200},
}


def demo(folder: Path, *, paths: Paths | None = None, seed: int = 0) -> list[Summary]:
    """Learn a few tasks with plain fine-tuning and with GIFT.

    Returns:
        The summaries; the runs are in ``folder/<method>``.
    """
    summaries = []
    for method in track(METHODS, "methods"):
        config = benchmark.resolve("micro-1", method, SETTINGS, {"seed": seed})
        summaries.append(benchmark.run(config, folder / method, paths=paths, command="gift demo"))
    return summaries
