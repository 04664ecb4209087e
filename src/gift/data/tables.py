"""Tables of image paths and labels: CSV, TSV and JSON lines."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from gift.data.naming import csv_rows
from gift.data.readers.folder import split_name
from gift.text import count_of, nfc, one_line, shortened, unknown
from gift.textfiles import parse_json, read_text

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
"""Ends of the names of files that are such tables."""

IMAGE_COLUMNS = (
    *("path", "file", "file_name", "filename", "file_path", "filepath", "image", "image_path"),
    *("image_file", "img", "img_path"),
)
LABEL_COLUMNS = ("label", "class", "class_name", "classname", "category", "target")
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "fold")

_SHOWN = 20


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns; by default usual ones, whatever their case.

    Attributes:
        image: the images or their paths.
        label: the label strings.
        split: the splits; without such a column all images are for training.
    """

    image: str | None = None
    label: str | None = None
    split: str | None = None


Rows = list[dict[str, Any]]


def read_table(
    path: Path, columns: Columns = Columns(), *, follow_links: bool = False
) -> dict[str, tuple[list[Path], list[str]]]:
    """The image files and label strings that a table lists, by split, in its order.

    Paths are relative to the table's folder.

    Args:
        path: the table, with a row of column names or a JSON object per line.
        columns: what its columns are called.
        follow_links: whether paths may lead out of the table's folder.

    Raises:
        ValueError: no such table or column, rows without path, label or split, files that are not
            there or listed twice, or paths out of the folder. All problems are told at once.
    """
    rows = _read(path)
    if not rows:
        raise ValueError(f"{one_line(path)} lists no images.")
    found = _Listed(path, follow_links)
    names = list(rows[0])
    image, label = image_and_label(path, names, columns)
    split = columns.split
    if split is not None or _usual(names, SPLIT_COLUMNS):
        split = column(path, names, split, SPLIT_COLUMNS, "split")
    for number, row in enumerate(rows, start=1):
        found.add(number, row.get(image), row.get(label), "train" if split is None else row[split])
    if found.problems:
        more = len(found.problems) - _SHOWN
        shown = [f"- {problem}" for problem in found.problems[:_SHOWN]]
        shown += [f"... and {more} more"] if more > 0 else []
        raise ValueError(
            "\n".join([f"{one_line(path)}: {count_of(len(found.problems), 'problem')}:", *shown])
        )
    return dict(found.splits)


def image_and_label(place: object, names: Sequence[str], columns: Columns) -> tuple[str, str]:
    """The names of the columns of images and of labels.

    Raises:
        ValueError: one of them or both are not there.
    """
    found, problems = [], []
    for given, usual, what in (
        (columns.image, IMAGE_COLUMNS, "image"),
        (columns.label, LABEL_COLUMNS, "label"),
    ):
        try:
            found.append(column(place, names, given, usual, what))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return found[0], found[1]


def column(
    place: object, names: Sequence[str], given: str | None, usual: Sequence[str], what: str
) -> str:
    """The name of a column: the given one, or the first that has a usual name.

    Raises:
        ValueError: there is none, with those that there are.
    """
    if given is not None:
        if given not in names:
            raise ValueError(f"{one_line(place)}: {unknown('column', given, names)}")
        return given
    if (found := _usual(names, usual)) is None:
        there = ", ".join(map(shortened, names))
        raise ValueError(
            f"{one_line(place)} has no {what} column but {there}; call one of them {usual[0]!r}, "
            f"or say which it is: {what}=NAME (--columns {what}=NAME)."
        )
    return found


def _usual(names: Sequence[str], usual: Sequence[str]) -> str | None:
    spelled = {name.strip().casefold().replace(" ", "_").replace("-", "_"): name for name in names}
    return next((spelled[name] for name in usual if name in spelled), None)


def _read(path: Path) -> Rows:
    return list(_objects(path) if path.suffix.lower() in SUFFIXES[2:] else _table(path))


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            value = parse_json(line, f"{one_line(path)}, line {number}")
            if not isinstance(value, dict):
                raise ValueError(
                    f"{one_line(path)}, line {number} is no JSON object; write "
                    '{"path": "a.jpg", "label": "cat"}.'
                )
            yield value


def _table(path: Path) -> Iterator[dict[str, Any]]:
    rows = [row for row in csv_rows(path) if any(cell.strip() for cell in row)]
    if not rows:
        return
    header = [name.strip() for name in rows[0]]
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"{one_line(path)} has two columns {twice!r}; rename one.")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise ValueError(
                f"{one_line(path)}, row {number} has {len(row)} columns, but the first line names "
                f"{len(header)}; put what holds the separator in double quotes."
            )
        yield dict(zip(header, row, strict=True))


@dataclass
class _Listed:
    """The images of a table, with what is wrong with its rows."""

    table: Path
    follow_links: bool
    splits: dict[str, tuple[list[Path], list[str]]] = field(
        default_factory=lambda: defaultdict(lambda: ([], []))
    )
    problems: list[str] = field(default_factory=list)
    rows: dict[Path, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._real = cache(os.path.realpath)  # files are many, folders few
        self._root = self._real(self.table.parent)

    def add(self, number: int, image: Any, label: Any, split: Any) -> None:
        """Take a row, or note what is wrong with it."""
        where = f"row {number}"
        if isinstance(label, int) and not isinstance(label, bool):
            label = str(label)
        for what, value in (("image", image), ("label", label), ("split", split)):
            if not isinstance(value, str) or not value.strip() or "\0" in value:
                self.problems.append(f"{where} has no {what} but {shortened(value)}")
                return
        if (wanted := split_name(split.strip())) is None:
            self.problems.append(
                f"{where}: {shortened(split)} names no split; write train, validation or test"
            )
            return
        if (path := self._path(where, image.strip())) is None:
            return
        if (first := self.rows.setdefault(path, number)) != number:
            self.problems.append(f"{where} lists {one_line(image)}, as row {first} does")
            return
        files, labels = self.splits[wanted]
        files.append(path)
        labels.append(nfc(label.strip()))

    def _path(self, where: str, written: str) -> Path | None:
        """The file that a row names; None, and a problem, where there is none to be read."""
        spellings = [written, written.replace("\\", "/")]
        spellings += [unicodedata.normalize(form, spellings[1]) for form in ("NFC", "NFD")]
        paths = [self.table.parent / spelling for spelling in dict.fromkeys(spellings)]
        path = next(filter(os.path.isfile, paths), None)
        if path is None:
            self.problems.append(f"{where}: {one_line(paths[0])} is no file")
            return None
        is_link = os.path.islink(path)
        real = os.path.realpath(path) if is_link else f"{self._real(path.parent)}/{path.name}"
        if not self.follow_links and os.path.commonpath([self._root, real]) != self._root:
            self.problems.append(
                f"{where}: {one_line(written)} leads out of {one_line(self.table.parent)}; give "
                "follow_links=True (--follow-links) if you trust whoever made the table"
            )
            return None
        return path
