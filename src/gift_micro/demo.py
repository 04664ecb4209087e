"""The demo: five tasks of the micro benchmark, learned with two methods."""

from __future__ import annotations

from pathlib import Path

from gift import benchmark
from gift.data import Paths
from gift.progress import track
from gift.runs import Summary

METHODS: dict[str, dict[str, object]] = {"finetune": {}, "gift": {"penalty_weight": 1.0}}
"""Each with its settings."""
SETTINGS = {
    # One rate for both, at which plain fine-tuning collapses, as in the paper.
    "training": {"learning_rate": 5e-4, "iterations": 36},
    "tasks": ("micro-aircraft", "micro-dtd", "micro-flowers", "micro-mnist", "micro-stanfordcars"),
    "synthesis": {"images": 80},
}


def demo(folder: Path, *, paths: Paths | None = None, seed: int = 0) -> list[Summary]:
    """Learn a few tasks with plain fine-tuning and with GIFT, at the same learning rate.

    Returns:
        The summaries; the runs are in ``folder/<method>``.
    """
    summaries = []
    for method, own in track(METHODS.items(), "methods"):
        layers = (SETTINGS, {"method_settings": own, "seed": seed})
        config = benchmark.resolve("micro-1", method, *layers)
        summaries.append(benchmark.run(config, folder / method, paths=paths, command="gift demo"))
    return summaries
