"""Search of settings: optuna's study in a folder, one run folder per trial."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import joblib
import torch
from filelock import FileLock

from gift.benchmark import resolve, run
from gift.config import RunConfig
from gift.data import Paths, load_benchmark
from gift.files import refuse_special, write_json, writing_to
from gift.progress import report
from gift.settings import Values, differences, identity, merge, nest
from gift.studies.plan import folder_name
from gift.studies.space import Choice, Interval, Space, check_space
from gift.studies.work import Workers

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

CRITERION = "Avg. over the whole matrix, on validation images"
FAILURES = (FloatingPointError, torch.OutOfMemoryError)
"""What ends a trial as failed; every other error ends the search."""
RANDOM_TRIALS = 4
"""Trials in an interval before the first that earlier ones propose."""
_JOURNAL = "study.journal"
_OUTCOME, _RETRIES = "outcome", "retries"  # attributes of optuna's trials
_VALIDATION = {"evaluation": {"split": "validation"}}


class TrialRow(TypedDict):
    """A finished trial: its settings with what was measured in percent, or why it failed."""

    trial: int
    values: dict[str, Choice]
    transfer: NotRequired[float | None]
    avg: NotRequired[float]
    last: NotRequired[float]
    seconds: NotRequired[float]
    folder: NotRequired[str]
    failure: NotRequired[str]


class Outcome(TypedDict):
    """What ``search.json`` holds."""

    benchmark: str
    version: int
    method: str
    criterion: str
    space: Mapping[str, object]
    settings: Values
    seed: int
    budget: int
    best: TrialRow | None
    rows: list[TrialRow]


def search(
    benchmark: str,
    method: str,
    *,
    space: Space,
    trials: int,
    folder: Path,
    settings: Mapping[str, object] | None = None,
    jobs: int = 1,
    paths: Paths | None = None,
) -> Outcome:
    """Find the settings with the highest Avg. on validation images; test images are never used.

    Lists only: optuna's GridSampler. With an interval: its GPSampler. Every trial has the same
    seed. Running again on the same folder resumes, and several calls may work on one folder at the
    same time.

    Args:
        benchmark: name of a benchmark, or a path to its YAML file.
        method: name of a method.
        space: the values to try by dotted path of the setting: a list or an :class:`Interval`.
        trials: how many trials there shall be, those that failed included; never more than a grid
            has points.
        folder: the search folder.
        settings: settings of all trials.
        jobs: processes, each with one thread when there are several.
        paths: cache directory and data sets.

    Returns:
        The outcome, as in ``search.json``: what was searched, the ``rows`` of all finished trials,
        and the ``best`` of them or None.

    Raises:
        ValueError: optuna is missing, wrong input, or the folder belongs to another search.
        OSError: the folder cannot be written.
    """
    if find_spec("optuna") is None:
        raise ValueError("searching needs optuna, which is missing: pip install 'gift-cl[search]'.")
    if find_spec("fcntl") is None:
        raise ValueError("searching needs the file locks of Unix; on Windows, use WSL.")
    if trials < 1 or jobs < 1:
        raise ValueError(f"trials = {trials} and jobs = {jobs}: both must be at least 1.")
    values = {p: v if isinstance(v, Interval) else tuple(v) for p, v in sorted(space.items())}
    plain = json.loads(json.dumps(merge(settings or {}), default=str))
    base = resolve(benchmark, method, _VALIDATION, plain)
    load_benchmark(benchmark).datasets(base.tasks)
    if base.evaluation.split == "test":
        raise ValueError(
            "evaluation.split = test: settings are chosen on validation images, never on test "
            "images; leave it out."
        )
    own = _Search(benchmark, method, values, plain, folder.resolve(), paths or Paths.of())
    check_space(values, own.config)
    lists = own.lists.values()
    budget = trials if len(lists) < len(values) else min(trials, math.prod(map(len, lists)))
    with own.joined():
        outcome = own.write_outcome(budget)
        report("trials", len(outcome["rows"]), budget)
        while (start := own.taken()) < budget:
            attempt = joblib.delayed(own.one_trial)
            attempts = (attempt(number, budget) for number in range(start, budget))
            with Workers(min(jobs, budget - start)).ready():
                for _ in joblib.Parallel(return_as="generator_unordered", batch_size=1)(attempts):
                    outcome = own.write_outcome(budget)
                    report("trials", len(outcome["rows"]), budget)
    return outcome


def trial_config(benchmark: str, method: str, settings: Mapping[str, object]) -> RunConfig:
    """The configuration that the trials of a search change: it is measured on validation images."""
    return resolve(benchmark, method, settings, _VALIDATION)


@dataclass(frozen=True)
class _Search:
    """What is searched and where: the same for all processes and all starts."""

    benchmark: str
    method: str
    space: Mapping[str, tuple[Choice, ...] | Interval]
    settings: Values
    folder: Path
    paths: Paths

    def config(self, values: Mapping[str, Choice]) -> RunConfig:
        """The configuration of a trial with some values of the space."""
        layers = [nest(path.split("."), value) for path, value in values.items()]
        return resolve(self.benchmark, self.method, self.settings, *layers, _VALIDATION)

    @property
    def lists(self) -> dict[str, tuple[Choice, ...]]:
        """The values of the settings that have no interval."""
        return {p: values for p, values in self.space.items() if not isinstance(values, Interval)}

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Work on the folder, which is made or checked to belong to this search.

        Whoever is alone in it retries the trials of processes that were interrupted: the system
        frees the lock of a process that ends.
        """
        import fcntl

        with writing_to(self.folder, "the folder", "choose another one, or free some space"):
            (self.folder / "trials").mkdir(exist_ok=True)
        refuse_special(self.folder, ".lock", _JOURNAL)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                _mend(self.folder / _JOURNAL)
                _retry_interrupted(self._study())
            fcntl.flock(lock, fcntl.LOCK_SH)
            study, version = self._study(), load_benchmark(self.benchmark).version
            own = {"version": version, "space": self._written_space()} | identity(self.config({}))
            if different := differences(study.user_attrs.get("search", own), own):
                raise ValueError(
                    f"{self.folder} holds another search: {'; '.join(different)}. Use another "
                    "folder, or the same space and settings to continue."
                )
            study.set_user_attr("search", own)
            yield

    def taken(self) -> int:
        """How many different settings were tried or are being tried."""
        return sum(trial.state.name != "WAITING" for trial in self._trials())

    def one_trial(self, number: int, budget: int) -> None:
        """Make a trial, unless all of the budget are taken by now: other calls count too."""
        from optuna.samplers import GPSampler, GridSampler

        if self.taken() >= budget:
            return
        seed = self.config({}).seed
        sampler: BaseSampler
        if len(self.lists) == len(self.space):
            sampler = GridSampler(self.lists, seed=seed)
        else:  # neither a second process nor a second start repeats a seed
            sampler = GPSampler(seed=seed + number, n_startup_trials=RANDOM_TRIALS)
        self._study(sampler).optimize(self._objective, n_trials=1, catch=FAILURES)

    def write_outcome(self, budget: int) -> Outcome:
        """Write search.json; returns what it holds."""
        finished = [trial for trial in self._trials() if _OUTCOME in trial.user_attrs]
        rows: list[Any] = [
            {"trial": number, "values": self._values(trial.params), **trial.user_attrs[_OUTCOME]}
            for number, trial in enumerate(finished, start=1)
        ]
        measured = [row for row in rows if "failure" not in row]
        outcome: Outcome = {
            "benchmark": self.benchmark,
            "version": load_benchmark(self.benchmark).version,
            "method": self.method,
            "criterion": CRITERION,
            "space": self._written_space(),
            "settings": self.settings,
            "seed": self.config({}).seed,
            "budget": budget,
            "best": max(measured, key=lambda row: row["avg"], default=None),
            "rows": rows,
        }
        write_json(self.folder / "search.json", outcome)
        return outcome

    def _written_space(self) -> dict[str, object]:
        """The space as JSON has it."""
        return {
            path: asdict(values) if isinstance(values, Interval) else list(values)
            for path, values in self.space.items()
        }

    def _trials(self) -> list[FrozenTrial]:
        """All trials but those that were retried, and of equal settings the first."""
        trials = self._study().get_trials(deepcopy=False)
        retried = {trial.user_attrs.get(_RETRIES) for trial in trials}
        found: dict[str, FrozenTrial] = {}
        for trial in (trial for trial in trials if trial.number not in retried):
            own = json.dumps(self._values(trial.params)) if trial.params else str(trial.number)
            if own not in found or _OUTCOME in trial.user_attrs:
                found[own] = trial
        return list(found.values())

    def _objective(self, trial: Trial) -> float:
        """Make the run of a trial; several with the same settings share it."""
        from optuna import TrialPruned

        for path, values in self.space.items():
            if isinstance(values, Interval):
                trial.suggest_float(path, values.low, values.high, log=True)
            else:
                trial.suggest_categorical(path, values)
        try:
            config = self.config(self._values(trial.params))
        except ValueError as error:  # values that are allowed one by one, but not together
            trial.set_user_attr(_OUTCOME, {"failure": str(error)})
            raise TrialPruned from None
        folder = self.folder / "trials" / folder_name(config)
        try:
            with FileLock(folder.with_name(f".{folder.name}.lock")):
                summary = run(config, folder, paths=self.paths)
        except FAILURES as error:
            trial.set_user_attr(_OUTCOME, {"failure": str(error)})
            raise
        measured = summary.model_dump(include={"transfer", "avg", "last"})
        measured |= {"seconds": summary.seconds["total"], "folder": folder.name}
        trial.set_user_attr(_OUTCOME, measured)
        return summary.avg

    def _values(self, params: Mapping[str, Any]) -> dict[str, Choice]:
        """The settings of a trial: those from an interval with four digits."""
        return {
            path: values.rounded(params[path]) if isinstance(values, Interval) else params[path]
            for path, values in self.space.items()
            if path in params
        }

    def _study(self, sampler: BaseSampler | None = None) -> Study:
        import optuna
        from optuna.storages import journal

        optuna.logging.set_verbosity(optuna.logging.ERROR)  # failures are in the outcome
        path = str(self.folder / _JOURNAL)
        backend = journal.JournalFileBackend(path, journal.JournalFileOpenLock(path))
        return optuna.create_study(
            study_name="search",
            storage=journal.JournalStorage(backend),
            sampler=sampler,
            direction="maximize",
            load_if_exists=True,
        )


def _retry_interrupted(study: Study) -> None:
    """Queue the trials again whose processes ended before them; their run folders are resumed."""
    from optuna.trial import TrialState, create_trial

    retried = {trial.user_attrs.get(_RETRIES) for trial in study.trials}
    for trial in study.trials:
        if _OUTCOME in trial.user_attrs or trial.number in retried:
            continue
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        if trial.state != TrialState.WAITING:
            again = create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={_RETRIES: trial.number},
                system_attrs=trial.system_attrs,
            )
            study.add_trial(again)


def _mend(journal: Path) -> None:
    """Remove what an interrupted process left: the half of a line, optuna's own lock."""
    if journal.exists():
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
