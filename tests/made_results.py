"""What is kept of a finished run of a benchmark, with accuracies that were made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gift.benchmark import resolve, summarize
from gift.data import load_benchmark
from gift.data.catalogue import rule_of
from gift.metrics import AccuracyMatrix
from gift.runs import RunFolder, Storage
from gift.studies import default_folder


def make_result(runs: Path, benchmark: str, method: str = "gift", **settings: Any) -> Path:
    """Write config, matrix and summary of a run below ``runs``; returns its folder.

    Accuracies are random, the same for equal settings.
    """
    config = resolve(benchmark, method, settings)
    entry = load_benchmark(benchmark)
    entries = entry.datasets(config.tasks)
    rng = np.random.default_rng(config.seed)
    values = rng.uniform(30, 95, (len(entries) + 1, len(entries))).round(4).tolist()
    matrix = AccuracyMatrix(
        entry.name,
        entry.version,
        tuple(one.name for one in entries),
        tuple(values[0]),
        tuple(map(tuple, values[1:])),
        setting=rule_of(entry, entries) | {"split": "test", "draw": config.draw},
        images=(60,) * len(entries),
    )
    folder = RunFolder(default_folder(config, runs))
    with folder.writing():
        folder.write_config(config)
        folder.write_matrix(matrix)
        folder.write_summary(
            summarize(
                matrix,
                config,
                folder,
                Storage(model_bytes=1, method_bytes=0, extra_parameters=0),
                None,
            )
        )
    return folder.path
