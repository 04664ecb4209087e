"""The runs of an experiment, several at once through joblib: on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import joblib

from gift.benchmark import preview, run
from gift.config import RunConfig
from gift.data import Paths
from gift.estimate import Plan
from gift.progress import report, track
from gift.studies.plan import PlannedRow, PlannedRun
from gift.text import unknown

BACKENDS = ("loky", "dask")


@dataclass(frozen=True)
class Workers:
    """Where runs are made.

    Attributes:
        jobs: runs at the same time, in processes of one thread each; a cluster decides by itself.
        backend: joblib's: "loky" are processes of this machine, "dask" those of a cluster.
        cluster: address of a Dask scheduler. Its workers need the same folders.

    Raises:
        ValueError: there is no such backend, or the cluster's address is missing.
    """

    jobs: int = 1
    backend: str = "loky"
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(unknown("backend", self.backend, BACKENDS))
        if self.backend == "dask" and self.cluster is None:
            raise ValueError("the backend 'dask' needs --cluster, the scheduler's address.")

    @contextmanager
    def ready(self) -> Iterator[None]:
        """The block's joblib calls use these workers.

        Raises:
            ValueError: Dask is not installed.
            OSError: no scheduler answers.
        """
        if self.cluster is None:
            threads = {"inner_max_num_threads": 1} if self.jobs > 1 else {}
            with joblib.parallel_config("loky", n_jobs=self.jobs, **threads):
                yield
            return
        try:
            client = import_module("distributed").Client(self.cluster)
        except ImportError:
            raise ValueError(
                "--cluster needs Dask, which is missing: pip install 'gift-cl[cluster]'."
            ) from None
        with client, joblib.parallel_config("dask", client=client):
            yield


def missing_runs(rows: Sequence[PlannedRow]) -> list[PlannedRun]:
    """The runs that are not finished, each once."""
    by_folder = {one.folder: one for row in rows for one in row.runs}
    return [one for one in by_folder.values() if not one.finished]


@dataclass(frozen=True)
class Forecast:
    """What the missing runs of one method take.

    Attributes:
        method: its name.
        runs: how many.
        plan: of the first of them; the others are taken to be alike.
    """

    method: str
    runs: int
    plan: Plan

    @property
    def seconds(self) -> float:
        """Of all runs, one after the other."""
        return self.runs * sum(self.plan.seconds.values())


def forecast(configs: Iterable[RunConfig], paths: Paths) -> list[Forecast]:
    """What runs would take on this machine: a run of each method is timed in a few steps."""
    by_method: dict[str, list[RunConfig]] = {}
    for config in configs:
        by_method.setdefault(config.method, []).append(config)
    return [
        Forecast(method, len(own), preview(own[0], paths=paths))
        for method, own in track(list(by_method.items()), "timing methods")
    ]


def make_runs(runs: Sequence[PlannedRun], workers: Workers, paths: Paths) -> dict[Path, str]:
    """Make or resume runs; one that fails does not stop the others.

    Returns:
        Why runs failed, by folder.
    """
    paths = Paths(paths.cache.resolve(), paths.data.resolve())
    failures = {}
    report("runs", 0, len(runs))
    with workers.ready():
        outcomes = joblib.Parallel(return_as="generator_unordered")(
            joblib.delayed(_attempt)(one, one.folder.resolve(), paths) for one in runs
        )
        for done, (folder, failure) in enumerate(outcomes, start=1):
            report("runs", done, len(runs))
            if failure is not None:
                failures[folder] = failure
    return failures


def _attempt(planned: PlannedRun, folder: Path, paths: Paths) -> tuple[Path, str | None]:
    """Make a run in a folder given in full; returns the run's own name of it, and any error."""
    try:
        run(planned.config, folder, paths=paths, command=planned.command)
    except Exception as error:  # whatever it is, the other runs continue and the report names it
        kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
        return planned.folder, f"{kind}{error}"
    return planned.folder, None
