"""The lock of a folder: one process writes there, and nothing leads its writes elsewhere."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from filelock import FileLock, Timeout

from gift.files import read_json, refuse_special, write_json


def take(lock: FileLock, folder: Path) -> None:
    """Take a folder's lock, which the system frees when the process is gone.

    Raises:
        ValueError: another process has it, or a link, pipe or device lies in the folder.
    """
    refuse_special(folder)
    owner = folder / ".owner.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"another process works in {folder} ({_described(owner)}); wait for it, or use "
            "another folder."
        ) from None
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    write_json(owner, {"pid": os.getpid(), "host": platform.node(), "since": since})


def _described(owner: Path) -> str:
    """Who holds a folder, in words."""
    try:
        found = read_json(owner)
        return f"process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError):
        return "it has not said which"
