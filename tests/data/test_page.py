"""The page about data sets says what the entries say."""

from __future__ import annotations

import re
from pathlib import Path

from gift.data import benchmark_names, dataset_names, load_benchmark, load_dataset
from gift.data.usage import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of a section's table."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_places_and_sizes():
    table = {row[0].strip("` "): row for row in rows("Where the files go")}
    assert set(table) == {name for name in dataset_names() if not name.startswith("micro")}
    for name, (_, place, _, classes, train, test, splits) in table.items():
        entry = load_dataset(name)
        assert place == f"`{entry.source.path}`"
        assert int(classes) == len(entry.listed_names)
        assert train == str(entry.counts.train or "–")
        assert test == str(entry.counts.test)
        assert ("random split" in splits) == (entry.random_split is not None)
        assert ("apart" in splits) == (entry.counts.validation is not None)


def test_copies():
    table = {row[0].strip("` "): row[1] for row in rows("Copies on the Hugging Face hub")}
    copies = {name: load_dataset(name).hub for name in dataset_names()}
    assert set(table) == {name for name, hub in copies.items() if hub is not None}
    assert all(f"`{copies[name].id}`" in copy for name, copy in table.items())


def test_benchmarks():
    named = re.findall(r"`([^`]+)`", " ".join(row[0] for row in rows("Benchmarks")))
    full = []
    for name in named:
        full.append(name if name[0] != "-" else re.sub(r"-\d+$", name, full[-1]))
    assert set(full) == {name for name in benchmark_names() if not name.startswith("micro")}


def test_the_example_of_a_benchmark_loads(tmp_path):
    text = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    (tmp_path / "my.yaml").write_text(text)
    benchmark = load_benchmark(str(tmp_path / "my.yaml"))
    assert benchmark.tasks == ("skin", "histology", "letters", "shapes", "dtd", "pets")
    assert benchmark.shots == 16
    back = load_benchmark(str(tmp_path / "my.yaml@II"))
    assert back.name == "my-medical-sequence-II"
    assert back.tasks == benchmark.tasks[::-1]


def test_every_pitfall_has_a_test():
    section = PAGE.split("## Pitfalls\n")[1]
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)` \|", section)
    assert len(named) == len(re.findall(r"^\| ", section, re.MULTILINE)) - 2
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"


def test_kinds_of_things_in_the_cache_folder():
    table = {row[0].strip("` ") for row in rows("The cache directory")}
    assert table == set(KINDS)
