"""Writing files so that a killed process never leaves half of one, and damage is noticed."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

log = logging.getLogger(__name__)


@contextmanager
def replacing_file(path: Path) -> Iterator[IO[bytes]]:
    """A file under a temporary name that takes its place when the block ends well.

    When the block ends with an error, what was at ``path`` stays. Processes and threads that write
    the same file do not disturb each other: the last one to end wins.

    Args:
        path: the file; its folder is made when it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing."""
    with replacing_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a whole JSON file or nothing."""
    write_text(path, as_json(value))


def as_json(value: Any) -> str:
    """A value as it stands in a JSON file.

    Bytes of file names that are no text are written as JSON's escapes.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace").decode()


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: it is none; the message names it.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged, it is no JSON ({error}).") from None


def write_with_copy(path: Path, text: str) -> None:
    """Write a whole file or nothing, and before it a copy in ``.copies`` beside it.

    :func:`unaltered` reads it; what the copy says holds.
    """
    write_json(_copy(path), {"sha256": _digest(text), "text": text})
    write_text(path, text)


def copy_of(path: Path) -> str | None:
    """What :func:`write_with_copy` wrote last, from the copy; None where that is not whole."""
    try:
        found = json.loads(_copy(path).read_bytes())
        text = str(found["text"])
        return text if _digest(text) == found["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unaltered(path: Path) -> bytes:
    """What was written to a file: from its copy where the file is gone or is another one.

    A file without a whole copy is taken as it is.

    Raises:
        FileNotFoundError: there is neither.
    """
    copy = copy_of(path)
    if copy is None:
        return path.read_bytes()
    if _content(path) != copy.encode():
        log.warning("%s is not as it was written; its copy %s is used.", path, _copy(path))
    return copy.encode()


def restore(path: Path) -> None:
    """Put the copy of a file in its place where that is gone or is another one."""
    if copy_of(path) is not None and (text := unaltered(path)) != _content(path):
        write_text(path, text.decode())


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _copy(path: Path) -> Path:
    return path.parent / ".copies" / path.name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def remove_unfinished(folder: Path, name: str = "*") -> None:
    """Delete what killed processes left of files on their way to a folder.

    Only for who alone writes there.

    Args:
        folder: where the files would be.
        name: of the file; all by default.
    """
    for temporary in folder.glob(f".{name}.*.tmp"):
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing(folder: Path, previous: Path | None = None) -> Iterator[Path]:
    """Build a folder beside its place and swap it in, sealed, when the block ends well.

    A crash leaves either the old folder or, between the two renames, the new one under its
    temporary name, which :func:`recover` puts in place. :func:`damage` tells later whether its
    files are still what was written.

    Args:
        folder: the place.
        previous: where the folder that was there is kept; by default it is removed.

    Raises:
        OSError: the operating system refused something, also where safetensors met it.
    """
    recover(folder, previous)
    new, old = _beside(folder)
    try:
        new.mkdir(parents=True)
        with _system_errors(new):
            yield new
        _seal(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)  # it may fill the disk
        raise
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    _put_away(old, previous)


def recover(folder: Path, previous: Path | None = None) -> None:
    """Finish a swap that a crash interrupted; drop what was never whole.

    Only for who writes the folder: a swap that is going on would be disturbed.
    """
    new, old = _beside(folder)
    if (new / _SEAL).exists():
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
    if folder.exists():
        _put_away(old, previous)
    shutil.rmtree(new, ignore_errors=True)


def damage(folder: Path, *, sealed: bool = False) -> str | None:
    """What is wrong with a folder made by :func:`replacing`, in words; None when it is whole.

    Args:
        folder: the folder.
        sealed: whether one without checksums is damaged; versions before them made such folders.
    """
    if not folder.is_dir():
        return "the folder is missing"
    if not (folder / _SEAL).exists():
        return f"{_SEAL} is missing" if sealed else None
    try:
        sums = read_json(folder / _SEAL)
        wrong = [name for name, known in sums.items() if checksum(folder / name) != known]
    except FileNotFoundError as error:
        return f"{Path(error.filename).relative_to(folder)} is missing"
    except (OSError, ValueError, AttributeError) as error:
        return f"{_SEAL} cannot be read ({error})"
    return f"{', '.join(wrong)} not as written (wrong checksum)" if wrong else None


_SEAL = "checksums.json"


def _seal(folder: Path) -> None:
    """Bring all files to the disk and write their checksums."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        path.chmod(0o666 & ~_umask())  # some libraries make files for their owner alone
        with path.open("rb") as file:
            os.fsync(file.fileno())
    write_json(folder / _SEAL, {str(path.relative_to(folder)): checksum(path) for path in files})


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


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")


def _put_away(old: Path, previous: Path | None) -> None:
    if previous is not None and old.exists():
        shutil.rmtree(previous, ignore_errors=True)
        old.rename(previous)
    shutil.rmtree(old, ignore_errors=True)


def checksum(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Unwritable(OSError):
    """A refused write in words: what could not be written, where, why, and what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def writing_to(folder: Path, what: str, cure: str) -> Iterator[None]:
    """Make a folder, and turn a failed write below it into a message that says what to do.

    Args:
        folder: where is written.
        what: what the folder is to the user, e.g. "the cache folder".
        cure: what to do when it cannot be written.

    Raises:
        Unwritable: the operating system refused something there. Errors about other places pass.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if isinstance(error, Unwritable) or not _is_about(error, folder):
            raise
        problem = f"{error.strerror}{_place(error, folder)}"
        reason = f"{what} {folder} cannot be written ({problem}); {cure}"
        raise Unwritable(error.errno, reason) from error


_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What a write to an open file fails with; such errors name no file."""


def _is_about(error: OSError, folder: Path) -> bool:
    path = _path(error)
    if path is None:
        return error.errno in _REFUSALS
    whole = folder.absolute()
    return path.is_relative_to(whole) or whole.is_relative_to(path)


def _place(error: OSError, folder: Path) -> str:
    """What an error names in a folder, for a message; empty for the folder itself."""
    path, whole = _path(error), folder.absolute()
    return f" at {path.relative_to(whole)}" if path and whole in path.parents else ""


def _path(error: OSError) -> Path | None:
    """What an error names, in full."""
    named = isinstance(error.filename, str | bytes)
    return Path(os.fsdecode(error.filename)).absolute() if named else None
