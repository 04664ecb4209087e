"""Manifests: what a saved state belongs to, and the SHA-256 of each of its files.

A saved state is a folder with a ``manifest.json``: the learner, a checkpoint, or the run folder for
its own top-level files. Folders are replaced whole (:func:`replacing`). Single files are replaced
one at a time (:func:`write_member`): first the manifest, which then accepts the old and the new
content, then the file, so that a crash in between leaves a valid state.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError

from gift.files import checksum, digest, write_json, write_text

_FILE = "manifest.json"
_ABSENT = ""  # stands for the checksum of a file that is not there


def package_version(name: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


class Manifest(BaseModel):
    """What a saved state belongs to, and the checksums of its files.

    Attributes:
        format: of the manifest.
        version: of the package that wrote it; digests of settings of other versions may differ.
        run: random id of the run, made at its first start.
        settings: digest of the settings that decide the state.
        data: digest of the data that decide it, where they are known.
        method: name of the method, where it applies.
        tasks: names of the learned tasks in order, where they apply.
        files: by path below the folder, the checksums that are accepted: two while a file is
            replaced; an empty one stands for a file that is not there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    version: str | None = Field(default_factory=lambda: package_version("gift-cl"))
    run: str = ""
    settings: str = ""
    data: str = ""
    method: str = ""
    tasks: tuple[str, ...] = ()
    files: dict[str, tuple[str, ...]] = {}

    @classmethod
    def of_a_new_run(cls) -> Manifest:
        """A manifest with a new run id."""
        return cls(run=secrets.token_hex(8))

    def foreign(self, other: Manifest) -> list[str]:
        """In what the states of two manifests do not belong together."""
        fields = ("run", "settings", "data", "method", "tasks")
        return [name for name in fields if getattr(self, name) != getattr(other, name)]

    def accepts(self, name: str, found: str) -> bool:
        """Whether a file may have this checksum; empty stands for a missing file."""
        return found in self.files.get(name, (_ABSENT,))


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in a folder; None where there is none.

    Raises:
        ValueError: it is damaged, or of a newer version.
    """
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_bytes())
        whole = values.pop("checksum") == digest(values)
        return Manifest.model_validate(values if whole else None)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path} is damaged or of a newer version; put back a copy of it, or remove it to "
            "accept the files of its folder as they are."
        ) from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a folder's manifest, with a checksum of its own."""
    values = manifest.model_dump(mode="json")
    write_json(folder / _FILE, {**values, "checksum": digest(values)})


def write_member(folder: Path, manifest: Manifest, name: str, text: str) -> None:
    """Replace one file of a folder and its entry in the manifest.

    Args:
        folder: the folder.
        manifest: what it shall be, but for this file.
        name: of the file.
        text: its content.
    """
    new, found = hashlib.sha256(text.encode()).hexdigest(), _found(folder, name)

    def accept(*sums: str) -> None:
        files = {**manifest.files, name: sums}
        write_manifest(folder, manifest.model_copy(update={"files": files}))

    if manifest.accepts(name, found) and found != new:
        accept(found, new)
    write_text(folder / name, text)
    accept(new)


def read_member(folder: Path, name: str) -> bytes | None:
    """The content of one file of a folder, as it was written; None where none was written.

    A folder without a manifest, such as a folder of results, is taken as it is.

    Raises:
        ValueError: the file is missing, altered, or of something else.
    """
    path = folder / name
    for _ in range(2):  # a writer may have replaced the file between the two reads
        content = path.read_bytes() if path.is_file() else None
        manifest = read_manifest(folder)
        found = _ABSENT if content is None else hashlib.sha256(content).hexdigest()
        if manifest is None or manifest.accepts(name, found):
            return content
    if content is None:
        raise ValueError(f"{path} is missing.")
    if manifest is not None and name not in manifest.files:
        raise ValueError(f"{path} does not belong to this run, whose manifest does not list it.")
    raise ValueError(f"{path} is not as it was written (wrong checksum).")


def damage(folder: Path) -> str | None:
    """What is wrong with a folder made by :func:`replacing`, in words; None when it is whole."""
    if not folder.is_dir():
        return "the folder is missing"
    try:
        manifest = read_manifest(folder)
        if manifest is None:
            return f"{_FILE} is missing"
        found = {name: _found(folder, name) for name in manifest.files}
    except (OSError, ValueError) as error:
        return f"it cannot be read ({error})"
    wrong = [name for name, sums in found.items() if not manifest.accepts(name, sums)]
    if missing := [name for name in wrong if found[name] == _ABSENT]:
        return f"{', '.join(missing)} is missing"
    return f"{', '.join(wrong)} not as written (wrong checksum)" if wrong else None


def seal(folder: Path, manifest: Manifest) -> None:
    """Bring all files of a folder to the disk and write its manifest, which lists them."""
    (folder / _FILE).unlink(missing_ok=True)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        path.chmod(0o666 & ~_umask())  # some libraries make files for their owner alone
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sums = {path.relative_to(folder).as_posix(): (checksum(path),) for path in files}
    write_manifest(folder, manifest.model_copy(update={"files": sums}))


@contextmanager
def replacing(folder: Path, manifest: Manifest, *, previous: Path | None = None) -> Iterator[Path]:
    """Build a folder beside its place, write its manifest last, and swap it in.

    A crash leaves either the old folder or, between the two renames, the new one under its
    temporary name, which :func:`recover` puts in place.

    Args:
        folder: the place.
        manifest: what the state belongs to; its files are added.
        previous: where the folder that was there is kept; by default it is removed.

    Raises:
        OSError: the operating system refused something, also where safetensors met it.
    """
    recover(folder, previous)
    new = _beside(folder)[0]
    try:
        new.mkdir(parents=True)
        with _system_errors(new):
            yield new
        seal(new, manifest)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)  # it may fill the disk
        raise
    _swap(folder, previous)


def recover(folder: Path, previous: Path | None = None) -> None:
    """Finish a swap that a crash interrupted; remove what was never whole.

    Only for the one process that writes the folder: it would disturb a swap of another.
    """
    new, old = _beside(folder)
    if (new / _FILE).exists():
        _swap(folder, previous)
    elif folder.exists():
        _put_away(old, previous)
    shutil.rmtree(new, ignore_errors=True)


def _swap(folder: Path, previous: Path | None) -> None:
    new, old = _beside(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    _put_away(old, previous)


def _put_away(old: Path, previous: Path | None) -> None:
    if previous is not None and old.exists():
        shutil.rmtree(previous, ignore_errors=True)
        old.rename(previous)
    shutil.rmtree(old, ignore_errors=True)


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")


def _found(folder: Path, name: str) -> str:
    """The checksum of a regular file below a folder; empty where there is none."""
    path = folder / name
    inside = folder.resolve() in path.resolve().parents
    return checksum(path) if inside and path.is_file() and not path.is_symlink() else _ABSENT


@contextmanager
def _system_errors(folder: Path) -> Iterator[None]:
    """What the operating system refused safetensors, as the error that it is elsewhere."""
    try:
        yield
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        code = int(found[1])
        raise OSError(code, os.strerror(code), str(folder)) from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
