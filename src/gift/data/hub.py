"""Copies of data sets on the Hugging Face hub, or folders of parquet files like them."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from PIL import Image

from gift.data.entries import HubSource
from gift.data.images import ImageSource, decoded, stamp
from gift.data.readers import Splits
from gift.model_files import reason
from gift.text import one_line

if TYPE_CHECKING:
    from datasets import Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Copy:
    """A copy as it was read.

    Attributes:
        place: its id or folder; with the commit where it is on the hub.
        splits: images and labels.
    """

    place: str
    splits: Splits


def read(source: HubSource, name: str) -> Copy:
    """Read a copy, downloading its chosen commit where it is not in the cache of ``datasets``.

    A branch or tag that was chosen in place of a commit may hold other images tomorrow: a warning
    says so, with the commit that was read, which is also in the place.

    Args:
        source: the copy.
        name: of the data set, for messages.

    Raises:
        ValueError: the copy has no such split or column, labels that are hidden (-1), missing or
            none of its own, or it names files outside it.
        OSError: it cannot be downloaded.
    """
    commit = _check_files(source, f"{name}: {source.place}")
    place = source.id if commit is None else f"{source.id}@{commit}"
    if commit is not None and source.revision != commit:
        log.warning(
            "%s: the copy %s is not pinned: %r may name another commit tomorrow, and read was %s. "
            "To repeat a result, choose that commit: hub_revisions.%s=%s.",
            *(name, source.id, source.revision, commit, name, commit),
        )
    splits: Splits = {}
    for split, theirs in source.splits.items():
        rows = _rows(source, theirs, f"{name}: {source.place}")
        where = f"{place}, {'+'.join(theirs)}"
        order: Sequence[int] = range(len(rows))
        if source.order_by is not None:
            keys = [str(key).encode() for key in _whole(rows, source.order_by, f"{name}: {where}")]
            order = sorted(order, key=keys.__getitem__)
        labels = _labels(rows, source.label, f"{name}: {where}")
        image = partial(_image, rows, source.image, where)
        images = ImageSource(where, order, image, _stamp(rows, source.image))
        splits[split] = images, [labels[number] for number in order]
    return Copy(place, splits)


def _labels(rows: Dataset, column: str, where: str) -> list[str]:
    """The label string of every row.

    Raises:
        ValueError: a label is missing, hidden or has no name; with the first such row.
    """
    names = getattr(rows.features[column], "names", None)
    values = _whole(rows, column, where)
    if wrong := [n for n, value in enumerate(values) if not isinstance(value, int | str)]:
        raise ValueError(
            f"{where}, row {wrong[0]}: the column {column!r} holds {values[wrong[0]]!r}, but one "
            "class per image is needed, as a number or a name; choose another column as 'label'."
        )
    known = range(len(names)) if names is not None else None
    odd = [
        n
        for n, value in enumerate(values)
        if (known is not None and value not in known)
        or (isinstance(value, int) and value < 0)
        or value == ""
    ]
    if odd:
        allowed = "numbers from 0 on" if known is None else f"0 to {len(known) - 1}"
        raise ValueError(
            f"{where}: {len(odd)} of {len(values)} labels are hidden or have no name; the first is "
            f"{values[odd[0]]!r} in row {odd[0]}, allowed are {allowed}. Choose splits whose "
            "labels were published ('splits' in the entry)."
        )
    return [str(value) if names is None else names[value] for value in values]


def _whole(rows: Dataset, column: str, where: str) -> list[Any]:
    """A column without missing values.

    Raises:
        ValueError: with the first row that has none.
    """
    values = list(rows[column][:])
    if empty := [number for number, value in enumerate(values) if value is None]:
        raise ValueError(
            f"{where}: {len(empty)} of {len(values)} rows have no {column!r}, the first is row "
            f"{empty[0]}; choose splits or a commit in which all have one."
        )
    return values


def _image(rows: Dataset, column: str, place: str, number: int) -> Image.Image:
    # A path in a row could name any file of this machine: only what is inside counts.
    content = (rows[number][column] or {}).get("bytes") or b""
    what = f"row {number} of {place}"
    return decoded(BytesIO(content), what, "choose another commit of the copy")


def _stamp(rows: Dataset, column: str) -> str:
    """SHA-256 over the stamps of the files that hold the rows, which are large."""
    stamps = [stamp(Path(file["filename"])) for file in rows.cache_files]
    return hashlib.sha256("\n".join([column, *stamps]).encode()).hexdigest()


def _check_files(source: HubSource, place: str) -> str | None:
    """Refuses a copy that names files elsewhere, or others than parquet.

    Returns:
        The commit of a copy on the hub; None for a folder.
    """
    from datasets import load_dataset_builder

    folder = Path(source.id)
    if folder.is_dir():
        _check_card(folder, place)
    try:
        builder = load_dataset_builder(source.id, revision=source.revision)
        found = builder.config.data_files or {}
        files = [str(file) for several in found.values() for file in several]
    except Exception as error:  # offline, unknown id or commit: a type for each
        raise _unavailable(place, error) from error
    # Other kinds of files would be unpacked, or name further files to open.
    if other := [file for file in files if not file.endswith(".parquet")]:
        raise OSError(
            f"{place} cannot be loaded (it holds {one_line(other[0])}, and only parquet files are "
            "read); check its id, commit and splits."
        )
    if folder.is_dir():
        roots = tuple(f"{root}{os.sep}" for root in (os.path.abspath(folder), folder.resolve()))
        outside = [file for file in files if not os.path.abspath(file).startswith(roots)]
    else:
        roots = (f"hf://datasets/{source.id}@",)
        outside = [file for file in files if not file.startswith(roots)]
    if outside:
        raise ValueError(_elsewhere(place, outside[0]))
    if folder.is_dir() or not files:
        return None
    return files[0].removeprefix(roots[0]).partition("/")[0]


def _check_card(folder: Path, place: str) -> None:
    """Refuses files elsewhere that a folder's README.md names, before anything looks for them."""
    card = folder / "README.md"
    if not card.is_file():
        return
    text = card.read_text(encoding="utf-8", errors="replace").lstrip("\ufeff")
    parts = re.split(r"^---\s*$", text, maxsplit=2, flags=re.MULTILINE)
    if len(parts) < 3 or parts[0].strip():
        return
    try:
        header = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise ValueError(
            f"{place}: the header of README.md is not valid YAML ({one_line(error)}); correct it."
        ) from None
    configs = header.get("configs") if isinstance(header, dict) else None
    for config in configs if isinstance(configs, list) else ():
        if isinstance(config, dict):
            for key in ("data_files", "data_dir"):
                for name in _strings(config.get(key)):
                    parts_of = re.split(r"[/\\]", name)
                    if "://" in name or "::" in name or ".." in parts_of or name[:1] in "/\\~":
                        raise ValueError(_elsewhere(place, name))


def _strings(value: object) -> Iterator[str]:
    """All strings in nested lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _elsewhere(place: str, file: str) -> str:
    return (
        f"{place} names {one_line(file)}, which is outside of it; only files of the copy itself "
        "are read. Correct 'configs' in its README.md."
    )


def _unavailable(place: str, error: Exception) -> OSError:
    return OSError(
        f"{place} cannot be loaded ({reason(error)}); check its id, commit and splits, and the "
        "network."
    )


def _rows(source: HubSource, splits: Sequence[str], place: str) -> Dataset:
    from datasets import Image as ImageColumn
    from datasets import concatenate_datasets, load_dataset

    try:
        rows = concatenate_datasets(
            [load_dataset(source.id, revision=source.revision, split=split) for split in splits]
        )
    except Exception as error:  # offline, unknown split: a type for each
        raise _unavailable(place, error) from error
    wanted = [source.image, source.label, *([source.order_by] if source.order_by else [])]
    if missing := [column for column in wanted if column not in rows.column_names]:
        raise ValueError(
            f"{place} has no column {missing[0]!r}, but {', '.join(rows.column_names)}; correct "
            "'hub' in the entry."
        )
    return rows.select_columns(wanted).cast_column(source.image, ImageColumn(decode=False))
