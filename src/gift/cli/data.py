"""Data sets: what there is, whether it lies where a run will look, what the cache holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from gift.cli import completion
from gift.cli.options import DataRoot, Home, Json
from gift.cli.show import log, print_json, print_text, reporter
from gift.progress import track

if TYPE_CHECKING:
    from gift.data import DatasetEntry, ImageSet
    from gift.data.usage import CacheUsage

Names = Annotated[
    list[str],
    typer.Argument(
        help="Benchmarks (or their YAML files) and data sets.",
        autocompletion=completion.benchmarks_and_datasets,
    ),
]
Revisions = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="hub_revisions.NAME=COMMIT",
        help="A hub copy that may be used; repeatable.",
    ),
]


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
        sizes = map(_or_dash, (entry.counts.train, entry.counts.test))
        classes = len(entry.listed_names or ())
        table.add_row(entry.name, str(classes), *sizes, Text(entry.licence))
    Console().print(table)
    Console().print()
    table = Table("benchmark", "tasks", "what it is", box=None)
    for benchmark in benchmarks:
        table.add_row(benchmark.name, str(len(benchmark.tasks)), Text(benchmark.title))
    Console().print(table)


def check_command(
    names: Names,
    decode: Annotated[
        bool, typer.Option("--decode/--no-decode", help="Whether every image is opened.")
    ] = True,
    revisions: Revisions = None,
    data_root: DataRoot = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Tell whether the data of a run are there, whole, and labelled as expected.

    The exit status is 0 when a run can start, else 1.
    """
    from gift.data import Paths, check_dataset, will_be_made

    paths = Paths.of(home, data_root)
    entries = _unique(map(_whole, _entries(names, revisions)))
    made = [entry.name for entry in entries if will_be_made(entry, paths)]
    there = [entry for entry in entries if not will_be_made(entry, paths)]
    with reporter("checking", overall="data sets"):
        results = [check_dataset(e, paths, decode=decode) for e in track(there, "data sets")]
    bad = sum(not result.ok for result in results)
    if as_json:
        found = [asdict(result) | {"ok": result.ok} for result in results]
        print_json({"ok": not bad, "data_sets": found, "made_by_a_run": made})
    else:
        table = Table("data set", "found", "images", "expected", "classes", box=None)
        for one in results:
            state = "yes" if one.ok else "no" if one.found_in is None else "wrong"
            images = _counts(one.images), _counts(one.expected)
            table.add_row(one.name, state, *images, _or_dash(one.classes))
        for name in made:
            table.add_row(name, "made by the first run", "-", "-", "-")
        _print(table, [problem for one in results for problem in one.problems])
        print_text(
            f"\nA run cannot start: {bad} of {len(results) + len(made)} data sets are missing or "
            f"wrong. Data root: {paths.data}"
            if bad
            else f"\nA run can start: all data sets below {paths.data} are as expected."
        )
    if bad:
        raise typer.Exit(1)


