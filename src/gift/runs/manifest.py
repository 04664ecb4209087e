"""Manifests: what a saved state belongs to, and the SHA-256 of each of its files.

A saved state is a folder with a ``manifest.json``: the learner, a checkpoint, or the run folder for
its own top-level files. Folders are replaced whole (:func:`replacing`). Single files are replaced
one at a time (:func:`write_member`): first the manifest, which then accepts the old and the new
content, then the file, so that a crash in between leaves a valid state.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError

from gift.files import checksum, digest, refuse_special, write_json, write_text
from gift.runs.environment import package_version
from gift.textfiles import parse_json

_FILE = "manifest.json"
_ABSENT = ""  # stands for the checksum of a file that is not there


class Manifest(BaseModel):
    """What a saved state belongs to, and the checksums of its files.

    Attributes:
        format: of the manifest.
        version: of the package that wrote it; digests of settings of other versions may differ.
        run: random id of the run, made at its first start.
        settings: digest of the settings that decide the state.
        data: digest of the data that decide it, where they are known.
        method: name of the method, where it applies.
        tasks: names of the learned tasks in order, where they apply; of a run folder, those that
            its learner has learned at least.
        files: by path below the folder, the checksums that are accepted: several while a file is
            replaced; an empty one stands for a file that is not there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    version: str | None = package_version("gift-cl")
    run: str = ""
    settings: str = ""
    data: str = ""
    method: str = ""
    tasks: tuple[str, ...] = ()
    files: dict[str, tuple[str, ...]] = {}

    def foreign(self, other: Manifest) -> list[str]:
        """In what the states of two manifests do not belong together."""
        fields = ("run", "settings", "data", "method", "tasks")
        return [name for name in fields if getattr(self, name) != getattr(other, name)]


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in a folder; None where there is none.

    Raises:
        ValueError: it is damaged, or of a newer version.
    """
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        values = parse_json(path.read_bytes())
        whole = values.pop("checksum") == digest(values)
        return Manifest.model_validate(values if whole else None)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{path} is damaged or of a newer version; put back a copy of it, or use another "
            "folder."
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
    before, new = manifest.files.get(name, (_ABSENT,)), _sha256(text.encode())

    def accept(*sums: str) -> None:
        files = {**manifest.files, name: sums}
        write_manifest(folder, manifest.model_copy(update={"files": files}))

    accept(*before, new)
    write_text(folder / name, text)
    accept(new)


def read_member(folder: Path, name: str) -> bytes | None:
    """The content of one file of a folder, as it was written; None where none was written.

    A folder without a manifest, such as a folder of results, is taken as it is.

    Raises:
        ValueError: the file is missing, altered, a link, of something else, or cannot be read.
    """
    path = folder / name
    refuse_special(folder, name)
    for _ in range(2):  # a writer may have replaced the file between the two reads
        try:
            content = path.read_bytes() if path.is_file() else None
            manifest = read_manifest(folder)
        except OSError as error:
            raise ValueError(f"{error.filename} cannot be read ({error.strerror}).") from None
        found = _ABSENT if content is None else _sha256(content)
        if manifest is None or found in manifest.files.get(name, (_ABSENT,)):
            return content
    if content is None:
        raise ValueError(f"{path} is missing.")
    if manifest is not None and name not in manifest.files:
        raise ValueError(f"{path} does not belong to this run, whose manifest does not list it.")
    raise ValueError(f"{path} is not as it was written (wrong checksum).")


def damage(folder: Path) -> str | None:
    """What is wrong with a folder made by :func:`replacing`, in words; None when it is whole.

    Raises:
        OSError: the operating system refuses to read it, which says nothing about what it holds.
    """
    if not folder.is_dir():
        return "the folder is missing"
    try:
        refuse_special(folder)
        manifest = read_manifest(folder)
        if manifest is None:
            return f"{_FILE} is missing"
        for name, accepted in manifest.files.items():
            path = folder / name
            if folder.resolve() not in path.resolve().parents or not path.is_file():
                return f"{name} is missing"
            if checksum(path) not in accepted:
                return f"{name} not as written (wrong checksum)"
    except ValueError as error:
        return f"it cannot be read ({error})"
    return None


def problem_in(folder: Path) -> str | None:
    """As :func:`damage`, also for a folder that cannot be read."""
    try:
        return damage(folder)
    except OSError as error:
        return f"{error.filename or folder} cannot be read ({error.strerror})"


@contextmanager
def replacing(folder: Path, manifest: Manifest, *, previous: Path | None = None) -> Iterator[Path]:
    """Build a folder beside its place, write its manifest last, and swap it in.

    A crash leaves either the old folder or, between two renames, the new one under its temporary
    name, which :func:`recover` puts in place.

    Args:
        folder: the place.
        manifest: what the state belongs to; its files are added.
        previous: where the folder that was there is kept; by default it is removed.

    Raises:
        OSError: the operating system refused something, also where safetensors met it.
    """
    recover(folder, previous)
    new = unswapped(folder)
    try:
        new.mkdir(parents=True)
        yield new
        _seal(new, manifest)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)  # it may fill the disk
        refused = re.search(r"os error (\d+)", str(error))
        if isinstance(error, SafetensorError) and refused:
            code = int(refused[1])
            raise OSError(code, os.strerror(code), str(new)) from error
        raise
    _swap(folder, previous)


def recover(folder: Path, previous: Path | None = None) -> None:
    """Finish the swap of a new folder that a crash interrupted; remove one that is not whole.

    Only for the one process that writes the folder: it would disturb a swap of another.
    """
    new = unswapped(folder)
    if new.is_dir() and damage(new) is None:
        _swap(folder, previous)
    shutil.rmtree(new, ignore_errors=True)


def unswapped(folder: Path) -> Path:
    """Where :func:`replacing` builds the new folder."""
    return folder.with_name(f"{folder.name}.new")


def _swap(folder: Path, previous: Path | None) -> None:
    if folder.exists() and previous is not None:
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    shutil.rmtree(folder, ignore_errors=True)
    unswapped(folder).rename(folder)


def _seal(folder: Path, manifest: Manifest) -> None:
    """Bring all files of a folder to the disk and write its manifest, which lists them."""
    mode = folder.stat().st_mode & 0o666  # some libraries make files for their owner alone
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        path.chmod(mode)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        files[path.relative_to(folder).as_posix()] = (checksum(path),)
    write_manifest(folder, manifest.model_copy(update={"files": files}))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
