"""Fill the tables of the README and the docs from the files under results/.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. NAME is one of those below, or
``experiment NAME BENCHMARK [SEEDS] [redraw]`` for an experiment's table over that many seeds from 0
on (3 by default), with ``redraw`` each on its own draw of the data, or ``method NAME`` for a
method's rows in the comparison on the tiny world. With ``--check`` nothing is
written and the exit status says whether all tables are up to date.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gift.report import metrics_markdown
from gift.report.table import Cell, Table
from gift.studies import experiment_table, load_experiment, plan
from gift.studies.table import build_table, read_rows
from gift_micro import CATALOGUE

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
METHOD_PAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "docs" / "methods").glob("*.md"))
PAGES = (
    Path("README.md"),
    Path("docs/results.md"),
    Path("docs/reliability.md"),
    Path("docs/tiny-world.md"),
    *METHOD_PAGES,
)
ORDERS = {"micro-1": "order I", "micro-2": "order II"}
MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
CONSOLIDATIONS = {"gift-l2": "l2", "ewc_v": "static (EWC-V)", "gift": "AWC (GIFT)"}


def runs(name: str) -> list[Path]:
    """The result folders of the demo."""
    return sorted(path.parent for path in (RESULTS / name).glob("*/matrix.json"))


def outcome(name: str) -> dict[str, Any]:
    """A search as it was committed."""
    text = (RESULTS / "search" / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def search() -> str:
    """The best trial of every search, and how far the others are."""
    head = ["search", "best settings", "Transfer", "Avg.", "Last", "Avg. of all trials", "trials"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for path in sorted((RESULTS / "search").glob("*.json")):
        if path.stem.endswith("-wide"):
            continue
        found = outcome(path.stem)
        best, averages = found["best"], [row["avg"] for row in found["rows"]]
        named = sorted((key.rpartition(".")[2], value) for key, value in best["values"].items())
        values = ", ".join(f"{key} {value:g}" for key, value in named)
        metrics = " | ".join(f"{best[key]:.1f}" for key in ("transfer", "avg", "last"))
        spread = f"{min(averages):.1f} to {max(averages):.1f}"
        lines.append(f"| {path.stem} | {values} | {metrics} | {spread} | {len(averages)} |")
    return "\n".join(lines) + "\n"


def penalties() -> str:
    """Avg. of the three kinds of consolidation by penalty weight, at the learning rate of gift."""
    rate = outcome("gift")["best"]["values"]["training.learning_rate"]
    columns: dict[str, dict[float, float]] = {}
    for name in CONSOLIDATIONS:
        rows = outcome(name)["rows"] + outcome(f"{name}-wide")["rows"]
        columns[name] = {
            row["values"]["method_settings.penalty_weight"]: row["avg"]
            for row in rows
            if row["values"]["training.learning_rate"] == rate
        }
    weights = sorted(columns["gift"])
    lines = ["| consolidation | " + " | ".join(f"λ = {weight:g}" for weight in weights) + " |"]
    lines.append("|" + " --- |" * (len(weights) + 1))
    for name, column in columns.items():
        best = max(column, key=lambda weight: column[weight])
        cells = (f"**{column[w]:.2f}**" if w == best else f"{column[w]:.2f}" for w in weights)
        lines.append(f"| {CONSOLIDATIONS[name]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(script: str, file: str) -> str:
    """The table that a script prints of the figures it wrote."""
    words = [sys.executable, script, "--show", f"results/{file}"]
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def build() -> str:
    """What was measured when the shipped models were made."""
    report = json.loads((CATALOGUE.folder / "models" / "build.json").read_text(encoding="utf-8"))
    rows = [
        ("zero-shot accuracy (validation), mean of the tasks", report["mean_zero_shot"], "%"),
        *(
            (f"zero-shot accuracy, {name}", value, "%")
            for name, value in report["zero_shot"].items()
        ),
        ("drawn pictures named right among all names", report["drawn_named"]["overall"], "%"),
        ("painted pictures named right among all names", report["painted_named"]["overall"], "%"),
        ("autoencoder, peak signal to noise ratio", report["autoencoder_psnr"], "dB"),
    ]
    lines = ["| measured | |", "| --- | --- |"]
    lines += [f"| {name} | {value:.1f} {unit} |" for name, value, unit in rows]
    return "\n".join(lines) + "\n"


def method(name: str) -> str:
    """The rows of a method in the comparison of all methods, one per order."""
    entry = load_experiment("comparison")
    lines = []
    for benchmark in ORDERS:
        planned = plan(entry, benchmark, seeds=range(3), runs=RESULTS, redraw=True)
        chosen = [row for row in planned if row.entry.method == name]
        whole = build_table(entry, benchmark, read_rows(entry, benchmark, chosen))
        (row,) = whole.rows
        lines.append((Cell(ORDERS[benchmark]), *row[1:4]))
    return Table(name, name, ("", *whole.header[1:4]), tuple(lines)).markdown()


def kills() -> str:
    """What came out of the runs that were killed again and again."""
    found = json.loads((RESULTS / "bench" / "kill_resume.json").read_text(encoding="utf-8"))
    rows = {
        "runs": found["runs"],
        "kills": found["kills"],
        **{f"kills while: {name}": n for name, n in found["kills_by_stage"].items()},
        "runs whose weights or accuracies differed": found["divergences"],
        "finished tasks that were lost": found["lost_finished_tasks"],
        "seconds of a run that is left alone": found["seconds_of_a_run_left_alone"],
    }
    lines = ["| what | number |", "| --- | ---: |"]
    return "\n".join([*lines, *(f"| {name} | {number} |" for name, number in rows.items())]) + "\n"


def theory() -> dict[str, Any]:
    """What was measured of ConDU's theory, by kind of task vectors."""
    found: dict[str, Any] = json.loads((RESULTS / "theory" / "condu.json").read_text())["vectors"]
    return found


def condu_again() -> str:
    """Merging the same tasks again and again: the change in a round, and what else happened."""
    rounds = ("1", "2", "10", "30", "100")
    head = ["vectors", "scales", *(f"round {n}" for n in rounds), "mask bits changed"]
    head += ["largest scale after round 1", "smallest in the end"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for kind, found in theory().items():
        for rescaler, one in found["merged_again"].items():
            cells = [kind, f"`{rescaler}`", *(f"{one['change'][n]:.1e}" for n in rounds)]
            cells.append(str(one["flipped_bits"]))
            cells += [
                f"{one[key]:.4f}"
                for key in ("largest_scale_after_round_1", "smallest_scale_in_the_end")
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def condu_one_more() -> str:
    """One more task after n others."""
    counts = (1, 2, 5, 10, 31)
    titles = {"change": "change", "lost": "mask bits lost", "off_own": "from the own vectors"}
    head = ["vectors", "", *(f"n = {n}" for n in counts)]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for kind, found in theory().items():
        for key, title in titles.items():
            values = found["one_more"]["tensor_mean"][key]
            cells = [f"{values[n - 1]:.2%}" if n <= len(values) else "–" for n in counts]
            lines.append(f"| {kind} | {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "kills": kills,
    "demo": lambda: metrics_markdown(runs("demo")),
    "search": search,
    "penalties": penalties,
    "build": build,
    "condu cost": lambda: shown("benchmarks/condu.py", "bench/condu.json"),
    "condu votes": lambda: shown("scripts/condu_votes.py", "theory/votes.json"),
    "condu again": condu_again,
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
    return experiment_table(
        experiment, benchmark, RESULTS, range(*(counts or [3])), redraw="redraw" in options
    )


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
