"""Atomic file writing: whole or not at all, with errors that say what to do."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from gift.textfiles import parse_json


@contextmanager
def replacing_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under a temporary name and rename it when the block succeeds.

    When the block fails, what was at ``path`` stays. Processes and threads that write the same file
    do not disturb each other: the last one to finish wins.

    Args:
        path: the file; its folder is made when it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    temporary.unlink(missing_ok=True)  # what a killed process with our number left, or a link
    try:
        with temporary.open("xb") as file:
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


def write_json(path: Path, value: object) -> None:
    """Write a whole JSON file or nothing."""
    write_text(path, as_json(value))


def as_json(value: object) -> str:
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
    return parse_json(path.read_bytes(), str(path))


def refuse_special(folder: Path, *names: str) -> None:
    """Refuse links, pipes, devices and sockets in a folder that somebody else may have made.

    What is read and written there then stays inside, and nothing blocks.

    Args:
        folder: may be a link itself, or missing.
        names: the files and folders in it that count, without what is in these; by default all
            that is below it.

    Raises:
        ValueError: with the first one.
    """
    waiting = [folder / name for name in names] or [folder.resolve()]
    while waiting:
        path = waiting.pop()
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):  # also one that was removed meanwhile
            continue
        if stat.S_ISDIR(mode):
            with suppress(FileNotFoundError):
                waiting += () if names else path.iterdir()
        elif not stat.S_ISREG(mode):
            what = "a link" if stat.S_ISLNK(mode) else "a pipe, device or socket"
            raise ValueError(
                f"{path} is {what}; only files and folders may lie in {folder}. Replace it with "
                "the file or folder itself, or use another folder."
            )


def remove_unfinished(folder: Path, name: str = "*") -> None:
    """Delete the temporary files of :func:`replacing_file` that killed processes left in a folder.

    Only for the one process that writes there.

    Args:
        folder: where the files would be.
        name: of the file; all by default.
    """
    for temporary in folder.glob(f".{name}.*.tmp"):
        temporary.unlink(missing_ok=True)


def checksum(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum_of(folder: Path, suffixes: Collection[str]) -> str:
    """SHA-256 over the names and contents of the files in a folder that end like this."""
    paths = [path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file()]
    return digest({path.relative_to(folder).as_posix(): checksum(path) for path in paths})


def digest(value: object) -> str:
    """SHA-256 of a JSON value, in hexadecimal digits; the order of keys does not matter.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What a write to an open file fails with; such errors name no file."""


class Unwritable(OSError):
    """A failed write in words: what could not be written, where, why, and what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def writing_to(folder: Path, what: str, hint: str) -> Iterator[None]:
    """Make a folder, and turn a failed write below it into a message that says what to do.

    Args:
        folder: where is written.
        what: what the folder is to the user, e.g. "the cache folder".
        hint: what to do when it cannot be written.

    Raises:
        Unwritable: the operating system refused a write there. Errors about other places pass.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        whole, place = folder.absolute(), ""
        about = error.errno in _REFUSALS
        if isinstance(error.filename, str | bytes):
            path = Path(os.fsdecode(error.filename)).absolute()
            about = path.is_relative_to(whole) or whole.is_relative_to(path)
            place = f" at {path.relative_to(whole)}" if whole in path.parents else ""
        if isinstance(error, Unwritable) or not about:
            raise
        reason = f"{what} {folder} cannot be written ({error.strerror}{place}); {hint}"
        raise Unwritable(error.errno, reason) from error
