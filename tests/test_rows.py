"""Rows in a stream: three formats, hostile texts, and what a killed process leaves."""

from __future__ import annotations

import csv
import json
from contextlib import suppress

import pandas as pd
import pytest
from filelock import FileLock

from gift.rows import check_row_file, writing_rows

COLUMNS = {"path": str, "answer": str, "sure": float}
ROWS = [
    {"path": "a.jpg", "answer": "café", "sure": 0.25},
    {"path": 'b,\n\x1b[31m".jpg', "answer": "=1+1", "sure": 1.0},
    {"path": "-c\udce9.jpg", "answer": None, "sure": None},
]


def write(path, rows=ROWS, origin="a"):
    with writing_rows(path, COLUMNS, origin) as file:
        for row in rows:
            if row["path"] not in file.done:
                file.add(row)


def read(path):
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_bytes().decode("ascii").splitlines()]
    return pd.read_parquet(path).to_dict("records")


def test_csv_is_safe_to_open(tmp_path):
    write(tmp_path / "x.csv")
    assert read(tmp_path / "x.csv") == [
        {"path": "a.jpg", "answer": "café", "sure": "0.25"},
        {"path": 'b,\\n\\x1b[31m".jpg', "answer": "'=1+1", "sure": "1.0"},
        {"path": "'-c\\udce9.jpg", "answer": "", "sure": ""},
    ]


def test_json_lines_hold_the_exact_texts(tmp_path):
    write(tmp_path / "x.jsonl")
    assert read(tmp_path / "x.jsonl") == ROWS


def test_parquet_has_types(tmp_path):
    write(tmp_path / "x.parquet")
    table = pd.read_parquet(tmp_path / "x.parquet")
    assert table["path"].tolist() == ["a.jpg", 'b,\\n\\x1b[31m".jpg', "-c\\udce9.jpg"]
    assert table["answer"].tolist()[:2] == ["café", "=1+1"]
    assert table["answer"].isna().tolist() == [False, False, True]
    assert table["sure"].dtype == "float64"
    assert table["sure"].tolist()[:2] == [0.25, 1.0]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_no_row_is_a_file_too(tmp_path, suffix):
    write(tmp_path / f"x.{suffix}", [])
    assert read(tmp_path / f"x.{suffix}") == []


def test_parquet_is_written_in_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("gift.rows._GROUP", 2)
    write(tmp_path / "x.parquet")
    assert len(read(tmp_path / "x.parquet")) == 3


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_an_interrupted_file_is_continued(tmp_path, suffix):
    path, whole = tmp_path / f"x.{suffix}", tmp_path / f"whole.{suffix}"
    path.write_text("what was there before")
    with suppress(KeyboardInterrupt), writing_rows(path, COLUMNS, "a") as file:
        for row in ROWS[:2]:
            file.add(row)
        raise KeyboardInterrupt
    assert path.read_text() == "what was there before"
    with (tmp_path / f"x.{suffix}.partial").open("ab") as journal:
        journal.write(b'{"path": "half a li')
    with writing_rows(path, COLUMNS, "a") as file:
        assert file.done == {row["path"] for row in ROWS[:2]}
        file.add(ROWS[2])
        assert list(file) == ROWS
    write(whole)
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([path, whole])


@pytest.mark.parametrize("content", [b"", b"something else\n", b'{"origin": "b"}\n{"path": "a"}\n'])
def test_rows_of_another_origin_are_begun_anew(tmp_path, content):
    (tmp_path / "x.csv.partial").write_bytes(content)
    with writing_rows(tmp_path / "x.csv", COLUMNS, "a") as file:
        assert not file.done
    assert len(read(tmp_path / "x.csv")) == 0


def test_two_processes_do_not_write_one_file(tmp_path):
    lock = FileLock(tmp_path / ".x.csv.partial.lock")
    with lock, pytest.raises(ValueError, match=r"another process is writing .*x\.csv"):
        write(tmp_path / "x.csv")
    write(tmp_path / "x.csv")


@pytest.mark.parametrize("name", ["x", "x.xlsx", "x.cvs"])
def test_an_unknown_format_is_refused_with_those_that_are_known(tmp_path, name):
    with pytest.raises(ValueError, match=r"Known: \.csv, \.jsonl, \.parquet"):
        check_row_file(tmp_path / name)
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        check_row_file(tmp_path / "x.csv")
