"""Labelled images of a data set of the ``datasets`` library that is there in Python."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from PIL import Image

from gift.data.images import ImageSet, decoded
from gift.data.readers.folder import split_name
from gift.data.tables import Columns, image_and_label
from gift.text import shortened

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


class ImageColumn:
    """The images in a column of a data set: encoded in its rows, or files that these name.

    Args:
        rows: the data set.
        column: of images, or of paths.
        place: what it is, for messages.
    """

    def __init__(self, rows: Dataset, column: str, place: str) -> None:
        from datasets import Image as Images

        self.place = place
        self._rows = rows.select_columns([column]).cast_column(column, Images(decode=False))
        self._column = column
        self._digests: dict[int, bytes] = {}

    def image(self, number: int) -> Image.Image:
        """The image of a row as RGB.

        Raises:
            OSError: it is missing, too large or cannot be decoded; the message names it.
        """
        hint = "replace or remove it"
        return decoded(self._source(number), f"row {number} of {self.place}", hint)

    def digest(self, number: int) -> bytes:
        """SHA-256 of a row's encoded image."""
        if number not in self._digests:
            found = self._source(number)
            content = found.getvalue() if isinstance(found, BytesIO) else found.read_bytes()
            self._digests[number] = hashlib.sha256(content).digest()
        return self._digests[number]

    def _source(self, number: int) -> Path | BytesIO:
        cell: dict[str, Any] = self._rows[number][self._column] or {}
        if cell.get("bytes") is None and cell.get("path"):
            return Path(cell["path"])
        return BytesIO(cell.get("bytes") or b"")


@dataclass(frozen=True, repr=False)
class RowImages(ImageSet):
    """Labelled images of a data set's rows: one row number and one label per image."""

    positions: tuple[int, ...]
    labels: tuple[int, ...]
    column: ImageColumn

    def __post_init__(self) -> None:
        assert len(self.positions) == len(self.labels), "one label per image"

    def __getitem__(self, index: int) -> Image.Image:
        return self.column.image(self.positions[index])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every image's content."""
        return hashlib.sha256("\n".join(self.keys).encode()).hexdigest()

    @property
    def stamp(self) -> str:
        """The fingerprint: only the content tells whether rows in memory are the same."""
        return self.fingerprint

    @property
    def keys(self) -> tuple[str, ...]:
        """SHA-256 of every image's content."""
        return tuple(self.column.digest(number).hex() for number in self.positions)

    def _taken(self, indices: Sequence[int], labels: Sequence[int]) -> Self:
        positions = tuple(self.positions[i] for i in indices)
        return replace(self, positions=positions, labels=tuple(labels))

    def origin(self, index: int) -> str:
        return self.column.place


def read_rows(
    data: Dataset | DatasetDict, columns: Columns, *, place: str, numbered: bool = False
) -> dict[str, tuple[ImageColumn, list[str]]]:
    """The images and label strings of a data set, by split; of one without splits, for training.

    Args:
        data: with a column of images or of paths, and one of labels.
        columns: what they are called; by default the only one of its type, or a usual name.
        place: what the data set is, for messages.
        numbered: whether labels may be numbers without names.

    Raises:
        ValueError: no such column, rows without a label, or splits of unknown names.
    """
    from datasets import Dataset, DatasetDict

    if isinstance(data, Dataset):
        return {"train": _read(data, columns, place, numbered)}
    if not isinstance(data, DatasetDict):
        raise ValueError(
            f"{place} is a {type(data).__name__}, of which no image can be looked up by its "
            "number; load it without streaming, or give a folder, a table of paths or a Task."
        )
    found: dict[str, tuple[ImageColumn, list[str]]] = {}
    for name, rows in data.items():
        if (split := split_name(str(name))) is None:
            raise ValueError(
                f"{place}: {shortened(name)} names no split; call it train, validation or test, or "
                "give one of the splits alone."
            )
        if split in found:
            raise ValueError(f"{place} has two {split} splits; keep one of them.")
        found[split] = _read(rows, columns, f"{place}, {name}", numbered)
    return found


def _read(
    rows: Dataset, columns: Columns, place: str, numbered: bool
) -> tuple[ImageColumn, list[str]]:
    from datasets import ClassLabel
    from datasets import Image as Images

    typed = dict(rows.features)
    likely = Columns(
        columns.image or _of_type(typed, Images), columns.label or _of_type(typed, ClassLabel)
    )
    image, label = image_and_label(place, rows.column_names, likely)
    names = typed[label].names if isinstance(typed[label], ClassLabel) else None
    strings = []
    for number, value in enumerate(rows[label][:]):
        is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if names is not None and is_number and value < len(names):
            strings.append(str(names[value]))
        elif isinstance(value, str) and value.strip():
            strings.append(value.strip())
        elif names is None and is_number and numbered:
            strings.append(str(value))
        elif names is None and is_number:
            raise ValueError(
                f"{place}: the labels in {label!r} are numbers without names; give "
                "classnames=[...] in their order."
            )
        else:
            raise ValueError(
                f"{place}, row {number}: {label!r} is {shortened(value)}, but one class per image "
                "is needed, as a name or the number of one; leave such rows out."
            )
    return ImageColumn(rows, image, place), strings


def _of_type(features: Mapping[str, Any], kind: type) -> str | None:
    """The only column of a type."""
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    return found[0] if len(found) == 1 else None
