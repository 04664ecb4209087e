"""The run folder: its files and their paths, written so that a killed process loses little.

Every file goes to a temporary name first and is renamed; ``DONE`` comes last. What each file
belongs to stands in ``manifest.json`` (:mod:`gift.runs.manifest`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import yaml
from filelock import FileLock

from gift import distributed
from gift.files import as_json, checksum, digest, remove_unfinished, write_text, writing_to
from gift.metrics import AccuracyMatrix
from gift.runs.environment import add_environment
from gift.runs.lock import take
from gift.runs.manifest import (
    Manifest,
    damage,
    read_manifest,
    read_member,
    recover,
    replacing,
    write_member,
)
from gift.runs.records import Event, Summary, read_events, read_matrix, read_summary, stage_seconds
from gift.settings import Settings, differences, fingerprint, identity, validate

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)
T = TypeVar("T")

_MEMBERS = ("config.yaml", "data.json", "matrix.json", "summary.json")


class RunFolder:
    """Paths and files of one run (or learner) folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def learner(self) -> Path:
        return self.path / "learner"

    @property
    def previous_learner(self) -> Path:
        """The learner of one task before, should the last one be damaged."""
        return self.path / "learner.previous"

    @property
    def has_learner(self) -> bool:
        """Whether a task was finished here."""
        folders = (self.learner, self.previous_learner)
        return any((folder / "memory.json").exists() for folder in folders)

    @property
    def run_id(self) -> str:
        """The id of the run in this folder; empty before its first start."""
        manifest = read_manifest(self.path)
        return "" if manifest is None else manifest.run

    @property
    def done(self) -> bool:
        return (self.path / "DONE").exists()

    @property
    def _begun(self) -> bool:
        """Whether anything was learned or measured here."""
        return self.has_learner or (self.path / "matrix.json").exists()

    def task(self, position: int, name: str) -> Path:
        """The folder of one task; ``position`` counts from 1. A long name is cut."""
        safe = re.sub(r"[^\w.-]+", "-", name)[:60].strip(".-") or "task"
        return self.path / "tasks" / f"{position:02d}-{safe}"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder, lock it while the block runs, and finish what a crash interrupted.

        Raises:
            OSError: it cannot be made or written, with the reason.
            ValueError: another process works in it, or a link or file is in the place of a folder.
        """
        lock = FileLock(self.path / ".lock")
        hint = (
            "what was finished is kept; make the folder writable or free some space, then run the "
            "same command again"
        )
        with writing_to(self.path, "the run folder", hint):
            try:
                distributed.on_main(lambda: self._enter(lock))
                yield
            finally:
                lock.release()

    def _enter(self, lock: FileLock) -> None:
        take(lock, self.path)
        for path in (self.learner, self.previous_learner):
            if path.exists() and not path.is_dir():
                raise ValueError(f"{path} is no folder; move it away, or use another run folder.")
        (self.path / "tasks").mkdir(exist_ok=True)
        remove_unfinished(self.path)
        recover(self.learner, self.previous_learner)
        events = self.path / "events.jsonl"
        if events.exists():  # an incomplete last line is removed before more is appended
            os.truncate(events, events.read_bytes().rfind(b"\n") + 1)

    def _manifest(self) -> Manifest:
        """The folder's manifest; where it has none, a new one for its files as they are.

        Raises:
            ValueError: it is damaged, or the learner's is missing.
        """
        manifest = read_manifest(self.path)
        if manifest is not None:
            return manifest
        learner = read_manifest(self.learner)
        if learner is None and self.has_learner:
            raise ValueError(
                f"{self.learner} has no manifest.json; such a learner, of an earlier version, can "
                "be used but not changed. Use another folder."
            )
        learner = learner or Manifest(run=secrets.token_hex(8))
        paths = [self.path / name for name in _MEMBERS if (self.path / name).exists()]
        if paths:
            log.warning("%s has no manifest.json; its files are taken as they are.", self.path)
        files = {path.name: (checksum(path),) for path in paths}
        return Manifest(run=learner.run, data=learner.data, files=files)

    def _write(self, name: str, text: str, **changes: str) -> None:
        """Let the main process write a file and changes of the manifest."""
        if distributed.is_main():
            write_member(self.path, self._manifest().model_copy(update=changes), name, text)

    def write_config(self, config: Settings) -> None:
        """Store the resolved configuration; what does not bear on results may change.

        Raises:
            ValueError: something was learned or measured with other settings; names what differs.
        """
        distributed.on_main(lambda: self._write_config(config))

    def _write_config(self, config: Settings) -> None:
        settings = fingerprint(config)
        if self._begun and (self.done or self._manifest().settings != settings):
            self._check_config(config)
        if not self.done:
            values = config.model_dump(mode="json")
            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
            self._write("config.yaml", text, settings=settings)

    def _check_config(self, config: Settings) -> None:
        stored = self.read_config(type(config))
        if different := differences(identity(stored), identity(config)):
            raise ValueError(
                f"{self.path} was made with other settings: {'; '.join(different)}. Use another "
                "folder, or the same settings to continue."
            )

    def read_config(self, model: type[S]) -> S:
        """The part of the configuration that a settings model describes.

        Raises:
            ValueError: there is none, it was altered, or holds values that are not allowed.
        """
        path = self.path / "config.yaml"
        try:
            values = yaml.safe_load(read_member(self.path, path.name) or b"")
            if not isinstance(values, dict):
                raise ValueError(f"{path} is missing or holds no configuration.")
        except (ValueError, yaml.YAMLError) as error:
            problem = error if isinstance(error, ValueError) else f"{path} is not YAML."
            raise ValueError(
                f"{problem} Put back a copy of it, or, with DONE removed, run the command that "
                "made the folder again."
            ) from None
        own = {key: value for key, value in values.items() if key in model.model_fields}
        return validate(model, own, where=str(path))

    def write_data(self, description: Mapping[str, Mapping[str, object]]) -> None:
        """Store what the tasks are made of in ``data.json``, or compare it with what is there.

        Args:
            description: by task; another ``place`` of the same images is no difference. Before
                anything is learned or measured, other data are no error.

        Raises:
            ValueError: something was learned or measured there on other data; names what differs.
        """
        distributed.on_main(lambda: self._write_data(description))

    def _write_data(self, description: Mapping[str, Mapping[str, object]]) -> None:
        now = _without_places(description)
        if self._begun and self._manifest().data != digest(now):
            stored = read_member(self.path, "data.json")
            before = now if stored is None else _without_places(json.loads(stored))
            if different := differences(before, now):
                raise ValueError(
                    f"{self.path} was begun on other data: {'; '.join(different)}. Bring the data "
                    "back as they were, or use another folder."
                )
        self._write("data.json", as_json(description), data=digest(now))

    @contextmanager
    def saving_learner(
        self, config: Settings, *, method: str, tasks: Sequence[str]
    ) -> Iterator[Path]:
        """Build ``learner/``, whole or not at all; the checkpoints of its tasks are removed.

        Only for the main process.

        Args:
            config: of the learner; becomes the folder's where that has none.
            method: its name.
            tasks: names of the learned tasks, in order.

        Yields:
            The folder to write to.

        Raises:
            ValueError: the folder holds a learner with other settings, or that of another run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / "config.yaml").exists():
            self._check_config(config)
        else:
            self._write_config(config)
        root = self._manifest()
        manifest = Manifest(
            run=root.run,
            settings=fingerprint(config),
            data=root.data,
            method=method,
            tasks=tuple(tasks),
        )
        is_whole = damage(self.learner) is None
        if is_whole:
            self._check_learner(self.learner, config)
        previous = self.previous_learner if is_whole else None
        with replacing(self.learner, manifest, previous=previous) as new:
            yield new
        for position, name in enumerate(tasks, start=1):
            shutil.rmtree(self.task(position, name) / "checkpoint", ignore_errors=True)

    def whole_learner(self) -> Path:
        """The learner's folder, or where that is damaged, the one before.

        Raises:
            ValueError: there is no learner, or none is whole.
        """
        if not self.has_learner:
            raise ValueError(
                f"{self.path} holds no learner (no config.yaml and learner/ in it). Make one with "
                "'gift learn DIR --task FOLDER --model MODEL'."
            )
        problem = damage(self.learner)
        if problem is None:
            return self.learner
        if damage(self.previous_learner) is None:
            log.warning("%s: %s. The learner before is used.", self.learner, problem)
            return self.previous_learner
        if self.learner.is_dir() and not any(map(read_manifest, (self.path, self.learner))):
            log.warning("%s has no manifest.json; it is taken as it is.", self.learner)
            return self.learner
        raise ValueError(
            f"{self.learner}: {problem}, and there is no whole learner of the task before. Put "
            "back a copy of the folder, or start again in another one."
        )

    def _check_learner(self, folder: Path, config: Settings) -> None:
        """Refuse the learner of another run, or of other settings than the folder's."""
        root, own = read_manifest(self.path), read_manifest(folder)
        if own is None:
            return
        if root is not None and root.run != own.run:
            raise ValueError(
                f"{folder} belongs to another run than {self.path}. Put the run's own folder back, "
                "or use another run folder."
            )
        if own.version == Manifest().version and own.settings != fingerprint(config):
            raise ValueError(
                f"{folder} was made with other settings than {self.path / 'config.yaml'} holds. "
                "Put the file or folder back that belongs to it."
            )

    def read_learner(self, model: type[S], read: Callable[[Path, S], T]) -> T:
        """Read the learner, all of it from one state, also while another process replaces it.

        Args:
            model: the settings model of the learner.
            read: is given the learner's folder and its settings.

        Raises:
            ValueError: there is no whole learner, or it belongs to another run or configuration.
        """
        while True:
            folder = self.whole_learner()
            before, config = read_manifest(folder), self.read_config(model)
            self._check_learner(folder, config)
            try:
                found = read(folder, config)
            except Exception:
                if read_manifest(folder) == before:
                    raise
            else:
                if read_manifest(folder) == before:
                    return found

    def write_environment(self, device: str) -> None:
        """Add this start to env.json: the newest one's values, and ``earlier`` ones in a list."""
        if distributed.is_main():
            add_environment(self.path / "env.json", device)

    def log(self, stage: str, **values: object) -> None:
        """Append one line to events.jsonl; see :class:`~gift.runs.records.Event` for the values."""
        if not distributed.is_main():
            return
        line = {"time": round(time.time(), 3), "stage": stage, **values}
        event = Event.model_validate(line).model_dump(exclude_unset=True)
        with (self.path / "events.jsonl").open("ab") as file:
            file.write(f"{json.dumps(event)}\n".encode())

    def events(self) -> list[Event]:
        """See :func:`gift.runs.records.read_events`."""
        return read_events(self.path)

    def seconds(self) -> dict[str, float]:
        """Seconds per stage and in total, over all the starts of the run."""
        seconds = stage_seconds(self.events())
        every = {"total": sum(seconds.values()), **seconds}
        return {stage: round(value, 2) for stage, value in every.items()}

    def read_matrix(self) -> AccuracyMatrix | None:
        """See :func:`gift.runs.records.read_matrix`."""
        return read_matrix(self.path)

    def write_matrix(self, matrix: AccuracyMatrix) -> None:
        self._write("matrix.json", as_json(matrix.to_json()))

    def write_summary(self, summary: Summary) -> None:
        self._write("summary.json", as_json(summary.model_dump(mode="json")))

    def read_summary(self) -> Summary:
        """The summary of a finished run.

        Raises:
            ValueError: there is none, or it was altered.
        """
        summary = read_summary(self.path)
        if summary is None:
            raise ValueError(f"{self.path / 'summary.json'} is missing; the run is not finished.")
        return summary

    def results(self) -> dict[str, bytes]:
        """The files of a finished run that are worth keeping, by name.

        Raises:
            ValueError: one of them was altered.
        """
        found = {name: read_member(self.path, name) for name in _MEMBERS}
        environment = self.path / "env.json"
        found[environment.name] = environment.read_bytes() if environment.is_file() else None
        return {name: content for name, content in found.items() if content is not None}

    def finish(self) -> None:
        """Write the completion marker."""
        if distributed.is_main():
            write_text(self.path / "DONE", "")


def _without_places(description: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    return {task: {**found, "place": None} for task, found in description.items()}
