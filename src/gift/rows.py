"""Rows that are written in a stream: CSV, JSON lines or Parquet, whole at the end, resumable.

Rows go to a journal beside the file first, ``<name>.partial``: a line of JSON each. At the end it
becomes the file, in one pass. A process that was interrupted leaves the journal, and the next one
that makes the same rows continues it.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TypeAlias

from filelock import FileLock, Timeout

from gift.files import replacing_file, writing_to
from gift.text import no_formula, one_line, unknown

log = logging.getLogger(__name__)

Cell: TypeAlias = str | float | None
Row: TypeAlias = Mapping[str, Cell]
Columns: TypeAlias = Mapping[str, type[str] | type[float]]
"""The type of each column's cells, by its name; the first column is the key of a row."""

_GROUP = 10_000
"""Rows of one row group of a Parquet file."""


def check_row_file(path: Path) -> None:
    """Refuse a file whose name does not say its format.

    Raises:
        ValueError: another suffix than those of :data:`FORMATS`, or a folder.
    """
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: {unknown('suffix', path.suffix or 'without one', FORMATS)}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file.")


class RowFile:
    """A journal of rows; iterating gives all that it holds.

    Attributes:
        done: the keys of the rows that it holds.
    """

    def __init__(self, journal: Path, key: str, done: Iterable[str]) -> None:
        self._path = journal
        self._file = journal.open("ab")
        self._key = key
        self.done = set(done)

    def add(self, row: Row) -> None:
        """Append a row; a process that is killed afterwards has not lost it."""
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
        self.done.add(str(row[self._key]))

    def close(self) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Row]:
        with self._path.open("rb") as file:
            file.readline()  # what the rows come from
            yield from map(json.loads, file)


@contextmanager
def writing_rows(path: Path, columns: Columns, origin: str) -> Iterator[RowFile]:
    """Collect rows, and write the file when the block succeeds.

    When it fails, or the process is killed, what was at ``path`` stays, and so do the rows so far:
    the next call with the same origin begins with them.

    Args:
        path: the file; its suffix says the format.
        columns: of the rows.
        origin: what the rows come from; those of another origin are begun anew.

    Raises:
        ValueError: another process is writing the file.
        OSError: it cannot be written.
    """
    check_row_file(path)
    journal = path.with_name(f"{path.name}.partial")
    lock = FileLock(journal.with_name(f".{journal.name}.lock"))
    with writing_to(path.parent, "the folder", "give another one, or free some space"):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"another process is writing {path}; wait until it is done.") from None
        try:
            (key, *_) = columns
            done = _begin(journal, origin, key)
            if done:
                log.warning(
                    "%s: continued with the %d rows that are there.", one_line(path), len(done)
                )
            with closing(RowFile(journal, key, done)) as rows:
                yield rows
            with replacing_file(path) as out:
                FORMATS[path.suffix.lower()](out, columns, rows)
            journal.unlink()
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()


def _begin(journal: Path, origin: str, key: str) -> list[str]:
    """The keys in a journal of that origin, without an incomplete last line; else begin one."""
    if journal.is_file():
        with journal.open("rb") as file:
            head, whole = file.readline(), 0
            if head == _head(origin):
                whole, keys = len(head), []
                for line in file:
                    try:
                        keys.append(str(json.loads(line)[key]))
                    except (ValueError, KeyError, TypeError):
                        break
                    whole += len(line)
                os.truncate(journal, whole)
                return keys
    with replacing_file(journal) as out:
        out.write(_head(origin))
    return []


def _head(origin: str) -> bytes:
    return json.dumps({"origin": origin}).encode() + b"\n"


def _write_csv(out: IO[bytes], columns: Columns, rows: Iterable[Row]) -> None:
    """UTF-8 with a header; control characters are spelled out, and nothing is a formula."""
    text = io.TextIOWrapper(out, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = (row[name] for name in columns)
        writer.writerow(no_formula(one_line(c)) if isinstance(c, str) else c for c in cells)
    text.detach()  # which flushes it, and leaves the file open


def _write_jsonl(out: IO[bytes], columns: Columns, rows: Iterable[Row]) -> None:
    """One JSON object a line, in ASCII."""
    out.writelines(
        json.dumps({name: row[name] for name in columns}).encode() + b"\n" for row in rows
    )


def _write_parquet(out: IO[bytes], columns: Columns, rows: Iterable[Row]) -> None:
    """Row groups of texts and 64 bit floats; control characters of texts are spelled out."""
    import pyarrow
    from pyarrow import parquet

    types = {str: pyarrow.string(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    rest = iter(rows)
    with parquet.ParquetWriter(out, schema) as writer:
        while group := list(islice(rest, _GROUP)):
            safe = [
                {
                    name: one_line(cell) if isinstance(cell, str) else cell
                    for name, cell in r.items()
                }
                for r in group
            ]
            writer.write_table(pyarrow.Table.from_pylist(safe, schema=schema))


FORMATS: dict[str, Callable[[IO[bytes], Columns, Iterable[Row]], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
"""How rows are written, by the suffix of the file."""
