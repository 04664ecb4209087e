"""Runs the trials of a search, here or in several processes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from gift import benchmark as experiment
from gift.data import Paths
from gift.progress import report
from gift.studies.space import Space, make_plan
from gift.studies.study import SharedStudy, Trial

FAILURES = (FloatingPointError, torch.OutOfMemoryError)
"""What ends a trial as failed; every other error ends the search."""


def search(
    benchmark: str,
    method: str,
    *,
    space: Space,
    trials: int,
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    jobs: int = 1,
    home: Path | None = None,
    data_root: Path | None = None,
) -> dict[str, Any]:
    """Find the settings with the highest Avg. on validation images; test images are never used.

    Lists only: the grid of their values, or a random part of it. With an interval: optuna's TPE.
    Every trial has the same seed. Running again on the same folder goes on where it stopped, and
    several calls may work on one folder at the same time.

    Args:
        benchmark: name of a benchmark, or a path to its YAML file.
        method: name of a method.
        space: the values to try by dotted path of the setting: a list or an :class:`Interval`.
        trials: how many trials there shall be, those that are finished and those that failed
            included; never more than a grid has points.
        folder: the search folder.
        settings: settings of all trials.
        jobs: processes side by side, each with one thread when there are several.
        home: cache folder, as in :func:`gift.benchmark.run`.
        data_root: where the data sets are, as in :func:`gift.benchmark.run`.

    Returns:
        The outcome, as in ``search.json``: what was searched, ``rows`` with the values and the
        metrics (or the ``failure``) of every finished trial, and the ``best`` of them or None.

    Raises:
        ValueError: optuna is missing, wrong input, or the folder belongs to another search.
        OSError: the folder cannot be written.
    """
    if find_spec("optuna") is None:
        raise ValueError("searching needs optuna, which is missing: pip install 'gift-cl[search]'.")
    if trials < 1 or jobs < 1:
        raise ValueError(f"trials = {trials} and jobs = {jobs}: both must be at least 1.")
    plan = make_plan(benchmark, method, space, settings or {})
    grid = plan.grid
    budget = trials if grid is None else min(trials, len(grid))
    shared = SharedStudy(folder.resolve(), plan)
    shared.start()
    _work(shared, budget, jobs, home, data_root)
    return shared.write_outcome(budget)


def _work(
    shared: SharedStudy,
    budget: int,
    jobs: int,
    home: Path | None,
    data_root: Path | None,
) -> None:
    """Work on trials until as many as the budget are finished, here or by other processes."""
    from joblib import Parallel, delayed

    done = shared.finished()
    report("trials", done, budget)
    while done < budget:
        side_by_side = min(jobs, budget - done)
        threads = None if side_by_side == 1 else 1
        attempt = delayed(_attempt)(shared, budget, threads, home, data_root)
        run = Parallel(side_by_side, return_as="generator_unordered", batch_size=1)
        for _ in run(itertools.repeat(attempt, budget - done)):
            done = shared.finished()
            report("trials", done, budget)


def _attempt(
    shared: SharedStudy,
    budget: int,
    threads: int | None,
    home: Path | None,
    data_root: Path | None,
) -> None:
    """Work on one trial, or wait a little when other processes have those that are missing."""
    if threads is not None:
        torch.set_num_threads(threads)
    with shared.claim(budget) as trial:
        if trial is None:
            time.sleep(1)
            return
        shared.record(trial, _measure(shared, trial, home, data_root), budget)


def _measure(
    shared: SharedStudy,
    trial: Trial,
    home: Path | None,
    data_root: Path | None,
) -> dict[str, Any]:
    """Run a trial; its metrics in percent and its seconds, or why it failed."""
    try:
        config = shared.plan.config(trial.values)
    except ValueError as error:  # values that are allowed one by one, but not together
        return {"failure": str(error)}
    folder = shared.folder / "trials" / trial.folder_name
    try:
        summary = experiment.run(config, folder, paths=Paths.of(home, data_root))
    except FAILURES as error:
        return {"failure": str(error)}
    metrics = {name: summary[name] for name in ("transfer", "avg", "last")}
    return {**metrics, "seconds": summary["seconds"]["total"]}
