"""Fill the tables of the README and the docs from the files under results/.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. NAME is one of those below, or
``experiment NAME BENCHMARK [SEEDS] [redraw]`` for an experiment's table over that many seeds from 0
on (3 by default), with ``redraw`` each also the data seed, or ``method NAME`` for a method's rows
in the comparison on the micro benchmark, or ``picture NAME BENCHMARK [SEEDS] [redraw]`` for an
experiment's picture, which is drawn into ``docs/images``. With ``--check`` nothing is written and
the exit status says whether all tables are up to date.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from gift.report import metrics_markdown
from gift.report.tables import Table
from gift.studies import (
    PlannedRow,
    experiment_picture,
    experiment_table,
    load_experiment,
    plan,
)
from gift.studies.table import build_table, read_rows
from gift_micro import CATALOGUE

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
METHOD_PAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "docs" / "methods").glob("*.md"))
PAGES = (
    Path("README.md"),
    Path("docs/results.md"),
    Path("docs/reliability.md"),
    Path("docs/micro-benchmark.md"),
    Path("docs/questions.md"),
    Path("docs/figures.md"),
    *METHOD_PAGES,
)
ORDERS = {"micro-1": "order I", "micro-2": "order II"}
MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown(head: Sequence[str], rows: Iterable[Iterable[object]], align: str = "---") -> str:
    """A table; ``align`` is of all columns but the first."""
    lines = [head, ["---", *[align] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def read(path: str) -> Any:
    """A result as it was committed."""
    return json.loads((RESULTS / path).read_text(encoding="utf-8"))


def demo() -> str:
    """The metrics of the demo's runs."""
    return metrics_markdown(sorted(path.parent for path in RESULTS.glob("demo/*/matrix.json")))


def search() -> str:
    """The best trial of every search, and how far the others are."""
    head = ["search", "best settings", "Transfer", "Avg.", "Last", "Avg. of all trials", "trials"]
    rows = []
    for path in sorted(RESULTS.glob("search/*.json")):
        found = read(f"search/{path.name}")
        best, averages = found["best"], [row["avg"] for row in found["rows"] if "avg" in row]
        named = sorted((key.rpartition(".")[2], value) for key, value in best["values"].items())
        values = ", ".join(f"{key} {value:g}" for key, value in named)
        metrics = (f"{best[key]:.1f}" for key in ("transfer", "avg", "last"))
        spread = f"{min(averages):.1f} to {max(averages):.1f}"
        rows.append((path.stem, values, *metrics, spread, len(averages)))
    return markdown(head, rows)


def shown(script: str, file: str) -> str:
    """The table that a script prints of the figures it wrote."""
    words = [sys.executable, script, "--show", f"results/{file}"]
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def build() -> str:
    """What was measured when the shipped models were made."""
    report = json.loads((CATALOGUE.folder / "models" / "build.json").read_text(encoding="utf-8"))
    tasks = report["zero_shot"].items()
    rows = [
        ("zero-shot accuracy (validation), mean of the tasks", report["mean_zero_shot"], "%"),
        *((f"zero-shot accuracy, {name}", value, "%") for name, value in tasks),
        ("autoencoder, peak signal to noise ratio", report["autoencoder_psnr"], "dB"),
    ]
    return markdown(["measured", ""], ((name, f"{value:.1f} {unit}") for name, value, unit in rows))


def generated() -> str:
    """The shipped generator's images beside those of the corpus and clean ones."""
    report = json.loads((CATALOGUE.folder / "models" / "build.json").read_text(encoding="utf-8"))
    head = ["images", "classified correctly", "Fréchet distance", "precision", "recall"]
    titles = {
        "generated": "generated",
        "corpus": "other pictures of the corpus",
        "clean": "clean pictures only",
    }
    rows = []
    for name, title in titles.items():
        found = report["coverage"][name]
        accuracy = f"{report['accuracy'][name]['overall']:.1f} %"
        figures = (f"{found[key]:.3f}" for key in ("frechet_distance", "precision", "recall"))
        rows.append((title, accuracy, *figures))
    return markdown(head, rows, "---:")


@cache
def comparison(benchmark: str) -> tuple[PlannedRow, ...]:
    """The runs of the comparison of all methods."""
    entry = load_experiment("comparison")
    return plan(entry, benchmark, seeds=range(3), runs=RESULTS, redraw=True)


