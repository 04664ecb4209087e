"""What the cache directory holds, and clearing it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from gift.data.cache import TAG, is_ours
from gift.data.catalogue import dataset_names, load_dataset
from gift.data.paths import MADE, Paths
from gift.text import unknown

Kind = Literal["pixels", "checked", "images", "data"]

KINDS: dict[Kind, str] = {
    "pixels": "test and synthetic images, decoded and resized",
    "checked": "marks of images that could be decoded",
    "images": "sets of synthetic images",
    "data": "data sets that were made (those you put there are not touched)",
}
"""What the cache directory holds."""


@dataclass(frozen=True)
class CacheUsage:
    """What the cache directory holds of one kind: files, or folders for images and data.

    Attributes:
        kind: what it is.
        number, bytes: how many there are, and their size.
        last_use: when one of them was last read or written, as far as the file system keeps it;
            None where there is nothing.
    """

    kind: Kind
    number: int
    bytes: int
    last_use: datetime | None


def cache_usage(paths: Paths) -> list[CacheUsage]:
    """What the cache directory holds, by kind."""
    return [_usage(kind, _things(paths, kind)) for kind in KINDS]


def clear_cache(paths: Paths, names: Sequence[str]) -> list[CacheUsage]:
    """Delete what the cache directory holds of some kinds.

    A run that is not finished may still need synthetic images or data; only those being made at the
    moment are known to be in use. What is not called like something that is made there stays.
    Returns what was deleted, by kind.

    Raises:
        ValueError: an unknown kind, a process is making something of these kinds, or one of their
            folders has no tag; nothing is deleted then.
    """
    kinds = check_kinds(names)
    for kind in kinds:
        folder = paths.cache / kind
        if kind != "data" and folder.exists() and not (folder / TAG).is_file():
            raise ValueError(
                f"{folder} has no {TAG} and so is not known to be a cache; look at what it holds, "
                "and delete that yourself. Nothing was deleted."
            )
    things = {kind: _things(paths, kind) for kind in kinds}
    locks = list(chain.from_iterable(_locks(paths, kind) for kind in things))
    with ExitStack() as held:
        for lock in locks:
            try:
                held.enter_context(FileLock(lock, timeout=0))
            except Timeout:
                raise ValueError(
                    f"a process is making something in {lock.parent} (it holds {lock.name}); wait "
                    "until it is done, then clear again. Nothing was deleted."
                ) from None
        cleared = [_usage(kind, found) for kind, found in things.items()]
        for thing in chain(*things.values(), locks):
            if thing.is_dir() and not thing.is_symlink():
                shutil.rmtree(thing)
            else:
                thing.unlink(missing_ok=True)
    return cleared


def check_kinds(names: Sequence[str]) -> list[Kind]:
    """The kinds of these names, each once; ValueError for a name that is none."""
    if wrong := [name for name in names if name not in KINDS]:
        raise ValueError(unknown("kind", wrong[0], KINDS))
    return [kind for kind in KINDS if kind in names]


def _things(paths: Paths, kind: Kind) -> list[Path]:
    """The files or folders of a kind, unfinished ones included."""
    if kind == "data":
        return _made(paths, "{}", "{}.part")
    found = [path for path in _ours(paths, kind) if path.suffix not in {".lock", ".TAG"}]
    return [path for path in found if path.is_dir() == (kind == "images")]


def _ours(paths: Paths, kind: Kind) -> list[Path]:
    """What a folder holds that is called like what is made there."""
    return sorted(filter(is_ours, (paths.cache / kind).glob("*")))


def _locks(paths: Paths, kind: Kind) -> list[Path]:
    if kind == "data":
        return _made(paths, ".{}.lock")
    if kind == "images":
        return [lock for path in _ours(paths, kind) if (lock := path / ".lock").exists()]
    return [path for path in _ours(paths, kind) if path.suffix == ".lock"]


def _made(paths: Paths, *names: str) -> list[Path]:
    """What lies there of data sets that can be generated, for every data seed.

    ``{}`` in the names that are looked for stands for the name of the data set's folder.
    """
    entries = [entry for name in dataset_names() if (entry := load_dataset(name)).made_by]
    folders = sorted({entry.source.path for entry in entries if entry.source is not None})
    data = paths.cache / "data"
    made = [root / folder for root in (data, *sorted(data.glob("draw-*"))) for folder in folders]
    found = [path.with_name(name.format(path.name)) for name in names for path in made]
    found = [path for path in found if path.exists()]
    return [path for path in found if path.suffix == ".part" or _was_made(path)]


def _was_made(path: Path) -> bool:
    """Whether something that is called like a made data set, or its lock, is one."""
    return path.is_file() or (path / MADE).is_file()


def _usage(kind: Kind, things: Sequence[Path]) -> CacheUsage:
    stats: list[os.stat_result] = []
    for file in (file for thing in things for file in (thing, *thing.rglob("*"))):
        with suppress(FileNotFoundError):  # deleted meanwhile
            if file.is_file():
                stats.append(file.stat())
    times = [max(stat.st_atime, stat.st_mtime) for stat in stats]
    last_use = datetime.fromtimestamp(max(times), UTC) if times else None
    finished = [thing for thing in things if thing.suffix not in {".tmp", ".part"}]
    return CacheUsage(kind, len(finished), sum(stat.st_size for stat in stats), last_use)
