"""Writing files so that a killed process never leaves half of one."""

from __future__ import annotations

import json
import os
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
