"""optuna's study in a search folder, shared by all processes that work on it."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from gift.files import write_json, writing_to
from gift.settings import differences
from gift.studies.space import Choice, Plan, short

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

CRITERION = "Avg. over the whole matrix, on validation images"


@dataclass(frozen=True)
class Trial:
    """A trial that this process works on; ``number`` counts from 0."""

    number: int
    values: dict[str, Choice]

    @property
    def folder_name(self) -> str:
        """For instance ``003-learning_rate=0.0003162,penalty_weight=3``."""
        named = [f"{path.rpartition('.')[2]}={short(v)}" for path, v in self.values.items()]
        safe = re.sub(r"[^\w.,=+-]+", "-", ",".join(named))
        return f"{self.number + 1:03d}-{safe[:100]}"


class SharedStudy:
    """optuna's study in a search folder, which several processes read and extend.

    One lock guards every look at the study, so that no two processes take the same values. Whoever
    works on a trial holds that trial's own lock; a trial that is not finished and whose lock is
    free was interrupted, because the system frees the locks of a process that ends.

    optuna's journal is a text file that only grows: no server, and nothing but half a line at its
    end can be left by a process that is killed.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan

    def start(self) -> None:
        """Make the folder, or check that it belongs to this search.

        Raises:
            ValueError: it was started with another space or other settings.
            OSError: it cannot be made.
        """
        with writing_to(self.folder, "the folder", "choose another one, or free some space"):
            (self.folder / "trials").mkdir(exist_ok=True)
        identity = self.plan.identity
        with self._open() as (study, _):
            known = study.user_attrs.get("search", identity)
            if different := differences(known, identity):
                raise ValueError(
                    f"{self.folder} holds another search: {'; '.join(different)}. Use another "
                    "folder, or the same space and settings to go on."
                )
            study.set_user_attr("search", identity)

    def finished(self) -> int:
        """How many trials are finished, failed ones included."""
        with self._open() as (study, _):
            return len(_finished(study))

    @contextmanager
    def claim(self, budget: int) -> Iterator[Trial | None]:
        """A trial to work on in the block: an interrupted one, else a new one within the budget.

        None when the trials that are missing are in the hands of other processes.
        """
        with self._open() as (study, _):
            claimed = self._interrupted(study) or self._new(study, budget)
        if claimed is None:
            yield None
            return
        trial, lock = claimed
        try:
            yield trial
        finally:
            lock.release()

    def record(self, trial: Trial, result: Mapping[str, Any], budget: int) -> None:
        """Keep the result of a trial, which a ``failure`` in it makes a failed one."""
        from optuna.trial import TrialState

        with self._open() as (study, storage):
            study_id = storage.get_study_id_from_name(study.study_name)
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            storage.set_trial_user_attr(trial_id, "result", dict(result))
            if "failure" in result:
                study.tell(trial.number, state=TrialState.FAIL)
            else:
                study.tell(trial.number, result["avg"])
        self.write_outcome(budget)

    def write_outcome(self, budget: int) -> dict[str, Any]:
        """Write search.json; returns what it holds."""
        with self._open() as (study, _):
            rows: list[dict[str, Any]] = [
                {"trial": trial.number + 1, "values": trial.params, **trial.user_attrs["result"]}
                for trial in _finished(study)
            ]
            measured = [row for row in rows if "failure" not in row]
            outcome = {
                "benchmark": self.plan.benchmark,
                "version": self.plan.version,
                "method": self.plan.method,
                "criterion": CRITERION,
                "space": self.plan.written_space,
                "settings": self.plan.settings,
                "seed": self.plan.seed,
                "budget": budget,
                "best": max(measured, key=lambda row: row["avg"], default=None),
                "rows": rows,
            }
            write_json(self.folder / "search.json", outcome)
        return outcome

    @contextmanager
    def _open(self) -> Iterator[tuple[Study, BaseStorage]]:
        """The study, with all other processes kept out while the block runs."""
        import optuna
        from optuna.storages.journal import (
            JournalFileBackend,
            JournalFileOpenLock,
            JournalStorage,
        )

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal = self.folder / "study.journal"
        with FileLock(self.folder / ".lock"):
            _mend(journal)
            backend = JournalFileBackend(str(journal), JournalFileOpenLock(str(journal)))
            storage = JournalStorage(backend)
            names = [study.study_name for study in storage.get_all_studies()]
            if "search" not in names:
                optuna.create_study(study_name="search", storage=storage, direction="maximize")
            yield optuna.load_study(study_name="search", storage=storage), storage

    def _interrupted(self, study: Study) -> tuple[Trial, FileLock] | None:
        """A trial whose process ended before the trial did, with its lock."""
        for trial in study.trials:
            if not trial.state.is_finished():
                lock = self._lock(trial.number)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                return Trial(trial.number, trial.params), lock
        return None

    def _new(self, study: Study, budget: int) -> tuple[Trial, FileLock] | None:
        """The next trial with its lock, or None when there are enough.

        It is written in one piece, so that an interrupted process leaves a whole one or none.
        """
        from optuna.trial import TrialState, create_trial

        number = len(study.trials)
        if number >= budget:
            return None
        values = self._next_values(study)
        lock = self._lock(number)
        lock.acquire()
        study.add_trial(
            create_trial(
                state=TrialState.RUNNING, params=values, distributions=self.plan.distributions
            )
        )
        return Trial(number, values), lock

    def _next_values(self, study: Study) -> dict[str, Choice]:
        """The grid's next point, or what TPE suggests on a copy of the study.

        The sampler's seed comes from the number of the trial, so that neither a second process nor
        a second start draws the same values again.
        """
        import optuna

        taken = [trial.params for trial in study.trials]
        if (grid := self.plan.grid) is not None:
            return next(point for point in grid if point not in taken)
        seed = random.Random(f"{self.plan.seed}/{len(taken)}").getrandbits(32)
        sampler = optuna.samplers.TPESampler(seed=seed)
        draft = optuna.create_study(direction="maximize", sampler=sampler)
        draft.add_trials(study.trials)
        values = draft.ask(self.plan.distributions).params
        rounded = {path: self.plan.rounded(path, value) for path, value in values.items()}
        return values if rounded in taken else rounded

    def _lock(self, number: int) -> FileLock:
        return FileLock(self.folder / "trials" / f".{number + 1:03d}.lock")


def _finished(study: Study) -> list[FrozenTrial]:
    return [trial for trial in study.trials if trial.state.is_finished()]


def _mend(journal: Path) -> None:
    """Remove what an interrupted process left: the half of a line, optuna's own lock."""
    if journal.exists():
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
