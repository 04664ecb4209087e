"""Copies of data sets on the Hugging Face hub, or folders of parquet files like them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from gift.data.decoding import opened
from gift.data.entries import DatasetEntry, HubSource
from gift.data.folder import class_name
from gift.data.images import ImageSet, NumberedImages, to_rgb
from gift.data.readers.reading import Reading
from gift.text import one_line

if TYPE_CHECKING:
    from datasets import Dataset


def is_there(source: HubSource) -> bool:
    """Whether the copy may be used: it is a local folder, or one commit of it was chosen."""
    return source.revision is not None or is_local(source)


def is_local(source: HubSource) -> bool:
    """Whether the copy is a folder of parquet files on this machine."""
    return Path(source.id).is_dir()


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of encoded images.

    Attributes:
        place: where they are, for messages.
        rows: a data set whose column ``image`` holds encoded images.
        image: that column.
    """

    place: str
    rows: Dataset
    image: str

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over path, size and time of change of the files that hold the rows."""
        digest = hashlib.sha256(f"{self.place}\0{self.image}".encode())
        for file in self.rows.cache_files:
            stat = Path(file["filename"]).stat()
            digest.update(f"{file['filename']}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class ImageRows(NumberedImages):
    """Labelled images that are rows of a table, decoded when asked for.

    Attributes:
        table: the table.
    """

    table: Table

    def __getitem__(self, index: int) -> Image.Image:
        """Decode one image to RGB.

        Raises:
            OSError: it is no image, too large or cannot be decoded; the message names copy and row.
        """
        row = self.positions[index]
        try:
            content = self.table.rows[row][self.table.image]
            # A path in a row could name any file of this machine: only what is inside counts.
            with opened(BytesIO(content["bytes"] or b"")) as image:
                return to_rgb(image)
        except Exception as error:  # PIL's decoders raise nearly every type on damaged files
            raise OSError(
                f"row {row} of {self.table.place} cannot be read as an image ({error}); choose "
                "another commit of the copy."
            ) from error

    @property
    def source_fingerprint(self) -> str:
        """SHA-256 over the files of the table."""
        return self.table.fingerprint

    def origin(self, index: int) -> str:
        """The copy that holds the image."""
        return self.table.place


def read(source: HubSource, entry: DatasetEntry) -> Reading:
    """Download the chosen commit where it is not in the cache of ``datasets``, and read it.

    Labels are mapped by name, never by number.

    Raises:
        ValueError: the copy has no such split or column, or its labels have no names.
        OSError: it cannot be downloaded.
    """
    place = source.id if source.revision is None else f"{source.id}@{source.revision}"
    translate = _translation(source, entry)
    names: dict[str, int] = {}
    parts: dict[str, ImageSet] = {}
    for part, splits in source.parts.items():
        rows = _rows(source, splits, f"{entry.name}: {place}")
        spelled = [
            translate.get(class_name(name).casefold(), name) for name in _labels(rows, source)
        ]
        labels = tuple(names.setdefault(name, len(names)) for name in spelled)
        table = Table(f"{place}, {'+'.join(splits)}", rows, source.image)
        images = ImageRows(tuple(range(len(rows))), labels, table)
        parts[part] = images.select(_order(rows, source))
    return Reading(place, tuple(names), parts, ordered=False)


def _translation(source: HubSource, entry: DatasetEntry) -> dict[str, str]:
    """Label names as copies spell them (case and underscores aside) -> the data set's own."""
    names = entry.listed_names or ()
    own = entry.own_labels or names
    pairs = [*zip(names, own, strict=True), *zip(own, own, strict=True), *source.names.items()]
    return {class_name(spelled).casefold(): label for spelled, label in pairs}


def _rows(source: HubSource, splits: Sequence[str], place: str) -> Dataset:
    from datasets import Image as ImageColumn
    from datasets import concatenate_datasets, load_dataset, load_dataset_builder

    try:
        # Other kinds of files would be unpacked, or name further files to open.
        found = load_dataset_builder(source.id, revision=source.revision).config.data_files or {}
        if other := [f for files in found.values() for f in files if not f.endswith(".parquet")]:
            raise ValueError(f"it holds {one_line(other[0])}, and only parquet files are read")
        rows = concatenate_datasets(
            [load_dataset(source.id, revision=source.revision, split=split) for split in splits]
        )
    except Exception as error:  # offline, unknown id, commit or split: a type for each
        raise OSError(
            f"{place} cannot be loaded ({error}); check its id, commit and splits, and the network."
        ) from error
    wanted = [source.image, source.label, *([source.order_by] if source.order_by else [])]
    if missing := [column for column in wanted if column not in rows.column_names]:
        raise ValueError(
            f"{place} has no column {missing[0]!r}, but {', '.join(rows.column_names)}; correct "
            "'hub' in the entry."
        )
    return rows.select_columns(wanted).cast_column(source.image, ImageColumn(decode=False))


def _labels(rows: Dataset, source: HubSource) -> list[str]:
    """The label name of every row."""
    values: list[Any] = rows[source.label][:]
    names = getattr(rows.features[source.label], "names", None)
    return [str(value) if names is None else names[value] for value in values]


def _order(rows: Dataset, source: HubSource) -> list[int]:
    if source.order_by is None:
        return list(range(len(rows)))
    keys = [str(name).encode() for name in rows[source.order_by][:]]
    return sorted(range(len(rows)), key=keys.__getitem__)
