"""Synthetic sets on disk: painted once, extended when more is asked for, resumed when killed.

Processes that were launched together paint a set together: each takes its share of every round of
batches and writes its images, and the first one writes the manifest. A set's folder is named by all
that decides its images except their number::

    <root>/<key>/set.json          generator, pool, seed and task index
                 manifest.jsonl    one line per painted image with its checksum, written after it
                 000001.png ...
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import PIL.Image

from gift.data.decoding import opened
from gift.distributed import all_gather_objects, is_main, on_main, rank, shared_lock, world_size
from gift.files import checksum, read_json, write_json, writing_to
from gift.progress import report
from gift.synthesis.generator import TextToImage
from gift.synthesis.pool import PlannedImage, plan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyntheticSet:
    """Painted images and the prompts they were painted from."""

    files: tuple[Path, ...]
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> PIL.Image.Image:
        """Decode one image to RGB.

        Raises:
            OSError: the file is missing, too large or damaged; the message names it.
        """
        path = self.files[index]
        try:
            with opened(path) as image:
                return image.convert("RGB")
        except Exception as error:  # PIL's decoders raise nearly every type on damaged files
            raise OSError(
                f"{path} cannot be read as an image ({error}); remove it to have it painted again."
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every file's place in the store, size, time of change and caption."""
        digest = hashlib.sha256()
        for file, caption in zip(self.files, self.captions, strict=True):
            stat = file.stat()
            entry = [file.parent.name, file.name, stat.st_size, stat.st_mtime_ns, caption]
            digest.update(json.dumps(entry).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class ImageStore:
    """Synthetic sets below a folder."""

    root: Path

    def fetch(
        self,
        pool: Sequence[str],
        *,
        generator: TextToImage,
        task_index: int,
        count: int,
        seed: int = 42,
    ) -> SyntheticSet:
        """The first ``count`` images of a set; those that are missing or damaged are painted.

        All-black images (what a safety checker leaves) are recorded and left out, not painted
        anew, so the set may be smaller than ``count``. Processes that were launched together share
        the painting and must all call this; any other that asks for the same set waits until it is
        finished.

        Args:
            pool: Prompts, see :func:`gift.synthesis.build_pool`.
            generator: Paints what is missing; only its ``identity`` is used when nothing is.
            task_index: Position of the task about to be learned, from 1.
            count: Images to draw.
            seed: Seed of prompts and images.

        Raises:
            ValueError: an empty pool, a number out of range, or nothing but black images.
            OSError: the store cannot be written.
        """
        planned = plan(pool, task_index=task_index, count=count, seed=seed)
        description = describe(pool, generator=generator, task_index=task_index, seed=seed)
        folder = self.folder_of(description)
        painted = on_main(lambda: _painted(folder, planned))
        if len(painted) < count:
            on_main(lambda: _write_description(folder, description))
            with shared_lock(folder / ".lock"):
                # Looked up again: another process may have had the lock before.
                painted = on_main(lambda: _mended(folder, planned))
                painted |= _paint_missing(folder, planned, painted, generator)
        shown = [image for image in planned if not painted[image.index]["black"]]
        if black := count - len(shown):
            log.warning("%d of %d synthetic images are black and left out.", black, count)
        if not shown:
            raise ValueError(
                f"all {count} images in {folder} are black; try float32, another scheduler or "
                "another generator."
            )
        return SyntheticSet(
            tuple(folder / _file(image.index) for image in shown),
            tuple(image.prompt for image in shown),
        )

    def missing(
        self,
        pool: Sequence[str],
        *,
        generator: TextToImage,
        task_index: int,
        count: int,
        seed: int = 42,
    ) -> int:
        """How many images :meth:`fetch` would paint; nothing is written or loaded."""
        planned = plan(pool, task_index=task_index, count=count, seed=seed)
        description = describe(pool, generator=generator, task_index=task_index, seed=seed)
        return count - len(_painted(self.folder_of(description), planned))

    def folder_of(self, description: Mapping[str, Any]) -> Path:
        """Where the set of a description is or would be."""
        canonical = json.dumps(description, sort_keys=True)
        return self.root / hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def descriptions(self) -> Iterator[dict[str, Any]]:
        """The ``set.json`` of every set in the store, in the order of their folders.

        Damaged ones are left out: they only tell people what a set is.
        """
        for path in sorted(self.root.glob("*/set.json")):
            with suppress(ValueError):
                yield read_json(path)


def describe(
    pool: Sequence[str], *, generator: TextToImage, task_index: int, seed: int
) -> dict[str, Any]:
    """All that decides the images of a set except their number."""
    return {
        "generator": generator.identity,
        "pool": list(pool),
        "seed": seed,
        "task_index": task_index,
    }


def _file(index: int) -> str:
    return f"{index:06d}.png"


def _painted(folder: Path, planned: Sequence[PlannedImage]) -> dict[int, dict[str, Any]]:
    """Manifest lines by index: those that fit the plan and whose files are as they were painted."""
    return {
        index: entry
        for index, entry in _listed(folder, planned).items()
        if _is_as_painted(folder / _file(index), entry)
    }


def _listed(folder: Path, planned: Sequence[PlannedImage]) -> dict[int, dict[str, Any]]:
    """Manifest lines by index that fit the plan; damaged ones and one that was cut off do not."""
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_bytes().split(b"\n") if manifest.is_file() else []
    wanted = {(image.index, image.prompt, image.seed) for image in planned}
    listed = {}
    for line in lines:
        try:
            entry = json.loads(line)
            known = entry["index"], entry["prompt"], entry["seed"]
            if known in wanted and entry["black"] in (True, False):
                listed[known[0]] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return listed


def _is_as_painted(file: Path, entry: Mapping[str, Any]) -> bool:
    """Whether an image's file is there and, where its checksum is known, has it."""
    known = entry.get("sha256")  # versions before did not write it
    return file.is_file() and (known is None or checksum(file) == known)


def _write_description(folder: Path, description: Mapping[str, Any]) -> None:
    with _writing_to(folder):
        write_json(folder / "set.json", description)


def _mended(folder: Path, planned: Sequence[PlannedImage]) -> dict[int, dict[str, Any]]:
    """What is painted, after the rest of a killed process's line is gone; damage is told of."""
    _drop_cut_line(folder / "manifest.jsonl")
    painted = _painted(folder, planned)
    if damaged := len(_listed(folder, planned)) - len(painted):
        log.warning("%s: %d images are not as they were painted; painted again.", folder, damaged)
    return painted


def _paint_missing(
    folder: Path,
    planned: Sequence[PlannedImage],
    painted: Mapping[int, Any],
    generator: TextToImage,
) -> dict[int, dict[str, Any]]:
    """Manifest lines of the images that were missing, by index."""
    missing = [image for image in planned if image.index not in painted]
    if not missing:
        return {}
    there = len(planned) - len(missing)
    generator.load()
    report("paint", there, len(planned))
    entries: list[dict[str, Any]] = []
    started = time.perf_counter()
    for batches in _rounds(missing, generator.batch_size):
        made = all_gather_objects(_paint_batch(folder, batches[rank()], generator))
        if is_main():
            _append(folder, made)
        if is_main() and not entries and len(made) < len(missing):
            _tell_time(len(missing) - len(made), (time.perf_counter() - started) / len(made))
        entries += made
        report("paint", there + len(entries), len(planned))
    return {entry["index"]: entry for entry in entries}


def _rounds(
    missing: Sequence[PlannedImage], batch_size: int
) -> Iterator[list[Sequence[PlannedImage]]]:
    """One batch per process and round; the batches are those of one process alone."""
    together = world_size() * batch_size
    for start in range(0, len(missing), together):
        firsts = range(start, start + together, batch_size)
        yield [missing[first : first + batch_size] for first in firsts]


def _tell_time(left: int, seconds: float) -> None:
    """Log how long the images that are left will take at so many seconds each."""
    minutes = left * seconds / 60
    if minutes >= 1:
        log.info("%d images left to paint, %.2f s each: %.0f minutes", left, seconds, minutes)


def _paint_batch(
    folder: Path, batch: Sequence[PlannedImage], generator: TextToImage
) -> list[dict[str, Any]]:
    """Paint and write images; their manifest lines. None for a process without a share."""
    if not batch:
        return []
    drawn = generator.paint([i.prompt for i in batch], [i.seed for i in batch])
    with _writing_to(folder):
        return [_save(folder, *pair) for pair in zip(batch, drawn, strict=True)]


def _append(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    with _writing_to(folder), (folder / "manifest.jsonl").open("a", encoding="utf-8") as manifest:
        manifest.writelines(json.dumps(entry) + "\n" for entry in entries)


def _save(folder: Path, image: PlannedImage, drawn: PIL.Image.Image) -> dict[str, Any]:
    """Write an image's file; its manifest line."""
    drawn = drawn.convert("RGB")
    drawn.save(folder / _file(image.index))
    black = drawn.getbbox() is None
    return asdict(image) | {
        "file": _file(image.index),
        "black": black,
        "sha256": checksum(folder / _file(image.index)),
        "diffusers": version("diffusers"),
    }


def _drop_cut_line(manifest: Path) -> None:
    """Remove the end of a line that a kill has cut off."""
    if manifest.exists():
        os.truncate(manifest, manifest.read_bytes().rfind(b"\n") + 1)


def _writing_to(folder: Path) -> AbstractContextManager[None]:
    return writing_to(folder, "the image store", "free some space or choose another folder")
