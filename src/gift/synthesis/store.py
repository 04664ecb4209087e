"""Synthetic sets on disk: generated once, extended when more is asked for, resumed when killed.

A set is an image folder with metadata as ``datasets.load_dataset("imagefolder", ...)`` reads it,
named by all that decides its images except their number::

    <root>/<key>/set.json          generator, pool, seed and task index
                 metadata.jsonl    one line per image with its prompt and checksum, written after it
                 000001.png ...

Processes that were launched together generate a set together: each takes its shard of every round
of batches and writes its images, and the first one writes the metadata.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from PIL.Image import Image

from gift.data.images import ImageFiles
from gift.distributed import all_gather_objects, is_main, on_main, rank, shared_lock, world_size
from gift.files import (
    checksum,
    refuse_special,
    remove_unfinished,
    replacing_file,
    write_json,
    writing_to,
)
from gift.progress import report
from gift.settings import Settings
from gift.synthesis.generator import TextToImage
from gift.synthesis.pool import PlannedImage, plan

log = logging.getLogger(__name__)

_TELLING = 4
"""Images that are not all black by chance."""


@dataclass(frozen=True)
class SyntheticSet:
    """Generated images and the prompts that they were generated from.

    ``cached`` is how many images of the set were in the store before, black ones included.
    """

    files: tuple[Path, ...]
    captions: tuple[str, ...]
    cached: int = field(default=0, compare=False)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Image:
        """Decode one image to RGB.

        Raises:
            OSError: the file is missing, too large or damaged; the message names it.
        """
        return self._images[index]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every file's content and caption."""
        decisive = [self._images.fingerprint, self.captions]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()

    @property
    def stamp(self) -> str:
        """Changes whenever a file may have been written to."""
        return self._images.stamp

    @cached_property
    def _images(self) -> ImageFiles:
        return ImageFiles(self.files, (0,) * len(self.files))


class _Record(Settings):
    """A line of ``metadata.jsonl``."""

    file_name: str
    text: str
    index: int
    seed: int
    black: bool
    sha256: str
    diffusers: str

    @property
    def image(self) -> PlannedImage:
        return PlannedImage(self.index, self.text, self.seed)


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
        balanced: bool = False,
    ) -> SyntheticSet:
        """The first ``count`` images of a set; those that are missing or damaged are generated.

        All-black images (what a safety checker leaves) are recorded and skipped, not generated
        again, so the set may be smaller than ``count``. Processes that were launched together must
        all call this; any other that asks for the same set waits until it is finished.

        Args:
            pool: prompts, see :func:`gift.synthesis.build_pool`.
            generator: makes what is missing; only its ``identity`` is used when nothing is.
            task_index: position of the task about to be learned, from 1.
            count: number of prompts to sample.
            seed: seed of prompts and images.
            balanced: see :func:`gift.synthesis.plan`.

        Raises:
            ValueError: an empty pool, a number out of range, nothing but black images, or a link
                in the set's folder.
            OSError: the store cannot be written.
        """
        planned = plan(pool, task_index=task_index, count=count, seed=seed, balanced=balanced)
        described = _describe(pool, generator, task_index, seed, balanced=balanced)
        folder = self._folder(described)
        stored, cached = _fill(folder, planned, generator, described)
        log.debug("%d synthetic images in %s, %d of them from before", count, folder, cached)
        usable = [image for image in planned if not stored[image].black]
        if black := count - len(usable):
            log.warning("%d of %d synthetic images are black and skipped.", black, count)
        if not usable:
            raise ValueError(_all_black(count, folder))
        files = tuple(folder / _file(image) for image in usable)
        return SyntheticSet(files, tuple(image.prompt for image in usable), cached)

    def begin(
        self,
        pool: Sequence[str],
        *,
        generator: TextToImage,
        task_index: int,
        count: int,
        seed: int = 42,
    ) -> int:
        """Generate the first round of a set's images, unless they are there: a generator is tried.

        Arguments and errors are those of :meth:`fetch`, which generates the rest: no image is
        generated twice, and each is in the batch that it would be in without this.

        Returns:
            How many images were generated.
        """
        planned = plan(pool, task_index=task_index, count=count, seed=seed)
        first = planned[: world_size() * generator.batch_size]
        folder = self.folder(pool, generator=generator, task_index=task_index, seed=seed)
        described = _describe(pool, generator, task_index, seed)
        stored, cached = _fill(folder, first, generator, described)
        # A safety checker may blacken a few of them by chance.
        if len(first) >= _TELLING and all(stored[image].black for image in first):
            raise ValueError(_all_black(len(first), folder))
        return len(first) - cached

    def stored(
        self,
        pool: Sequence[str],
        *,
        generator: TextToImage,
        task_index: int,
        count: int,
        seed: int = 42,
        balanced: bool = False,
    ) -> int:
        """How many of a set's images are there; arguments are those of :meth:`fetch`."""
        planned = plan(pool, task_index=task_index, count=count, seed=seed, balanced=balanced)
        described = _describe(pool, generator, task_index, seed, balanced=balanced)
        folder = self._folder(described)
        refuse_special(folder)
        return len(_stored(folder, planned))

    def folder(
        self, pool: Sequence[str], *, generator: TextToImage, task_index: int, seed: int
    ) -> Path:
        """Where a set is or would be."""
        return self._folder(_describe(pool, generator, task_index, seed))

    def _folder(self, described: Mapping[str, object]) -> Path:
        canonical = json.dumps(described, sort_keys=True)
        return self.root / hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _fill(
    folder: Path,
    planned: Sequence[PlannedImage],
    generator: TextToImage,
    described: dict[str, object],
) -> tuple[dict[PlannedImage, _Record], int]:
    """Generate those planned images that a set lacks.

    Returns:
        The records of all of them, and how many were there before.
    """
    on_main(lambda: refuse_special(folder))
    stored = on_main(lambda: _stored(folder, planned))
    cached = len(stored)
    if len(stored) == len(planned):
        return stored, cached

    def describe() -> None:
        with _writing_to(folder):
            write_json(folder / "set.json", described)

    on_main(describe)
    with shared_lock(folder / ".lock"):
        # Looked up again: another process may have had the lock before.
        stored = on_main(lambda: _stored(folder, planned, mend=True))
        cached = len(stored)
        if missing := [image for image in planned if image not in stored]:
            stored |= _generate_missing(folder, missing, generator, total=len(planned))
    return stored, cached


