"""Writing files so that a killed process never leaves half of one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


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
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def replacing(folder: Path, previous: Path | None = None) -> Iterator[Path]:
    """Build a folder beside its place and swap it in, sealed, when the block ends well.

    A crash leaves either the old folder or, between the two renames, the new one under its
    temporary name, which :func:`recover` puts in place. :func:`damage` tells later whether its
    files are still what was written.

    Args:
        folder: the place.
        previous: where the folder that was there is kept; by default it is removed.
    """
    recover(folder, previous)
    new, old = _beside(folder)
    new.mkdir(parents=True)
    yield new
    files = [path for path in sorted(new.rglob("*")) if path.is_file()]
    for path in files:
        path.chmod(0o666 & ~_umask())  # some libraries make files for their owner alone
        with path.open("rb") as file:
            os.fsync(file.fileno())
    write_json(new / _SEAL, {str(path.relative_to(new)): checksum(path) for path in files})
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


@contextmanager
def writing_to(folder: Path, what: str, cure: str) -> Iterator[None]:
    """Make a folder, and turn a failed write below it into a message that says what to do.

    Args:
        folder: where is written.
        what: what the folder is to the user, e.g. "the cache folder".
        cure: what to do when it cannot be written.

    Raises:
        OSError: the operating system refused something in the block.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno is None:  # not from the operating system, e.g. an undecodable image
            raise
        reason = f"{what} {folder} cannot be written ({error.strerror}); {cure}"
        raise OSError(error.errno, reason) from error
