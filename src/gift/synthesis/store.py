"""Synthetic sets on disk: painted once, extended when more is asked for, resumed when killed.

A set's folder is named by all that decides its images except their number::

    <root>/<key>/set.json          generator, pool, seed and task index
                 manifest.jsonl    one line per painted image, written after its file
                 000001.png ...
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import PIL.Image
from filelock import FileLock

from gift.files import write_json, writing_to
from gift.records import Progress, silent
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
            OSError: the file is missing or damaged; the message names it.
        """
        path = self.files[index]
        try:
            with PIL.Image.open(path) as image:
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
        progress: Progress = silent,
    ) -> SyntheticSet:
        """The first ``count`` images of a set; those that are missing are painted.

        All-black images (what a safety checker leaves) are recorded and left out, not painted
        anew, so the set may be smaller than ``count``. A second process that asks for the same set
        waits until the first has finished.

        Args:
            pool: Prompts, see :func:`gift.synthesis.build_pool`.
            generator: Paints what is missing; only its ``identity`` is used when nothing is.
            task_index: Position of the task about to be learned, from 1.
            count: Images to draw.
            seed: Seed of prompts and images.
            progress: Called with ("paint", images there, count) before and after every batch.

        Raises:
            ValueError: an empty pool, a number out of range, or nothing but black images.
            OSError: the store cannot be written.
        """
        planned = plan(pool, task_index=task_index, count=count, seed=seed)
        description = {
            "generator": generator.identity,
            "pool": list(pool),
            "seed": seed,
            "task_index": task_index,
        }
        canonical = json.dumps(description, sort_keys=True)
        folder = self.root / hashlib.sha256(canonical.encode()).hexdigest()[:16]
        painted = _painted(folder, planned)
        if len(painted) < count:
            with _writing_to(folder):
                lock = FileLock(folder / ".lock").acquire()
            with lock:
                with _writing_to(folder):
                    write_json(folder / "set.json", description)
                painted = _paint_missing(folder, planned, generator, progress)
        shown = [image for image in planned if not painted[image.index]["black"]]
        if black := count - len(shown):
            log.warning("%d of %d synthetic images are black and left out.", black, count)
        if not shown:
            raise ValueError(
                f"all {count} images in {folder} are black; try float32, another scheduler or "
                "another generator."
            )
        return SyntheticSet(
            tuple(folder / _file(image) for image in shown), tuple(image.prompt for image in shown)
        )


def _file(image: PlannedImage) -> str:
    return f"{image.index:06d}.png"


def _painted(folder: Path, planned: Sequence[PlannedImage]) -> dict[int, dict[str, Any]]:
    """Manifest lines by index: those that fit the plan and whose files exist."""
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.is_file() else []
    wanted = {image.index: image for image in planned}
    painted = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # cut off by a kill
            continue
        image = wanted.get(entry["index"])
        fits = image and (image.prompt, image.seed) == (entry["prompt"], entry["seed"])
        if image and fits and (folder / _file(image)).is_file():
            painted[image.index] = entry
    return painted


def _paint_missing(
    folder: Path, planned: Sequence[PlannedImage], generator: TextToImage, progress: Progress
) -> dict[int, dict[str, Any]]:
    _drop_cut_line(folder / "manifest.jsonl")
    painted = _painted(folder, planned)  # again: another process may have had the lock before
    missing = [image for image in planned if image.index not in painted]
    progress("paint", len(painted), len(planned))
    for start in range(0, len(missing), generator.batch_size):
        batch = missing[start : start + generator.batch_size]
        drawn = generator.paint([i.prompt for i in batch], [i.seed for i in batch])
        with _writing_to(folder):
            entries = [_save(folder, *pair) for pair in zip(batch, drawn, strict=True)]
            with (folder / "manifest.jsonl").open("a", encoding="utf-8") as manifest:
                manifest.writelines(json.dumps(entry) + "\n" for entry in entries)
        painted |= {entry["index"]: entry for entry in entries}
        progress("paint", len(painted), len(planned))
    return painted


def _save(folder: Path, image: PlannedImage, drawn: PIL.Image.Image) -> dict[str, Any]:
    """Write an image's file; its manifest line."""
    drawn = drawn.convert("RGB")
    drawn.save(folder / _file(image))
    black = drawn.getbbox() is None
    facts = {"file": _file(image), "black": black, "diffusers": version("diffusers")}
    return asdict(image) | facts


def _drop_cut_line(manifest: Path) -> None:
    """Remove the end of a line that a kill has cut off."""
    if manifest.exists():
        os.truncate(manifest, manifest.read_bytes().rfind(b"\n") + 1)


def _writing_to(folder: Path) -> AbstractContextManager[None]:
    return writing_to(folder, "the image store", "free some space or choose another folder")