def _all_black(count: int, folder: Path) -> str:
    return (
        f"all {count} images in {folder} are black; try float32, another scheduler or another "
        "generator."
    )


def _describe(
    pool: Sequence[str],
    generator: TextToImage,
    task_index: int,
    seed: int,
    *,
    balanced: bool = False,
) -> dict[str, object]:
    """All that decides the images of a set except their number."""
    plan = {"balanced": True} if balanced else {}
    return plan | {
        "generator": generator.identity,
        "pool": list(pool),
        "seed": seed,
        "task_index": task_index,
    }


def _file(image: PlannedImage) -> str:
    return f"{image.index:06d}.png"


def _stored(
    folder: Path, planned: Iterable[PlannedImage], *, mend: bool = False
) -> dict[PlannedImage, _Record]:
    """The records of those planned images whose files are as they were written.

    Args:
        folder: of the set.
        planned: the images.
        mend: remove a last line that a kill cut off, and warn of damaged images.
    """
    metadata, wanted = folder / "metadata.jsonl", set(planned)
    if not metadata.is_file():
        return {}
    if mend:
        remove_unfinished(folder)
        os.truncate(metadata, metadata.read_bytes().rfind(b"\n") + 1)
    listed = {}
    for line in metadata.read_bytes().split(b"\n"):
        with suppress(ValueError):  # pydantic's errors are; damaged lines are skipped
            record = _Record.model_validate_json(line)
            if record.image in wanted:
                listed[record.image] = record
    stored = {
        image: record
        for image, record in listed.items()
        if (file := folder / _file(image)).is_file() and checksum(file) == record.sha256
    }
    if mend and (damaged := len(listed) - len(stored)):
        log.warning("%s: %d images are damaged or missing; generated again.", folder, damaged)
    return stored


def _generate_missing(
    folder: Path, missing: Sequence[PlannedImage], generator: TextToImage, *, total: int
) -> dict[PlannedImage, _Record]:
    """Generate and store images in batches, one batch per process and round.

    The batches are those of one process alone, so the number of processes changes no image.
    """
    generator.load()
    done = total - len(missing)
    report("generate", done, total)
    found: dict[PlannedImage, _Record] = {}
    size = generator.batch_size
    for start in range(0, len(missing), world_size() * size):
        own = start + rank() * size
        made = all_gather_objects(_generate(folder, missing[own : own + size], generator))
        if is_main():
            with _writing_to(folder), (folder / "metadata.jsonl").open("a") as file:
                file.writelines(record.model_dump_json() + "\n" for record in made)
        found |= {record.image: record for record in made}
        report("generate", done + len(found), total)
    return found


def _generate(folder: Path, batch: Sequence[PlannedImage], generator: TextToImage) -> list[_Record]:
    """Generate and write a batch; empty for a process without a shard."""
    if not batch:
        return []
    images = generator.generate([image.prompt for image in batch], [image.seed for image in batch])
    records = []
    with _writing_to(folder):
        for planned, image in zip(batch, images, strict=True):
            file, image = folder / _file(planned), image.convert("RGB")
            with replacing_file(file) as whole:
                image.save(whole, "PNG")
            record = _Record(
                file_name=file.name,
                text=planned.prompt,
                index=planned.index,
                seed=planned.seed,
                black=image.getbbox() is None,
                sha256=checksum(file),
                diffusers=version("diffusers"),
            )
            records.append(record)
    return records


def _writing_to(folder: Path) -> AbstractContextManager[None]:
    return writing_to(folder, "the image store", "free some space or choose another folder")
