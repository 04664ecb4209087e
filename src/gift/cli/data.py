"""Data sets: what there is, and whether it lies where a run will look."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gift.cli.options import DataRoot, Home, Json
from gift.cli.show import print_json, print_text, reporter

if TYPE_CHECKING:
    from gift.data import DatasetEntry, Finding


def list_command(as_json: Json = False) -> None:
    """List data sets and benchmarks."""
    from gift.data import benchmark_names, dataset_names, load_benchmark, load_dataset

    datasets = [load_dataset(name) for name in dataset_names()]
    benchmarks = [load_benchmark(name) for name in benchmark_names()]
    if as_json:
        print_json(
            {
                "datasets": {d.name: d.model_dump(mode="json") for d in datasets},
                "benchmarks": {b.name: list(b.tasks) for b in benchmarks},
            }
        )
        return
    table = Table("data set", "classes", "train", "test", "licence", box=None)
    for entry in datasets:
        sizes = ("-" if n is None else str(n) for n in (entry.counts.train, entry.counts.test))
        classes = len(entry.listed_names or ())
        table.add_row(entry.name, str(classes), *sizes, Text(entry.licence))
    Console().print(table)
    table = Table("benchmark", "tasks", "what it is", box=None)
    for benchmark in benchmarks:
        table.add_row(benchmark.name, str(len(benchmark.tasks)), Text(benchmark.title))
    Console().print()
    Console().print(table)


def check_command(
    names: Annotated[
        list[str], typer.Argument(help="Benchmarks (or their YAML files) and data sets.")
    ],
    decode: Annotated[
        bool, typer.Option("--decode/--no-decode", help="Whether every image is opened.")
    ] = True,
    data_root: DataRoot = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Tell whether the data of a run are there, whole, and labelled as expected.

    The exit status is 0 when a run can start, else 1.
    """
    from gift.data import check_dataset, default_home

    cache = home or default_home()
    root = data_root or cache / "data"
    findings: list[Finding] = []
    made: list[str] = []
    with reporter("checking") as progress:
        entries = _entries(names)
        for position, entry in enumerate(entries):
            progress("data sets", position, len(entries))
            if _will_be_made(entry, root):
                made.append(entry.name)
                continue
            decoded = cache / "checked" if decode else None
            findings.append(check_dataset(entry, root, decode_cache=decoded, progress=progress))
        progress("data sets", len(entries), len(entries))
    good = all(finding.ok for finding in findings)
    if as_json:
        print_json(
            {"ok": good, "data_sets": [f.to_json() for f in findings], "made_by_a_run": made}
        )
    else:
        _print_findings(findings, made, root)
    if not good:
        raise typer.Exit(1)


def _entries(names: list[str]) -> list[DatasetEntry]:
    """The whole data sets that benchmarks and names stand for, each once."""
    from gift.data import benchmark_names, dataset_names, load_benchmark, load_dataset

    found: dict[str, DatasetEntry] = {}
    for name in names:
        if name in dataset_names() and name not in benchmark_names():
            found[name] = load_dataset(name)
            continue
        for entry in load_benchmark(name).datasets():
            whole = entry if entry.subset is None else _whole(entry)
            found[whole.name] = whole
    return list(found.values())


def _whole(entry: DatasetEntry) -> DatasetEntry:
    """The data set of which an entry is some classes."""
    return entry.model_copy(update={"name": entry.whole_name, "subset": None})


def _will_be_made(entry: DatasetEntry, root: Path) -> bool:
    missing = entry.source is not None and not (root / entry.source.path).exists()
    return entry.made_by is not None and missing


def _print_findings(findings: list[Finding], made: list[str], root: Path) -> None:
    table = Table("data set", "found", "images", "expected", "classes", box=None)
    for finding in findings:
        table.add_row(
            finding.name,
            "yes" if finding.ok else "no" if finding.found_in is None else "wrong",
            _counts(finding.images),
            _counts(finding.expected),
            "-" if finding.classes is None else str(finding.classes),
        )
    for name in made:
        table.add_row(name, "made by the first run", "-", "-", "-")
    Console().print(table)
    for finding in findings:
        for problem in finding.problems:
            print_text(f"\n{problem}")
    bad = sum(not finding.ok for finding in findings)
    print_text(
        f"\nA run can start: all data sets below {root} are as expected."
        if not bad
        else f"\nA run cannot start: {bad} of {len(findings) + len(made)} data sets are missing or "
        f"wrong. Data root: {root}"
    )


def _counts(images: Mapping[str, int]) -> str:
    ordered = (part for part in ("train", "validation", "test") if part in images)
    return ", ".join(f"{part} {images[part]}" for part in ordered) or "-"
