"""Experiment trackers: the curves of a run while it goes on, through accelerate's trackers.

What a run folder logs is sent to them as it is written, so ``events.jsonl`` has all that they have.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from statistics import fmean
from typing import Any, get_args

from gift import distributed
from gift.config import LearnerConfig, TrackerName
from gift.files import read_json, write_json
from gift.runs import Event, RunFolder
from gift.settings import flat

log = logging.getLogger(__name__)

_PACKAGES = {"comet_ml": "comet-ml", "tensorboard": "'gift-cl[track]'"}
"""What pip installs for a tracker, where that is not its name."""


def check_trackers(names: Iterable[TrackerName]) -> None:
    """Refuse trackers that are not installed; of what is none, the settings tell.

    Raises:
        ValueError: all of them are named, with the line that installs each.
    """
    known = (name for name in names if name in get_args(TrackerName))
    missing = [name for name in known if importlib.util.find_spec(name) is None]
    if missing:
        lines = "\n".join(f"  pip install {_PACKAGES.get(name, name)}" for name in missing)
        raise ValueError(
            f"--track {', '.join(missing)}: not installed. Install what is missing, or leave it "
            f"out with --set 'tracking=[]':\n{lines}"
        )


@contextmanager
def tracked(folder: RunFolder, config: LearnerConfig) -> Iterator[None]:
    """Send what a folder logs in the block to the trackers of its configuration.

    Only the main process sends. A tracker that fails later on is warned of and dropped: a training
    does not depend on it.

    Raises:
        ValueError: a tracker that is not installed, or cannot be started.
    """
    if not config.tracking or folder.done:
        yield
        return
    check_trackers(config.tracking)
    if not distributed.is_main():
        yield
        return
    curves = _Curves(folder, config)
    with folder.heard_by(curves.send):
        try:
            yield
        finally:
            curves.finish()


class _Curves:
    """The started trackers of one run.

    Args:
        folder: the run's.
        config: its settings, which the trackers keep.
    """

    def __init__(self, folder: RunFolder, config: LearnerConfig) -> None:
        self._folder, self._config = folder, config
        self._steps = Steps(folder.events())
        self._trackers: dict[str, Any] = {}
        self._waits = "tensorboard" in config.tracking  # for the first step that it is sent
        for name in config.tracking:
            if name != "tensorboard":
                self._start(name)

    def send(self, event: Event) -> None:
        """Send a line of the log, where it has anything to draw."""
        step, values = self._steps.after(event), _values(event)
        if not values:
            return
        if self._waits:
            self._waits = False
            # What an interrupted training logged after its checkpoint comes again.
            self._start("tensorboard", purge_step=None if event.step is None else step)
        for name, tracker in list(self._trackers.items()):
            try:
                tracker.log(values, step=step)
            except Exception as error:  # of a server or a network; any type
                log.warning("%s gets no more: %s: %s", name, type(error).__name__, error)
                del self._trackers[name]

    def finish(self) -> None:
        """Let the trackers write what they still hold."""
        for name, tracker in self._trackers.items():
            try:
                tracker.finish()
            except Exception as error:
                log.warning("%s did not end well: %s: %s", name, type(error).__name__, error)

    def _start(self, name: TrackerName, **options: Any) -> None:
        """Start a tracker: a new run of it, or the one that was started for this folder before."""
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        place = self._folder.path / "tracking"
        place.mkdir(exist_ok=True)
        known = place / f"{name}.json"
        run_id = read_json(known)["run"] if known.is_file() else None
        path = self._folder.path.resolve()
        title = f"{path.parent.name}/{path.name}"
        first = "gift"
        if name == "wandb":
            first = os.environ.get("WANDB_PROJECT", first)
            run_id = run_id or secrets.token_hex(8)
            options = {"name": title, "id": run_id, "resume": "allow"}
        elif name == "mlflow":
            options = {"run_name": title, "run_id": run_id}
        elif name == "tensorboard":
            first = name  # the folder in place
        kind = LOGGER_TYPE_TO_CLASS[name]
        where = [str(place)] if kind.requires_logging_directory else []
        try:
            tracker = kind(first, *where, **options)
            tracker.start()
            if not known.is_file():
                plain = flat(self._config.model_dump(mode="json"))
                kinds = (bool, int, float, str)
                tracker.store_init_configuration(
                    {key: v if isinstance(v, kinds) else str(v) for key, v in plain.items()}
                )
        except Exception as error:  # not signed in, no such server; any type
            raise ValueError(
                f"--track {name} cannot be started ({type(error).__name__}: {error}); see "
                f"docs/tracking.md, or leave it out with --set 'tracking=[]'. {known} holds the "
                "run that it continues, if any."
            ) from error
        if name == "mlflow":
            run_id = tracker.tracker.info.run_id
        write_json(known, {"run": run_id})
        self._trackers[name] = tracker


class Steps:
    """Numbers the steps of all tasks consecutively, from the lines that a folder has logged.

    Args:
        events: the lines so far.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._done: dict[str, int] = {}
        for event in events:
            self.after(event)

    def after(self, event: Event) -> int:
        """The steps that were done over all tasks when a line was logged.

        A task without steps counts as one, so that measurements after different tasks differ. A
        task that was undone does not count.
        """
        task, done = event.task, self._done
        if event.stage == "undo":
            done.pop(task, None)
        elif event.step is not None:
            done[task] = max(done.get(task, 0), event.step + 1)
        elif event.stage == "evaluate" and task != "zero-shot":
            done.setdefault(task, 1)
        if task not in done:
            return 0 if task == "zero-shot" else sum(done.values())
        names = list(done)
        before = sum(done[name] for name in names[: names.index(task)])
        return before + (done[task] if event.step is None else event.step + 1)


def _values(event: Event) -> dict[str, float]:
    """The points that a line adds to curves, by the curves' names."""
    found: dict[str, float] = {}
    if event.step is not None:
        losses = {f"loss/{name}": v for name, v in event.losses.items() if v is not None}
        rates = {"learning_rate": event.lr, "images_per_second": event.images_per_second}
        found = losses | {name: value for name, value in rates.items() if value is not None}
    if event.accuracy:
        among = f"accuracy_among_{(event.model_extra or {}).get('among', 'task')}"
        found = {f"{among}/{_plain(task)}": value for task, value in event.accuracy.items()}
        found[f"mean_{among}"] = fmean(event.accuracy.values())
    return found


def _plain(name: str) -> str:
    """A task's name as every tracker takes it."""
    return re.sub(r"[^\w .-]", "_", name)
