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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from filelock import FileLock

from gift import distributed
from gift.files import (
    as_json,
    checksum,
    digest,
    remove_unfinished,
    write_text,
    writing_to,
)
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
    unswapped,
    write_manifest,
    write_member,
)
from gift.runs.records import Event, Summary, read_events, read_matrix, read_summary, stage_seconds
from gift.runs.undoing import finish_undo, undone
from gift.settings import Settings, differences, identity, validate
from gift.textfiles import parse_json, parse_yaml

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)
T = TypeVar("T")

State = Literal["last", "previous", "any"]
"""The learner after the last task, or that of one task before; "any": the former, or where it is
damaged the latter, with a warning."""

_MEMBERS = ("config.yaml", "data.json", "inputs.json", "matrix.json", "summary.json")
_NOTES = ("manifest.json", "events.jsonl", "env.json", "features.safetensors", "DONE")
_LOCKS = (".lock", ".owner.json")
_STATES = ("learner", "learner.previous", "learner.new", "learner.undo", "learner.discarded")
_FOLDERS = (*_STATES, "tasks", "tracking")
CONTENT = (*_MEMBERS, *_NOTES, *_LOCKS, *_FOLDERS)
"""All that a run folder holds; other files in it are the user's own."""


class RunFolder:
    """Paths and files of one run (or learner) folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hears: Callable[[Event], None] | None = None

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
        states = (self.learner, self.previous_learner, undone(self.learner))
        return any(state.is_dir() for state in states)

    @property
    def is_learner(self) -> bool:
        """Whether it is the folder of a learner, and no benchmark's run."""
        return self.has_learner and not (self.path / "matrix.json").exists()

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
        begun = self.has_learner or (self.path / "matrix.json").exists()
        return begun or "matrix.json" in self._manifest().files

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
        self._check_kinds()
        root, new = self._manifest(), unswapped(self.learner)
        if self.has_learner and read_manifest(self.path) is None:
            log.warning("%s has no manifest.json; it is taken for a copied learner.", self.path)
        if new.is_dir() and self._damage(new) is None:
            self._check_run(new, root)
        remove_unfinished(self.path)
        finish_undo(self)
        recover(self.learner, self.previous_learner)
        if root.tasks and not self.has_learner:
            raise ValueError(
                f"{self.learner} is missing, although {', '.join(root.tasks)} was learned here. "
                "Put back a copy of it, or use another folder."
            )
        tasks = self.path / "tasks"
        tasks.mkdir(exist_ok=True)
        for path in tasks.rglob("*"):
            if path.is_dir():
                remove_unfinished(path)
        if self._damage(self.learner) is None and (own := read_manifest(self.learner)):
            self._remove_checkpoints(own.tasks)
        events = self.path / "events.jsonl"
        if events.exists():  # an incomplete last line is removed before more is appended
            os.truncate(events, events.read_bytes().rfind(b"\n") + 1)

    def _check_kinds(self) -> None:
        """Refuse a file in the place of a folder, and a folder in the place of a file."""
        for name in _FOLDERS:
            if (path := self.path / name).is_file():
                raise ValueError(f"{path} is no folder; move it away, or use another run folder.")
        for name in (*_MEMBERS, *_NOTES, *_LOCKS):
            if (path := self.path / name).is_dir():
                raise ValueError(f"{path} is a folder; move it away, or use another run folder.")

    def _manifest(self) -> Manifest:
        """The folder's manifest; a new one where it holds nothing, or a learner from elsewhere.

        Raises:
            ValueError: it is damaged or missing, or the learner's is missing.
        """
        try:
            manifest = read_manifest(self.path)
        except OSError as error:
            raise ValueError(
                f"{error.filename} cannot be read ({error.strerror}). Make it readable, or put "
                "back a copy of it."
            ) from None
        if manifest is not None:
            return manifest
        hint = "Put back a copy of it, or use another folder."
        there = [name for name in _MEMBERS if (self.path / name).exists()]
        others = [name for name in there if name != "config.yaml"]
        if not self.has_learner and any((self.path / "tasks").glob("*")):
            others.append("tasks")
        if others:
            raise ValueError(
                f"{self.path / 'manifest.json'} is missing: nothing says whether {others[-1]} is "
                f"as it was written. {hint}"
            )
        if not self.has_learner:
            return Manifest(run=secrets.token_hex(8))
        if not there:
            raise ValueError(f"{self.path / 'config.yaml'} is missing. {hint}")
        learner = read_manifest(self.learner)
        if learner is None:
            raise ValueError(f"{self.learner / 'manifest.json'} is missing. {hint}")
        files = {name: (checksum(self.path / name),) for name in there}
        return Manifest(run=learner.run, data=learner.data, tasks=learner.tasks, files=files)

    def _check_run(self, folder: Path, root: Manifest) -> None:
        """Refuse a learner's folder that belongs to another run."""
        own = read_manifest(folder)
        if own is not None and own.run != root.run:
            raise ValueError(
                f"{folder} belongs to another run than {self.path}. Put the run's own folder back, "
                "or use another run folder."
            )

    def _write(self, name: str, text: str, **changes: str) -> None:
        """Let the main process write a file and changes of the manifest."""
        if distributed.is_main():
            write_member(self.path, self._manifest().model_copy(update=changes), name, text)

    def _write_anew(self, name: str, text: str, **changes: str) -> None:
        """Write a file whose content is known; one that is not as it was written is said."""
        if not distributed.is_main():
            return
        try:
            read_member(self.path, name)
        except ValueError as problem:
            log.warning("%s It is written anew.", problem)
        self._write(name, text, **changes)

    def write_config(self, config: Settings) -> None:
        """Store the resolved configuration; what does not bear on results may change.

        Raises:
            ValueError: something was learned or measured with other settings; names what differs.
        """
        distributed.on_main(lambda: self._write_config(config))

    def _write_config(self, config: Settings) -> None:
        settings = digest(config.lasting())
        if self._begun and (self.done or self._manifest().settings != settings):
            self._check_config(config)
        if not self.done:
            values = config.model_dump(mode="json")
            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
            self._write_anew("config.yaml", text, settings=settings)

    def _check_config(self, config: Settings) -> None:
        stored = self.read_config(type(config))
        if different := differences(stored.lasting(), config.lasting()):
            raise ValueError(
                f"{self.path} was made with other settings: {'; '.join(different)}. Use another "
                "folder, or the same settings to continue."
            )

    def _has_config(self, config: Settings) -> bool:
        """Whether the folder's configuration, of a run perhaps, holds these settings."""
        if not (self.path / "config.yaml").exists():
            return False
        self._check_config(config)
        return identity(self.read_config(type(config))) == identity(config)

    def read_config(self, model: type[S]) -> S:
        """The part of the configuration that a settings model describes.

        Raises:
            ValueError: there is none, it was altered, or holds values that are not allowed.
        """
        path = self.path / "config.yaml"
        try:
            values = parse_yaml(read_member(self.path, path.name) or b"", str(path))
            if not isinstance(values, dict):
                raise ValueError(f"{path} is missing or holds no configuration.")
        except ValueError as error:
            raise ValueError(
                f"{error} Put back a copy of it, or, with DONE removed, run the command that "
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
            try:
                stored = read_member(self.path, "data.json")
            except ValueError as problem:
                raise ValueError(
                    f"{problem} Put back a copy of it, or use another folder: the data are not "
                    "those that it was written for."
                ) from None
            before = now if stored is None else _without_places(parse_json(stored))
            if different := differences(before, _known(now, before)):
                raise ValueError(
                    f"{self.path} was begun on other data: {'; '.join(different)}. Bring the data "
                    "back as they were, or use another folder."
                )
        self._write_anew("data.json", as_json(description), data=digest(now))

    def write_inputs(self, inputs: Mapping[str, str], *, may_change: bool) -> None:
        """Store what a run takes from elsewhere in ``inputs.json``, or compare it.

        Args:
            inputs: checksums by setting, of what is still to be used.
            may_change: whether another content is a warning, as between two tasks of a learner.

        Raises:
            ValueError: something was learned or measured with another content; names the settings.
        """
        distributed.on_main(lambda: self._write_inputs(inputs, may_change))

    def _write_inputs(self, inputs: Mapping[str, str], may_change: bool) -> None:
        path = self.path / "inputs.json"
        before: dict[str, str] = {}
        try:
            before = dict(parse_json(read_member(self.path, path.name) or b"{}"))
        except ValueError as error:
            if not may_change:
                hint = "Put back a copy of it, or use another folder."
                raise ValueError(f"{error} {hint}") from None
            log.warning("%s It is written anew.", error)
        changed = [name for name in inputs if before.get(name, inputs[name]) != inputs[name]]
        if changed and self._begun:
            problem = f"{path}: what {' and '.join(changed)} names has changed since the start"
            if not may_change:
                raise ValueError(f"{problem}. Bring it back as it was, or use another folder.")
            log.warning("%s before; it is used as it is now.", problem)
        found = before | dict(inputs)
        if found != before or not path.exists():
            self._write(path.name, as_json(found))

    def add_data(
        self, task: str, description: Mapping[str, object], *, only: Collection[str]
    ) -> None:
        """Store what a task is made of in ``data.json``, beside the tasks learned before.

        Args:
            task: its name.
            description: of the task.
            only: names of the tasks learned before; those of others are removed.
        """

        distributed.on_main(lambda: self.keep_data(only, {task: description}))

    def keep_data(
        self, tasks: Collection[str], more: Mapping[str, Mapping[str, object]] | None = None
    ) -> None:
        """Remove what is not of these tasks from ``data.json``, and add the description of others.

        Only for the main process.
        """
        kept = {name: found for name, found in self.data().items() if name in tasks}
        every = {**kept, **(more or {})}
        self._write("data.json", as_json(every), data=digest(_without_places(every)))

    def is_data(self, task: str, description: Mapping[str, object]) -> bool:
        """Whether a task is made of what ``data.json`` says; another ``place`` does not count."""
        stored = {name: found for name, found in self.data().items() if name == task}
        before, now = _without_places(stored), _without_places({task: description})
        return before == _known(now, before)

    def data(self) -> dict[str, Mapping[str, object]]:
        """What the tasks are made of: the content of ``data.json``, by task.

        Raises:
            ValueError: it is not as it was written.
        """
        try:
            content = read_member(self.path, "data.json")
            return {} if content is None else dict(parse_json(content))
        except ValueError as problem:
            raise ValueError(
                f"{problem} Put back a copy of it, or copy config.yaml and learner/ into another "
                "folder and continue there."
            ) from None

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
        if not self._has_config(config):
            self._write_config(config)
        root = self._manifest()
        manifest = Manifest(
            run=root.run,
            settings=digest(config.lasting()),
            data=root.data,
            method=method,
            tasks=tuple(tasks),
        )
        is_whole = self._damage(self.learner) is None
        if is_whole:
            self._check_learner(self.learner, config)
        previous = self.previous_learner if is_whole else None
        with replacing(self.learner, manifest, previous=previous) as new:
            yield new
        write_manifest(self.path, self._manifest().model_copy(update={"tasks": tuple(tasks)}))
        self._remove_checkpoints(tasks)

    def _remove_checkpoints(self, tasks: Iterable[str]) -> None:
        """Remove those of tasks that were learned."""
        for position, name in enumerate(tasks, start=1):
            shutil.rmtree(self.task(position, name) / "checkpoint", ignore_errors=True)

    def whole_learner(self, state: State = "last") -> Path:
        """The learner's folder.

        Raises:
            ValueError: there is no such learner, or it is not whole or cannot be read.
        """
        previous = self.previous_learner
        if state == "previous":
            if problem := self._damage(previous):
                raise ValueError(f"{previous}: {problem}. Put back a copy of the folder.")
            return previous
        for new in (unswapped(self.learner), undone(self.learner)):
            if not self.learner.is_dir() and self._damage(new) is None:
                return new  # the process that was about to rename it works still, or was killed
        if not self.has_learner:
            raise ValueError(
                f"{self.path} holds no learner (no config.yaml and learner/ in it). Make one with "
                "'gift learn DIR --task FOLDER --model MODEL'."
            )
        problem = self._damage(self.learner)
        if problem is None:
            return self.learner
        if self._damage(previous) is not None:
            raise ValueError(
                f"{self.learner}: {problem}, and there is no whole learner of the task before. Put "
                "back a copy of the folder, or start again in another one."
            )
        if state == "last":
            raise ValueError(
                f"{self.learner}: {problem}. Put back a copy of the folder; or, to use the learner "
                f"of one task before, remove it and call {previous} {self.learner.name}."
            )
        log.warning("%s: %s. The learner before is used.", self.learner, problem)
        return previous

    def _damage(self, folder: Path) -> str | None:
        """See :func:`gift.runs.manifest.damage`; what cannot be read is refused.

        It may be whole: another learner in its place would be no repair.
        """
        try:
            return damage(folder)
        except OSError as error:
            raise ValueError(
                f"{error.filename or folder} cannot be read ({error.strerror}). Make it readable, "
                "or put back a copy of it."
            ) from None

    def _check_learner(self, folder: Path, config: Settings) -> None:
        """Refuse the learner of another run, or of other settings than the folder's."""
        self._check_run(folder, self._manifest())
        own = read_manifest(folder)
        assert own is not None, "it is whole"
        if own.version == Manifest().version and own.settings != digest(config.lasting()):
            raise ValueError(
                f"{folder} was made with other settings than {self.path / 'config.yaml'} holds. "
                "Put the file or folder back that belongs to it."
            )

    def check_finished(self) -> None:
        """Refuse a finished run whose files are not as they were written.

        Raises:
            ValueError: with the file, and what to do.
        """
        root = self._manifest()
        done = self.path / "DONE"
        for name in root.files:
            try:
                read_member(self.path, name)
            except ValueError as error:
                raise ValueError(
                    f"{error} Put back a copy of it; or remove {done} and run the same command, "
                    "which writes it anew where it can."
                ) from None
        if problem := self._damage(self.learner):
            raise ValueError(
                f"{self.learner}: {problem}, although the run is finished. Put back a copy of the "
                f"folder; or remove {done} and run the same command, which learns "
                "the last task again."
            )
        self._check_run(self.learner, root)

    def read_learner(
        self, model: type[S], read: Callable[[Path, S], T], *, state: State = "last"
    ) -> T:
        """Read the learner, all of it from one state, also while another process replaces it.

        Args:
            model: the settings model of the learner.
            read: is given the learner's folder and its settings.
            state: which of the learners that are kept.

        Raises:
            ValueError: there is no whole learner of that kind, or it belongs to another run or
                configuration.
        """
        while True:
            folder = self.whole_learner(state)
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
        event = Event.model_validate(line)
        text = json.dumps(event.model_dump(exclude_unset=True))
        with (self.path / "events.jsonl").open("ab") as file:
            file.write(f"{text}\n".encode())
        log.debug("%s", text)
        if self._hears is not None:
            self._hears(event)

    @contextmanager
    def heard_by(self, listener: Callable[[Event], None]) -> Iterator[None]:
        """Let a function hear of every line that is logged in the block."""
        self._hears = listener
        try:
            yield
        finally:
            self._hears = None

    def events(self) -> list[Event]:
        """See :func:`gift.runs.records.read_events`."""
        return read_events(self.path)

    def seconds(self) -> dict[str, float]:
        """Seconds per stage and in total, over all the starts of the run."""
        seconds = stage_seconds(self.events())
        every = {**seconds, "total": sum(seconds.values())}
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


def _known(new: Mapping[str, object], old: Mapping[str, object]) -> dict[str, object]:
    """The new values below tasks without those that older files do not hold."""
    found: dict[str, object] = {}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(before := old.get(key), dict):
            value = _known({k: v for k, v in value.items() if k in before}, before)
        found[key] = value
    return found


def _without_places(description: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    plain = {task: {**found, "place": None} for task, found in description.items()}
    return dict(parse_json(as_json(plain)))
