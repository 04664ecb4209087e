"""Copies of data sets on the Hugging Face hub, or folders of parquet files like them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from gift.data.entries import HubSource
from gift.data.images import ImageSource, decoded, stamp
from gift.data.readers import Splits
from gift.text import one_line

if TYPE_CHECKING:
    from datasets import Dataset


def read(source: HubSource, name: str) -> Splits:
    """Read a copy, downloading its chosen commit where it is not in the cache of ``datasets``.

    Args:
        source: the copy.
        name: of the data set, for messages.

    Raises:
        ValueError: the copy has no such split or column.
        OSError: it cannot be downloaded.
    """
    splits: Splits = {}
    for split, theirs in source.splits.items():
        rows = _rows(source, theirs, f"{name}: {source.place}")
        order: Sequence[int] = range(len(rows))
        if source.order_by is not None:
            keys = [str(key).encode() for key in rows[source.order_by][:]]
            order = sorted(order, key=keys.__getitem__)
        names = getattr(rows.features[source.label], "names", None)
        labels = [str(value) if names is None else names[value] for value in rows[source.label][:]]
        place = f"{source.place}, {'+'.join(theirs)}"
        image = partial(_image, rows, source.image, place)
        images = ImageSource(place, order, image, _stamp(rows, source.image))
        splits[split] = images, [labels[number] for number in order]
    return splits


def _image(rows: Dataset, column: str, place: str, number: int) -> Image.Image:
    # A path in a row could name any file of this machine: only what is inside counts.
    content = (rows[number][column] or {}).get("bytes") or b""
    what = f"row {number} of {place}"
    return decoded(BytesIO(content), what, "choose another commit of the copy")


def _stamp(rows: Dataset, column: str) -> str:
    """SHA-256 over the stamps of the files that hold the rows, which are large."""
    stamps = [stamp(Path(file["filename"])) for file in rows.cache_files]
    return hashlib.sha256("\n".join([column, *stamps]).encode()).hexdigest()


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