def prepare_command(
    names: Names,
    model: Annotated[
        str | None, typer.Option(help="CLIP-like model whose test images are decoded ahead.")
    ] = None,
    revisions: Revisions = None,
    data_root: DataRoot = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Do ahead what a first run would do: download, make, check and decode its data.

    Data sets are downloaded only as hub copies of a chosen commit; all others have to be put there
    by hand, and the command says how. The exit status is 0 when a run can start, else 1.
    """
    from gift.data import Paths, download, is_on_hub, pixels, prepare
    from gift.settings import absolute, locate

    paths = Paths.of(home, data_root)
    decode: Callable[[ImageSet], object] | None = None
    if model:
        from gift.vlm import VisionLanguageModel

        preprocess = VisionLanguageModel.from_pretrained(locate(absolute(model))).preprocess

        def decode(images: ImageSet) -> object:
            return pixels(images, preprocess.test_array, preprocess.key, paths)

    tasks: dict[str, list[DatasetEntry]] = {}
    for entry in _entries(names, revisions):
        tasks.setdefault(entry.whole_name, []).append(entry)
    for name, (entry, *_) in tasks.items():
        if is_on_hub(entry, paths):
            log.warning("downloading the copy of %s unless it is there", name)
            try:
                download(entry)
            except (OSError, ValueError):
                continue  # prepare() tells
    with reporter("preparing", overall="data sets"):
        groups = track(tasks.values(), "data sets")
        prepared = [prepare(entries, paths, decode) for entries in groups]
    ready = sum(not one.problem for one in prepared)
    if as_json:
        done = [asdict(one) | {"ok": not one.problem} for one in prepared]
        print_json({"ok": ready == len(prepared), "data_sets": done})
    else:
        table = Table("data set", "ready", "images", "decoded", "done", box=None)
        for one in prepared:
            state, steps = "no" if one.problem else "yes", Text(", ".join(one.done) or "-")
            table.add_row(one.name, state, _counts(one.images), _or_dash(one.cached), steps)
        _print(table, [one.problem for one in prepared if one.problem])
        print_text(f"\n{ready} of {len(prepared)} data sets are ready. Data root: {paths.data}")
    if ready < len(prepared):
        raise typer.Exit(1)


def cache_list_command(home: Home = None, as_json: Json = False) -> None:
    """Show what the cache directory holds: numbers, sizes and last use."""
    from gift.data import Paths, cache_usage
    from gift.data.usage import KINDS

    paths = Paths.of(home)
    usage = cache_usage(paths)
    if as_json:
        print_json({"home": str(paths.cache), "kept": list(map(_plain, usage))})
        return
    table = Table("kind", "number", "size", "last use", "what it is", box=None)
    for one in usage:
        when = "-" if one.last_use is None else f"{one.last_use.astimezone():%Y-%m-%d %H:%M}"
        table.add_row(one.kind, str(one.number), decimal(one.bytes), when, KINDS[one.kind])
    Console().print(table)
    print_text(f"\nCache folder: {paths.cache}. To free space: gift data cache clear KIND...")


def cache_clear_command(
    kinds: Annotated[
        list[str], typer.Argument(help="What to delete: pixels, checked, images, data.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Delete kinds of things from the cache directory; what is needed again is made again.

    Nothing is deleted while a process is making something of these kinds.
    """
    from gift.data import Paths, cache_usage, clear_cache
    from gift.data.usage import check_kinds

    paths, chosen = Paths.of(home), check_kinds(kinds)
    if not yes:
        usage = (one for one in cache_usage(paths) if one.kind in chosen)
        described = " and ".join(f"{one.kind} ({decimal(one.bytes)})" for one in usage)
        typer.confirm(f"Delete {described} from {paths.cache}?", abort=True, err=True)
    cleared = clear_cache(paths, chosen)
    freed = sum(one.bytes for one in cleared)
    if as_json:
        deleted = list(map(_plain, cleared))
        print_json({"home": str(paths.cache), "cleared": deleted, "freed": freed})
        return
    for one in cleared:
        print_text(f"{one.kind}: {one.number} deleted, {decimal(one.bytes)}")
    print_text(f"Freed in {paths.cache}: {decimal(freed)}")


def _plain(usage: CacheUsage) -> dict[str, Any]:
    last_use = usage.last_use and usage.last_use.isoformat(timespec="seconds")
    return asdict(usage) | {"last_use": last_use}


def _entries(names: list[str], revisions: list[str] | None) -> list[DatasetEntry]:
    """The data sets and tasks that names stand for, each once, with the chosen commits."""
    from gift import data
    from gift.settings import merge, parse_override
    from gift.text import unknown

    chosen = merge(*map(parse_override, revisions or []))
    for key in set(chosen) - {"hub_revisions"}:
        raise ValueError(f"--set: {unknown('setting', key, ['hub_revisions'])}")
    found: list[DatasetEntry] = []
    for name in names:
        if name in data.dataset_names() and name not in data.benchmark_names():
            found.append(data.load_dataset(name))
        else:
            found += data.load_benchmark(name).datasets()
    commits = {name: str(commit) for name, commit in chosen.get("hub_revisions", {}).items()}
    return data.with_revisions(_unique(found), commits)


def _whole(entry: DatasetEntry) -> DatasetEntry:
    """The data set of which an entry is some classes, or the entry itself."""
    whole = {"name": entry.whole_name, "subset": None}
    return entry.model_copy(update=whole) if entry.subset else entry


def _unique(entries: Iterable[DatasetEntry]) -> list[DatasetEntry]:
    found: list[DatasetEntry] = []
    for entry in entries:
        if entry not in found:
            found.append(entry)
    return found


def _print(table: Table, problems: Iterable[str]) -> None:
    Console().print(table)
    for problem in problems:
        print_text(f"\n{problem}")


def _counts(images: Mapping[str, int]) -> str:
    ordered = (split for split in ("train", "validation", "test") if split in images)
    return ", ".join(f"{split} {images[split]}" for split in ordered) or "-"


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)
