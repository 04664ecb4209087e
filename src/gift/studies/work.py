"""The runs of an experiment, side by side through joblib: on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib

from gift import benchmark as experiment
from gift.data import Paths
from gift.files import unaltered, write_text
from gift.progress import report
from gift.studies.plan import PlannedRow, PlannedRun

KEPT = ("config.yaml", "summary.json", "matrix.json", "env.json", "data.json")


@dataclass(frozen=True)
class Workers:
    """Where runs are made.

    Attributes:
        jobs: runs side by side; a cluster decides by itself.
        backend: joblib's backend; "loky" are processes of this machine with one thread each.
        cluster: address of a Dask scheduler. Its workers need the same folders.
    """

    jobs: int = 1
    backend: str = "loky"
    cluster: str | None = None

    @contextmanager
    def ready(self) -> Iterator[None]:
        """The block's joblib calls use these workers.

        Raises:
            ValueError: a package is missing, or there is no such backend.
            OSError: no scheduler answers.
        """
        if self.backend == "dask" and self.cluster is None:
            raise ValueError("the backend 'dask' needs --cluster, the scheduler's address.")
        if self.cluster is not None:
            client = _package("distributed", "cluster").Client(self.cluster)
            with client, joblib.parallel_config("dask", client=client):
                yield
            return
        if self.backend == "ray":
            _package("ray.util.joblib", None).register_ray()
        threads = {"inner_max_num_threads": 1} if self.backend == "loky" and self.jobs > 1 else {}
        with joblib.parallel_config(self.backend, n_jobs=self.jobs, **threads):
            yield


def work_off(
    rows: Sequence[PlannedRow],
    workers: Workers,
    *,
    home: Path | None = None,
    data_root: Path | None = None,
) -> dict[Path, str]:
    """Make the runs that are not finished; one that fails does not stop the others.

    Args:
        rows: see :func:`gift.studies.plan`.
        workers: where they are made.
        home: cache folder.
        data_root: where the data sets are.

    Returns:
        Why runs failed, by folder.
    """
    by_folder = {run.folder: run for row in rows for run in row.runs if not run.finished}
    missing = list(by_folder.values())
    if not missing:
        return {}
    report("runs", 0, len(missing))
    failures = {}
    work = joblib.delayed(_attempt)
    roots = home and home.resolve(), data_root and data_root.resolve()
    with workers.ready():
        outcomes = joblib.Parallel(return_as="generator_unordered")(
            work(run, run.folder.resolve(), *roots) for run in missing
        )
        for done, (folder, failure) in enumerate(outcomes, start=1):
            report("runs", done, len(missing))
            if failure is not None:
                failures[folder] = failure
    return failures


def keep(rows: Sequence[PlannedRow], out: Path) -> list[Path]:
    """Copy what is worth committing of every finished run to ``out/<benchmark>/<folder>``."""
    finished = {run.folder for row in rows for run in row.finished}
    kept = []
    for folder in sorted(finished):
        target = out / folder.parent.name / folder.name
        for name in (name for name in KEPT if (folder / name).exists()):
            write_text(target / name, unaltered(folder / name).decode())
        kept.append(target)
    return kept


def _attempt(
    run: PlannedRun,
    folder: Path,
    home: Path | None,
    data_root: Path | None,
) -> tuple[Path, str | None]:
    """Make or continue a run in a folder given in full; the run's own name of it, and any error."""
    try:
        experiment.run(
            run.config,
            folder,
            paths=Paths.of(home, data_root),
            command=run.command,
        )
    except Exception as error:  # whatever it is, the other runs go on and the report names it
        kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
        return run.folder, f"{kind}{error}"
    return run.folder, None


def _package(name: str, extra: str | None) -> Any:
    try:
        return import_module(name)
    except ImportError:
        package = f"'gift-cl[{extra}]'" if extra else name.partition(".")[0]
        raise ValueError(f"{name} is not installed; pip install {package}.") from None
