"""Fill the tables of the README and the docs from the files under results/.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. NAME is one of those below, or
``experiment NAME BENCHMARK [SEEDS] [redraw]`` for an experiment's table over that many seeds from 0
on (3 by default), with ``redraw`` each on its own draw of the data. With ``--check`` nothing is
written and the exit status says whether all tables are up to date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from gift.comparison import experiment_table
from gift.micro import models_folder
from gift.report import metrics_markdown, per_task_markdown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
PAGES = ("README.md", "docs/results.md", "docs/tiny-world.md")
MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
ORDER = ("gift", "l2", "finetune", "finetune_individual")


def runs(name: str) -> list[Path]:
    """The result folders of the methods with the recipe's settings, method by method."""
    folders = [path.parent for path in (RESULTS / name).glob("*/matrix.json")]
    plain = [path for path in folders if path.name.split("-")[0] in ORDER]
    return sorted(plain, key=lambda path: (ORDER.index(path.name.split("-")[0]), path.name))


def search() -> str:
    """The outcome of the search for penalty weights."""
    outcome = json.loads((RESULTS / "search" / "penalty.json").read_text(encoding="utf-8"))
    lines = ["| method | penalty weight | Transfer | Avg. | Last |", "|" + " --- |" * 5]
    for row in outcome["rows"]:
        chosen = row["penalty_weight"] == outcome["chosen"][row["method"]]
        weight = f"**{row['penalty_weight']:g}**" if chosen else f"{row['penalty_weight']:g}"
        values = " | ".join(f"{row[key]:.1f}" for key in ("transfer", "avg", "last"))
        lines.append(f"| {row['method']} | {weight} | {values} |")
    return "\n".join(lines) + "\n"


def build() -> str:
    """What was measured when the shipped models were made."""
    report = json.loads((models_folder() / "build.json").read_text(encoding="utf-8"))
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


TABLES: dict[str, Callable[[], str]] = {
    "demo": lambda: metrics_markdown(runs("demo")),
    "micro-1": lambda: metrics_markdown(runs("micro-1")),
    "micro-1 last": lambda: per_task_markdown(runs("micro-1"), metric="last"),
    "search": search,
    "build": build,
}


def table(name: str) -> str:
    """The table of a marker."""
    if name in TABLES:
        return TABLES[name]()
    _, experiment, benchmark, *options = name.split()
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
    for name in PAGES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        new = filled(text)
        if new != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8")
    print(f"tables that changed: {', '.join(stale) or 'none'}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
