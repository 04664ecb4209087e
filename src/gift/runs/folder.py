"""The run folder: its files and their paths, written so that a killed process loses little.

Every file goes to a temporary name first and is renamed; ``DONE`` comes last. What each file
belongs to stands in ``manifest.json`` (:mod:`gift.runs.manifest`).
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import yaml
from filelock import FileLock, Timeout

from gift import distributed
from gift.files import (
    as_json,
    checksum,
    digest,
    read_json,
    remove_unfinished,
    write_json,
    write_text,
    writing_to,
)
from gift.metrics import AccuracyMatrix
from gift.runs.environment import add_environment
from gift.runs.manifest import (
    Manifest,
    damage,
    read_manifest,
    read_member,
    recover,
    replacing,
    seal,
    write_manifest,
    write_member,
)
from gift.runs.records import (
    EARLIER_STAGES,
    Event,
    Summary,
    read_events,
    read_matrix,
    read_summary,
)
from gift.settings import Settings, differences, identity, validate

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Settings)
T = TypeVar("T")

_HINT = (
    "what was finished is kept; make the folder writable or free some space, then run the same "
    "command again"
)
_ATTEMPTS = 3  # at reading a learner that another process replaces
_CONFIG, _DATA, _MATRIX, _SUMMARY = _MEMBERS = (
    "config.yaml",
    "data.json",
    "matrix.json",
    "summary.json",
)


class RunFolder:
    """Paths and files of one run (or learner) folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

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
        places = (self.learner, self.path / "learner.new", self.previous_learner)
        return any((folder / "memory.json").exists() for folder in places)

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
        return self.has_learner or (self.path / _MATRIX).exists()

    def task(self, position: int, name: str) -> Path:
        """The folder of one task; ``position`` counts from 1. A long name is cut."""
        safe = re.sub(r"[^\w.-]+", "-", name)[:60].strip(".-") or "task"
        return self.path / "tasks" / f"{position:02d}-{safe}"

    # Writing begins --------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder, lock it while the block runs, and repair what a crash left.

        The system frees the lock of a process that is gone. Of processes that work together the
        main one holds it for all.

        Raises:
            OSError: it cannot be made or written, with the reason.
            ValueError: another process works in it, or a link or file is in the place of a folder.
        """
        lock = FileLock(self.path / ".lock")
        with writing_to(self.path, "the run folder", _HINT):
            try:
                distributed.on_main(lambda: self._enter(lock))
                yield
            finally:
                lock.release()

    def _enter(self, lock: FileLock) -> None:
        self._refuse_links()
        owner = self.path / ".owner.json"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"another process works in {self.path} ({_described(owner)}); wait for it, or "
                "use another folder."
            ) from None
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        write_json(owner, {"pid": os.getpid(), "host": platform.node(), "since": since})
        (self.path / "tasks").mkdir(exist_ok=True)
        remove_unfinished(self.path)
        recover(self.learner, self.previous_learner)
        self._truncate_events()
        self._repair_results()

    def _refuse_links(self) -> None:
        """Refuse links, which lead writes out of the folder, and a file in a learner's place."""
        for folder, folders, files in os.walk(self.path):
            for path in (Path(folder, name) for name in (*folders, *files)):
                if path.is_symlink():
                    raise ValueError(
                        f"{path} is a link; a run folder holds files and folders only. Replace it "
                        "with what it points to, or use another folder."
                    )
        for path in (self.learner, self.previous_learner):
            if path.exists() and not path.is_dir():
                raise ValueError(f"{path} is no folder; move it away, or use another run folder.")

    def _truncate_events(self) -> None:
        """Remove an incomplete last line, before more is appended."""
        path = self.path / "events.jsonl"
        if path.exists():
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)

    def _repair_results(self) -> None:
        """Write an altered matrix anew where it can be rebuilt; let a summary be computed anew."""
        manifest = read_manifest(self.path)
        if manifest is None:
            return
        if _problem(self.path, _MATRIX):
            with suppress(ValueError):  # raised to those who ask for it
                matrix = self.read_matrix()
                assert matrix is not None
                write_member(self.path, manifest, _MATRIX, as_json(matrix.to_json()))
        if not self.done:
            return
        if problem := _problem(self.path, _SUMMARY):
            log.warning("%s It is computed anew.", problem)
            (self.path / "DONE").unlink()
        elif problem := damage(self.learner):
            log.warning(
                "%s: %s. The figures are whole; to learn the last task again, remove %s and run "
                "the same command.",
                self.learner,
                problem,
                self.path / "DONE",
            )

    # Configuration and data ------------------------------------------------------------------

    def write_config(self, config: Settings) -> None:
        """Store the resolved configuration, or check that it agrees with the folder's.

        What does not bear on results may change.

        Raises:
            ValueError: something was already learned with another configuration; names what
                differs.
        """
        distributed.on_main(lambda: self._write_config(config))

    def _write_config(self, config: Settings) -> None:
        manifest = read_manifest(self.path)
        if self._begun:
            self._check_config(config)
            manifest = manifest or self._adopted(config)
        manifest = manifest or Manifest.of_a_new_run()
        if not self.done or _problem(self.path, _CONFIG):
            values = config.model_dump(mode="json")
            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
            manifest = manifest.model_copy(update={"settings": digest(identity(config))})
            write_member(self.path, manifest, _CONFIG, text)

    def _check_config(self, config: Settings) -> None:
        manifest = read_manifest(self.path) or Manifest()
        different = _differences(
            lambda: identity(self.read_config(type(config))), identity(config), manifest.settings
        )
        if different:
            raise ValueError(
                f"{self.path} was made with other settings: {different}. Use another folder, or "
                "the same settings to continue."
            )

    def _adopted(self, config: Settings) -> Manifest:
        """A new manifest for a copied learner, or for the folder of a version that wrote none."""
        self._check_learner(self.learner, config)
        log.warning("%s has no manifest.json; its files are taken as they are.", self.path)
        learner = read_manifest(self.learner) or Manifest.of_a_new_run()
        manifest = Manifest(
            run=learner.run,
            settings=digest(identity(config)),
            data=learner.data,
            files={
                name: (checksum(self.path / name),)
                for name in _MEMBERS
                if (self.path / name).exists()
            },
        )
        for folder in (self.learner, self.previous_learner):
            if folder.exists() and read_manifest(folder) is None:
                seal(folder, Manifest(run=manifest.run))
        write_manifest(self.path, manifest)
        return manifest

    def read_config(self, model: type[S]) -> S:
        """The part of the configuration that a settings model describes.

        Raises:
            ValueError: there is none, it was altered, or holds values that are not allowed.
        """
        path = self.path / _CONFIG
        hint = "Put back a copy of it, or run the command that made the folder again."
        try:
            text = read_member(self.path, _CONFIG)
            values = yaml.safe_load(text or b"")
        except (ValueError, yaml.YAMLError) as error:
            problem = error if isinstance(error, ValueError) else f"{path} is not YAML."
            raise ValueError(f"{problem} {hint}") from None
        if not isinstance(values, dict):
            state = "is damaged, it holds no configuration" if text else "is missing"
            raise ValueError(f"{path} {state}. {hint}")
        own = {key: value for key, value in values.items() if key in model.model_fields}
        return validate(model, own, where=str(path))

    def write_data(self, description: Mapping[str, Mapping[str, object]]) -> None:
        """Store what the tasks are made of in ``data.json``, or compare it with what is there.

        Args:
            description: by task; another ``place`` of the same images is no difference. Before
                anything is learned or measured, the file is written anew.

        Raises:
            ValueError: something was learned or measured there on other data; names what differs.
        """
        distributed.on_main(lambda: self._write_data(description))

    def _write_data(self, description: Mapping[str, Mapping[str, object]]) -> None:
        manifest = read_manifest(self.path) or Manifest.of_a_new_run()
        now = _without_places(description)
        if self._begun and (manifest.data or (self.path / _DATA).exists()):

            def stored() -> dict[str, object]:
                return _without_places(json.loads(read_member(self.path, _DATA) or "{}"))

            if different := _differences(stored, now, manifest.data):
                raise ValueError(
                    f"{self.path} was begun on other data: {different}. Bring the data back as "
                    "they were, or use another folder."
                )
            if _problem(self.path, _DATA) is None:
                return
        manifest = manifest.model_copy(update={"data": digest(now)})
        write_member(self.path, manifest, _DATA, as_json(description))

    # The learner -----------------------------------------------------------------------------

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
        if (self.path / _CONFIG).exists():
            self._check_config(config)
        else:
            self._write_config(config)
        root = read_manifest(self.path) or self._adopted(config)
        manifest = Manifest(
            run=root.run,
            settings=digest(identity(config)),
            data=root.data,
            method=method,
            tasks=tuple(tasks),
        )
        previous = None
        if damage(self.learner) is None:
            self._check_learner(self.learner, config)
            previous = self.previous_learner
        with replacing(self.learner, manifest, previous=previous) as new:
            yield new
        for position, name in enumerate(tasks, start=1):
            shutil.rmtree(self.task(position, name) / "checkpoint", ignore_errors=True)

    def whole_learner(self) -> Path:
        """The learner's folder, or where that is damaged, the one before.

        Raises:
            ValueError: there is no learner, none is whole, or it belongs to another run.
        """
        if not self.has_learner:
            raise ValueError(
                f"{self.path} holds no learner (no config.yaml and learner/ in it). Make one with "
                "'gift learn DIR --task FOLDER --model MODEL'."
            )
        problem = damage(self.learner)
        for folder in (self.learner, self.path / "learner.new", self.previous_learner):
            if damage(folder) is None:
                if folder == self.previous_learner:
                    log.warning("%s: %s. The learner before is used.", self.learner, problem)
                return folder
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
        comparable = own.settings and own.version == Manifest().version
        if comparable and own.settings not in _digests(config):
            raise ValueError(
                f"{folder} was made with other settings than {self.path / _CONFIG} holds. Put the "
                "file or folder back that belongs to it."
            )

    def read_learner(self, model: type[S], read: Callable[[Path, S], T]) -> T:
        """Read the learner, all of it from one state, also while another process replaces it.

        Args:
            model: the settings model of the learner.
            read: is given the learner's folder and its settings.

        Raises:
            ValueError: there is no whole learner, or it belongs to another run or configuration.
        """
        for attempt in range(_ATTEMPTS):
            folder = self.whole_learner()
            before, config = read_manifest(folder), self.read_config(model)
            self._check_learner(folder, config)
            try:
                found = read(folder, config)
            except Exception:
                if attempt == _ATTEMPTS - 1 or read_manifest(folder) == before:
                    raise
                continue
            if read_manifest(folder) == before:
                return found
        raise ValueError(f"{self.learner} is replaced again and again; try again later.")

    # Results ---------------------------------------------------------------------------------

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
        """The complete lines of events.jsonl; damaged ones are counted in a warning and skipped."""
        return read_events(self.path)

    def seconds(self) -> dict[str, float]:
        """Seconds per stage and in total, over all the starts of the run."""
        total: dict[str, float] = {}
        for event in self.events():
            if event.seconds is not None:
                stage = EARLIER_STAGES.get(event.stage, event.stage)
                total[stage] = total.get(stage, 0.0) + event.seconds
        return {
            "total": round(sum(total.values()), 2),
            **{stage: round(value, 2) for stage, value in total.items()},
        }

    def read_matrix(self) -> AccuracyMatrix | None:
        """The accuracy matrix as far as it is measured, or None.

        Raises:
            ValueError: it is altered and cannot be rebuilt, or is no matrix.
        """
        return read_matrix(self.path)

    def write_matrix(self, matrix: AccuracyMatrix) -> None:
        if not distributed.is_main():
            return
        if not matrix.accuracy:  # the rows that follow are logged as they are measured
            self.log("matrix", matrix=matrix.to_json())
        self._write_result(_MATRIX, as_json(matrix.to_json()))

    def write_summary(self, summary: Summary) -> None:
        if distributed.is_main():
            self._write_result(_SUMMARY, as_json(summary.model_dump(mode="json")))

    def _write_result(self, name: str, text: str) -> None:
        manifest = read_manifest(self.path) or Manifest.of_a_new_run()
        write_member(self.path, manifest, name, text)

    def read_summary(self) -> Summary:
        """The summary of a finished run.

        Raises:
            ValueError: there is none, or it was altered.
        """
        summary = read_summary(self.path)
        if summary is None:
            raise ValueError(f"{self.path / _SUMMARY} is missing; the run is not finished.")
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


def _problem(folder: Path, name: str) -> str | None:
    """What is wrong with one of the folder's own files, as a sentence; None when it is whole."""
    try:
        read_member(folder, name)
    except ValueError as problem:
        return str(problem)
    return None


def _differences(stored: Callable[[], dict[str, Any]], now: dict[str, Any], known: str) -> str:
    """What differs between stored settings or data and those of now; empty where nothing does.

    Where the stored ones are damaged, the manifest's digest of them is compared.
    """
    try:
        return "; ".join(differences(stored(), now))
    except ValueError as problem:
        if known != digest(now):
            return str(problem).rstrip(".")
        log.warning("%s What it held is known to be the same; it is written anew.", problem)
        return ""


def _digests(config: Settings) -> set[str]:
    """Digests of the settings, and of the part of them that a base class describes."""
    bases = [base for base in type(config).mro() if issubclass(base, Settings)]
    found = identity(config)
    return {digest({k: v for k, v in found.items() if k in base.model_fields}) for base in bases}


def _without_places(description: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    return {task: {**found, "place": None} for task, found in description.items()}


def _described(owner: Path) -> str:
    """Who holds a folder, in words."""
    try:
        found = read_json(owner)
        return f"process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError):
        return "it has not said which"