def method(name: str) -> str:
    """The rows of a method in the comparison of all methods, one per order."""
    entry = load_experiment("comparison")
    lines = []
    for benchmark in ORDERS:
        chosen = [row for row in comparison(benchmark) if row.entry.method == name]
        whole = build_table(entry, benchmark, read_rows(chosen))
        (row,) = whole.rows
        lines.append((ORDERS[benchmark], *row[1:4]))
    return Table(name, name, ("", *whole.header[1:4]), pd.DataFrame(lines)).markdown()


def kills() -> str:
    """What came out of the runs that were killed again and again."""
    found = read("bench/kill_resume.json")
    rows = {
        "runs": found["runs"],
        "kills": found["kills"],
        **{f"kills while: {name}": n for name, n in found["kills_by_stage"].items()},
        "runs whose weights or accuracies differed": found["divergences"],
        "finished tasks that were lost": found["lost_finished_tasks"],
        "seconds of an uninterrupted run": found["seconds_of_a_run_left_alone"],
    }
    return markdown(["what", "number"], rows.items(), "---:")


def condu_again() -> str:
    """Merging the same tasks again and again: the change in a round, and what else happened."""
    rounds = ("1", "2", "10", "30", "100")
    head = ["vectors", "scales", *(f"round {n}" for n in rounds), "mask bits changed"]
    head += ["largest scale after round 1", "smallest in the end"]
    rows = []
    for kind, found in read("theory/condu.json")["vectors"].items():
        for rescaler, one in found["merged_again"].items():
            cells = [kind, f"`{rescaler}`", *(f"{one['change'][n]:.1e}" for n in rounds)]
            cells.append(str(one["flipped_bits"]))
            cells += [
                f"{one[key]:.4f}"
                for key in ("largest_scale_after_round_1", "smallest_scale_in_the_end")
            ]
            rows.append(cells)
    return markdown(head, rows)


def condu_one_more() -> str:
    """One more task after n others."""
    counts = (1, 2, 5, 10, 31)
    titles = {"change": "change", "lost": "mask bits lost", "off_own": "from the own vectors"}
    rows = []
    for kind, found in read("theory/condu.json")["vectors"].items():
        for key, title in titles.items():
            values = found["one_more"]["tensor_mean"][key]
            cells = [f"{values[n - 1]:.2%}" if n <= len(values) else "–" for n in counts]
            rows.append((kind, title, *cells))
    return markdown(["vectors", "", *(f"n = {n}" for n in counts)], rows)


def picture(
    name: str, benchmark: str, runs: Path, seeds: Sequence[int], *, redraw: bool = False
) -> str:
    """The picture of an experiment, drawn anew."""
    with TemporaryDirectory() as folder:
        files = experiment_picture(name, benchmark, runs, seeds, Path(folder), redraw=redraw)
        if not files:
            return "Not run yet."
        if "--check" not in sys.argv:
            shutil.copyfile(files[0], ROOT / "docs" / "images" / f"{name}.png")
    return f"![{load_experiment(name).title}](images/{name}.png)"


TABLES: dict[str, Callable[[], str]] = {
    "kills": kills,
    "demo": demo,
    "search": search,
    "build": build,
    "generated": generated,
    "condu cost": lambda: shown("benchmarks/condu.py", "bench/condu.json"),
    "condu votes": lambda: shown("scripts/condu_votes.py", "theory/votes.json"),
    "condu again": condu_again,
    "overlap": lambda: shown("scripts/overlap.py", ""),
    "storage": lambda: shown("benchmarks/storage.py", "bench/storage.json"),
    "condu one more": condu_one_more,
}


def table(name: str) -> str:
    """The table of a marker."""
    if name in TABLES:
        return TABLES[name]()
    kind, experiment, *rest = name.split()
    if kind == "method":
        return method(experiment)
    benchmark, *options = rest
    counts = [int(option) for option in options if option.isdigit()]
    make = picture if kind == "picture" else experiment_table
    return make(experiment, benchmark, RESULTS, range(*(counts or [3])), redraw="redraw" in options)


def filled(text: str) -> str:
    """A page with its tables made anew."""
    return MARKED.sub(lambda m: m[1] + "\n" + table(m[2]).strip() + "\n\n" + m[3], text)


def main() -> int:
    """Write or check all pages; returns the exit status."""
    stale = []
    for page in PAGES:
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        new = filled(text)
        if new != text:
            stale.append(str(page))
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8")
    print(f"tables that changed: {', '.join(stale) or 'none'}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
