"""Class names of label strings: those of folders, of a table's column and of a data set's."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gift.data.readers.folder import class_name
from gift.settings import mapping_of
from gift.text import check_list, nfc, one_line, shortened, unknown
from gift.textfiles import parse_json, parse_yaml, read_text

ClassNames = Sequence[str] | Mapping[str, str]
"""Class names in the labels' order, or label string -> class name."""

_HEADER = ({"folder", "label", "directory"}, {"class", "name", "classname", "newname"})
"""Words of the first row of a CSV file of new names that are no names themselves."""


def renamed(place: object, names: ClassNames | None) -> dict[str, str]:
    """Label string, with composed accents, -> class name, where the names are such a mapping."""
    check_list(f"{place}: classnames", names, "['cat', 'dog']")
    return {nfc(k): nfc(v) for k, v in names.items()} if isinstance(names, Mapping) else {}


def name_classes(
    place: object, labels: Iterable[str], names: ClassNames | None, what: str = "class folder"
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The class names of label strings, and the number of each label string's class.

    Without names, or where a mapping has none for it, a label string gives its class its own name,
    see :func:`gift.data.readers.folder.class_name`. Label strings that a mapping gives one name are
    one class, as are those that differ in how their accents are written alone.

    Args:
        place: where they are from, for messages.
        labels: in any order; classes are numbered in that of their bytes.
        names: class names in that order (of label strings that are numbers, in theirs), or label
            string -> class name.
        what: what a label string is, for messages.

    Raises:
        ValueError: a list of another length or in an order that is not clear, a mapping of labels
            that are not there, or two label strings that spell one class.
    """
    found = tuple(sorted(set(labels), key=os.fsencode))
    if names is not None and not isinstance(names, Mapping):
        ordered = _in_order(place, found, names, what)
        return tuple(ordered), {label: number for number, label in enumerate(found)}
    given = renamed(place, names)
    known = {nfc(label): label for label in found}
    if wrong := [label for label in given if label not in known]:
        raise ValueError(f"{place}: {unknown(what, wrong[0], known.values())}")
    name_of = {label: given.get(nfc(label)) or class_name(label) for label in found}
    first: dict[str, str] = {}
    for label, name in name_of.items():
        other = nfc(first.setdefault(name, label))
        if other != nfc(label) and not given.keys() & {other, nfc(label)}:
            raise ValueError(
                f"{place}: {other!r} and {label!r} both spell the class {name!r}; write one of "
                "them, or map both to one class name (--rename)."
            )
    number = {name: position for position, name in enumerate(first)}
    return tuple(first), {label: number[name] for label, name in name_of.items()}


def _in_order(
    place: object, labels: Sequence[str], names: Sequence[str], what: str
) -> Sequence[str]:
    """A list of class names in the order of the labels' bytes."""
    if len(names) != len(labels):
        raise ValueError(
            f"{place} has {len(labels)} {what}s, but {len(names)} class names were given; give one "
            f"per {what} in byte order, or a mapping {what} -> name."
        )
    if all(label.isdecimal() for label in labels):  # labels: 2 comes before 10
        by_number = dict(zip(sorted(labels, key=int), names, strict=True))
        return [by_number[label] for label in labels]
    if list(labels) != sorted(labels, key=_as_people_sort):
        mapping = dict(zip(labels, names, strict=True))
        raise ValueError(
            f"{place}: its {what}s have another order by their bytes than by the numbers in "
            "their names, so a list of class names may mean either. Give a mapping; by the bytes "
            f"it would be {one_line(mapping)}."
        )
    return names


def _as_people_sort(label: str) -> list[tuple[int, str]]:
    """A key by which ``a2`` comes before ``a10``."""
    parts = re.split(r"([0-9]+)", label)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def read_renames(path: Path) -> dict[str, str]:
    """The mapping folder -> class name in a file of YAML, JSON, or CSV or TSV with two columns.

    The first row of a CSV file may be its header, ``folder,class``.

    Raises:
        ValueError: another file, or one that holds something else, names no class or one twice.
    """
    kind, shown = path.suffix.lower(), one_line(path)
    if kind in {".csv", ".tsv"}:
        return _checked(shown, _pairs(path))
    if kind not in {".yaml", ".yml", ".json"}:
        raise ValueError(
            f"{shown}: new class names are read from a .yaml, .json, .csv or .tsv file that maps "
            "each folder to its class name."
        )
    text = read_text(path)
    value = parse_json(text, shown) if kind == ".json" else parse_yaml(text, shown)
    if isinstance(value, dict):  # folders called by numbers
        value = {_word(key): _word(name) for key, name in value.items()}
    return _checked(shown, mapping_of(value, shown).items())


def _word(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _pairs(path: Path) -> list[tuple[str, str]]:
    rows = [row for row in csv_rows(path) if any(cell.strip() for cell in row)]
    pairs = []
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise ValueError(
                f"{one_line(path)}, row {number} has {len(row)} columns; write two, the folder and "
                "its class name."
            )
        pairs.append((row[0].strip(), row[1].strip()))
    first = [re.sub(r"[\s_-]", "", cell.casefold()) for cell in pairs[0]] if pairs else []
    is_header = all(cell in known for cell, known in zip(first, _HEADER, strict=False))
    return pairs[1:] if is_header else pairs


def _checked(shown: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder, name in pairs:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(
                f"{shown}: {shortened(folder)} has no class name but {shortened(name)}; write "
                "FOLDER: CLASS NAME for each folder that is to be renamed."
            )
        if found.setdefault(nfc(folder), name) != name:
            raise ValueError(
                f"{shown}: {shortened(folder)} has two class names, {found[nfc(folder)]!r} and "
                f"{name!r}; keep one."
            )
    if not found:
        raise ValueError(f"{shown} holds no names; write FOLDER: CLASS NAME, one per line.")
    return found


def csv_rows(path: Path) -> list[list[str]]:
    """The rows of a CSV or TSV file, which may be parted by commas, semicolons or tabs.

    Raises:
        ValueError: it is no UTF-8 text, or no such table.
    """
    text = read_text(path)
    first = text.partition("\n")[0]
    parted = max(",;\t", key=first.count) if path.suffix.lower() != ".tsv" else "\t"
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=parted, strict=True))
    except csv.Error as error:
        raise ValueError(f"{one_line(path)} cannot be read as a table ({error}).") from None
