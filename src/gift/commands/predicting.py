"""Classify many image files, and keep what was found in a file."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gift.files import digest
from gift.predict import Classifier, Prediction, Unreadable
from gift.progress import report
from gift.rows import Cell, Columns, Row, writing_rows
from gift.runs import RunFolder
from gift.runs.manifest import read_manifest

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
"""The answer for an image whose best class is below the threshold."""

STAGE = "classifying"
"""The stage that is reported, see :mod:`gift.progress`."""


@dataclass(frozen=True)
class Speed:
    """How images are classified; it bears on time and memory.

    Attributes:
        batch_size: images that are classified together.
        workers: threads that decode files.
        fast_decode: see :meth:`gift.predict.Classifier.predict_each`.
    """

    batch_size: int = 32
    workers: int = 0
    fast_decode: bool = False


@dataclass(frozen=True)
class Predicted:
    """What became of many images.

    Attributes:
        output: where it was written.
        images: how many there were.
        unknown: those without an answer, whose best class is below the threshold.
        unreadable: those that could not be read.
    """

    output: str
    images: int
    unknown: int
    unreadable: int


def predict(
    classifier: Classifier, images: Sequence[Path], speed: Speed = Speed()
) -> Iterator[tuple[Path, Prediction | Unreadable]]:
    """Classify image files, one batch after the other; each with what was found of it.

    Args:
        classifier: see :meth:`gift.Learner.classifier`.
        images: the files, see :func:`gift.data.finding.image_files`.
        speed: how.

    Raises:
        ValueError: scores that are not finite.
    """
    found = classifier.predict_each(
        images,
        batch_size=speed.batch_size,
        workers=speed.workers,
        fast_decode=speed.fast_decode,
    )
    started = time.perf_counter()
    for done, pair in enumerate(zip(images, found, strict=True), start=1):
        yield pair
        rate = done / (time.perf_counter() - started)
        report(STAGE, done, len(images), f"{rate:.1f} images/s")


def predict_to(
    output: Path,
    classifier: Classifier,
    images: Sequence[Path],
    speed: Speed = Speed(),
    *,
    origin: str = "",
) -> Predicted:
    """Classify image files into a table: CSV, JSON lines or Parquet, by the suffix of the output.

    The columns are ``path``, ``answer`` (the best class, or "unknown" below the threshold), then
    the best classes and their probabilities, ``class_1``, ``probability_1`` and so on, and
    ``error``, which says why an image could not be read.

    The file is there when all images are done. An interrupted call leaves ``<output>.partial``, and
    the same call continues it.

    Args:
        output: the file.
        classifier: see :meth:`gift.Learner.classifier`.
        images: the files.
        speed: how.
        origin: what decides the predictions, see :func:`origin_of`.

    Raises:
        ValueError: another suffix, another process writes the file, or scores that are not finite.
        OSError: the file cannot be written.
    """
    columns = _columns(classifier.top)
    decisive = [origin, classifier.identity, speed.fast_decode]
    with writing_rows(output, columns, digest(decisive)) as rows:
        todo = [image for image in images if str(image) not in rows.done]
        for image, found in predict(classifier, todo, speed):
            if isinstance(found, Unreadable):
                log.warning("%s", found.reason)
            rows.add(_row(columns, image, found))
        answers = Counter(_kind(row) for row in rows)
    return Predicted(str(output), answers.total(), answers["unknown"], answers["unreadable"])


def origin_of(folder: Path) -> str:
    """What the learner in a folder is: it changes whenever the learner does."""
    manifest = read_manifest(RunFolder(folder).learner)
    return "" if manifest is None else digest(manifest.model_dump(mode="json"))


def _columns(top: int) -> Columns:
    """The columns of a table with so many classes per image."""
    best: dict[str, type[str] | type[float]] = {}
    for rank in range(1, top + 1):
        best |= {f"class_{rank}": str, f"probability_{rank}": float}
    return {"path": str, "answer": str, **best, "error": str}


def _row(columns: Columns, image: Path, found: Prediction | Unreadable) -> Row:
    """What was found of an image, as a row."""
    row: dict[str, Cell] = dict.fromkeys(columns)
    row["path"] = str(image)
    if isinstance(found, Unreadable):
        return row | {"error": found.reason}
    row["answer"] = UNKNOWN if found.answer is None else found.answer
    for rank, (name, value) in enumerate(zip(found.names, found.probabilities, strict=True), 1):
        row |= {f"class_{rank}": name, f"probability_{rank}": round(value, 6)}
    return row


def _kind(row: Row) -> str:
    """Whether the image of a row has an answer, is "unknown" or "unreadable"."""
    if row["error"] is not None:
        return "unreadable"
    return "answered" if row["answer"] == row["class_1"] else "unknown"
