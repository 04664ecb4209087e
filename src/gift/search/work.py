"""Runs the trials of a search, here or in several processes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from gift import experiment
from gift.records import Progress, silent
from gift.search.space import Space, make_plan
from gift.search.study import SharedStudy, Trial

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
    progress: Progress = silent,
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
        home: cache folder, as in :func:`gift.experiment.run`.
        data_root: where the data sets are, as in :func:`gift.experiment.run`.
        progress: called with the trials that are done and with the tasks of the current one.

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
    _work(shared, budget, jobs, home, data_root, progress)
    return shared.write_outcome(budget)


def _work(
    shared: SharedStudy,
    budget: int,
    jobs: int,
    home: Path | None,
    data_root: Path | None,
    progress: Progress,
) -> None:
    """Work on trials until as many as the budget are finished, here or by other processes."""
    from joblib import Parallel, delayed

    done = shared.finished()
    pace = _Pace(progress, done, budget)
    pace.trials(done)
    while done < budget:
        side_by_side = min(jobs, budget - done)
        report = pace.tasks if side_by_side == 1 else silent
        threads = None if side_by_side == 1 else 1
        attempt = delayed(_attempt)(shared, budget, threads, home, data_root, report)
        run = Parallel(side_by_side, return_as="generator_unordered", batch_size=1)
        for _ in run(itertools.repeat(attempt, budget - done)):
            done = shared.finished()
            pace.trials(done)


def _attempt(
    shared: SharedStudy,
    budget: int,
    threads: int | None,
    home: Path | None,
    data_root: Path | None,
    progress: Progress,
) -> None:
    """Work on one trial, or wait a little when other processes have those that are missing."""
    if threads is not None:
        torch.set_num_threads(threads)
    with shared.claim(budget) as trial:
        if trial is None:
            time.sleep(1)
            return

        def tasks(stage: str, done: int, total: int) -> None:
            if stage == "tasks":
                progress(f"trial {trial.number + 1}", done, total)

        shared.record(trial, _measure(shared, trial, home, data_root, tasks), budget)


def _measure(
    shared: SharedStudy,
    trial: Trial,
    home: Path | None,
    data_root: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Run a trial; its metrics in percent and its seconds, or why it failed."""
    try:
        config = shared.plan.config(trial.values)
    except ValueError as error:  # values that are allowed one by one, but not together
        return {"failure": str(error)}
    folder = shared.folder / "trials" / trial.folder_name
    try:
        summary = experiment.run(config, folder, home=home, data_root=data_root, progress=progress)
    except FAILURES as error:
        return {"failure": str(error)}
    metrics = {name: summary[name] for name in ("transfer", "avg", "last")}
    return {**metrics, "seconds": summary["seconds"]["total"]}


class _Pace:
    """Passes progress on, with the time that is left at the pace since the start."""

    def __init__(self, progress: Progress, done: int, budget: int) -> None:
        self._progress, self._budget = progress, budget
        self._before = self._done = done
        self._started = time.monotonic()

    def trials(self, done: int) -> None:
        """So many trials are done."""
        self._done = done
        if left := self._left(0):
            self._progress(f"trials{left}", done, self._budget)
        self._progress("tasks", done, self._budget)

    def tasks(self, stage: str, done: int, total: int) -> None:
        """So many tasks of the current trial are done."""
        self._progress(f"{stage}{self._left(done / total)}", done, total)

    def _left(self, fraction: float) -> str:
        worked = self._done + fraction - self._before
        left = self._budget - self._done - fraction
        if worked <= 0 or left <= 0:
            return ""
        return f", about {_duration((time.monotonic() - self._started) / worked * left)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
