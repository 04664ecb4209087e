"""What lies in the cache folder: how much of it, and clearing it away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from gift.data.catalogue import dataset_names, load_dataset
from gift.data.paths import Paths
from gift.text import unknown

Kind = Literal["pixels", "checked", "images", "data"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WHAT = {
    "pixels": "test and synthetic images, decoded and resized",
    "checked": "marks of images that could be decoded",
    "images": "sets of synthetic images",
    "data": "data sets that were made (those you put there are not touched)",
}


@dataclass(frozen=True)
class Kept:
    """What the cache folder holds of one kind.

    Attributes:
        kind: what it is.
        number: files of decoded pixels, marks, sets of images, or data sets.
        bytes: their size.
        last_use: when one of them was last read or written, as far as the file system keeps it;
            None where there is nothing.
    """

    kind: Kind
    number: int
    bytes: int
    last_use: datetime | None

    def to_json(self) -> dict[str, Any]:
        last_use = None if self.last_use is None else self.last_use.isoformat(timespec="seconds")
        return asdict(self) | {"last_use": last_use}


def list_home(paths: Paths) -> list[Kept]:
    """What the cache folder holds, by kind."""
    return [_kept(kind, _things(paths, kind)) for kind in KINDS]


def check_kinds(names: Sequence[str]) -> list[Kind]:
    """The kinds of these names, each once.

    Raises:
        ValueError: a name that is none.
    """
    for name in names:
        if name not in KINDS:
            raise ValueError(unknown("kind", name, KINDS))
    return [kind for kind in KINDS if kind in names]


def clear_home(paths: Paths, kinds: Iterable[Kind]) -> list[Kept]:
    """Delete what the cache folder holds of some kinds.

    A run that is going on may still need synthetic images or data; only those being made at the
    moment are known to be in use.

    Returns:
        What was deleted, by kind.

    Raises:
        ValueError: a process is making something of these kinds; nothing is deleted then.
    """
    things = {kind: _things(paths, kind) for kind in kinds}
    locks = [lock for kind in things for lock in _locks(paths, kind)]
    with ExitStack() as held:
        for lock in locks:
            try:
                held.enter_context(FileLock(lock, timeout=0))
            except Timeout:
                raise ValueError(
                    f"a process is making something in {lock.parent} (it holds {lock.name}); wait "
                    "until it is done, then clear again. Nothing was deleted."
                ) from None
        cleared = [_kept(kind, found) for kind, found in things.items()]
        for thing in (*(t for found in things.values() for t in found), *locks):
            if thing.is_dir() and not thing.is_symlink():
                shutil.rmtree(thing)
            else:
                thing.unlink(missing_ok=True)
    return cleared


def _things(paths: Paths, kind: Kind) -> list[Path]:
    """The files or folders of a kind, unfinished ones included."""
    if kind == "data":
        made = _made(paths)
        unfinished = [path.with_name(f"{path.name}.part") for path in made]
        return [path for path in (*made, *unfinished) if path.exists()]
    inside = sorted((paths.cache / kind).glob("*"))
    return [path for path in inside if path.is_dir() == (kind == "images") and not _is_lock(path)]


def _locks(paths: Paths, kind: Kind) -> list[Path]:
    if kind == "data":
        beside = (path.with_name(f".{path.name}.lock") for path in _made(paths))
        return [path for path in beside if path.exists()]
    pattern = "*/.lock" if kind == "images" else "*.lock"
    return sorted((paths.cache / kind).glob(pattern))


def _made(paths: Paths) -> list[Path]:
    """Where data sets that can be made are, or would be, in every draw."""
    entries = [entry for name in dataset_names() if (entry := load_dataset(name)).made_by]
    folders = sorted({entry.source.path for entry in entries if entry.source is not None})
    roots = [paths.cache / "data", *sorted((paths.cache / "data").glob("draw-*"))]
    return [root / folder for root in roots for folder in folders]


def _is_lock(path: Path) -> bool:
    return path.suffix == ".lock"


def _kept(kind: Kind, things: Sequence[Path]) -> Kept:
    stats = [stat for thing in things for stat in _stats(thing)]
    times = [max(stat.st_atime, stat.st_mtime) for stat in stats]
    last_use = datetime.fromtimestamp(max(times), UTC) if times else None
    finished = [thing for thing in things if thing.suffix not in {".tmp", ".part"}]
    return Kept(kind, len(finished), sum(stat.st_size for stat in stats), last_use)


def _stats(path: Path) -> Iterator[os.stat_result]:
    """Size and times of a file, or of the files in a folder; of those that are still there."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        with suppress(FileNotFoundError):
            if file.is_file():
                yield file.stat()
