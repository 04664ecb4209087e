"""GIFT's gain over what its generator has in common with the model: a table and a picture.

Gains are those of the experiment ``foreign-generator`` over its row without images, on micro-1;
``results/generators`` has the reports that ``gift micro generator`` wrote beside each generator.

    python scripts/overlap.py --keep ~/.cache/gift/models/micro   copy those reports to results/
    python scripts/overlap.py                                     draw the picture
    python scripts/overlap.py --show results                      print the table
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gift.files import read_json
from gift.report.style import INK, drawing, only_horizontal_grid, series
from gift.report.tables import METRICS, MISSING, difference, measurements, values_of
from gift.studies import load_experiment, plan
from gift.studies.table import read_rows
from gift_micro import GENERATORS

ROOT = Path(__file__).parents[1]
COLUMNS = ("transfer", "avg", "last")
COVERAGE = {"recall": "recall", "precision": "precision", "frechet_distance": "Fréchet distance"}


def reports(folder: Path) -> dict[str, Any]:
    """What ``gift micro generator`` measured, by the generator's name; those that are there."""
    paths = {name: folder / f"generator-{name}.json" for name in GENERATORS}
    return {name: read_json(path) for name, path in paths.items() if path.is_file()}


def gains(results: Path) -> dict[str, dict[str, list[float]]]:
    """The points gained over the row without images, one per seed: by generator and metric."""
    entry = load_experiment("foreign-generator")
    rows = read_rows(plan(entry, "micro-1", seeds=range(3), runs=results, redraw=True))
    numbers = measurements(row.measured for row in rows)
    names = [row.entry.name for row in rows]
    base = names.index(str(entry.difference_to))

    def gain(name: str, metric: str) -> list[float]:
        own = values_of(numbers, names.index(name), metric)
        found: pd.Series[float] = (own - values_of(numbers, base, metric)).dropna()
        return found.tolist()

    return {name: {metric: gain(name, metric) for metric in COLUMNS} for name in GENERATORS}


def table(found: Mapping[str, Any], gained: Mapping[str, Mapping[str, list[float]]]) -> str:
    """One line per generator, as Markdown."""
    heads = ["generator", "has learned", "classified correctly", *COVERAGE.values()]
    heads += [f"gain in {METRICS[metric].title}" for metric in COLUMNS]
    lines = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
    for name in GENERATORS:
        report = found.get(name)
        measured = [MISSING] * (2 + len(COVERAGE))
        if report:
            accuracy = f"{report['accuracy']['overall']:.1f} %"
            coverage = [f"{report['coverage'][key]:.3f}" for key in COVERAGE]
            measured = [report["title"], accuracy, *coverage]
        own = [difference(gained[name][metric], intervals=True) for metric in COLUMNS]
        lines.append([name, *measured, *own])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def picture(found: Mapping[str, Any], gained: Mapping[str, Mapping[str, list[float]]]) -> Figure:
    """A panel per metric: the gain, mean and spread over the seeds, over the recall."""
    names = sorted(found, key=lambda name: found[name]["coverage"]["recall"])
    x = [found[name]["coverage"]["recall"] for name in names]
    figure = Figure(figsize=(10.0, 2.9), layout="constrained")
    panels = figure.subplots(1, len(COLUMNS), sharex=True)
    for index, (axes, metric) in enumerate(zip(panels, COLUMNS, strict=True)):
        values = [np.array(gained[name][metric]) for name in names]
        means = [float(own.mean()) for own in values]
        spread = [float(own.std(ddof=1)) if len(own) > 1 else 0.0 for own in values]
        color, marker, _ = series(index)
        style: Any = {"marker": marker, "markersize": 5, "linewidth": 1.6, "capsize": 2.5}
        axes.errorbar(x, means, yerr=spread, color=color, **style)
        for name, at, mean in zip(names, x, means, strict=True):
            offset: Any = {"xytext": (0, 9), "textcoords": "offset points", "ha": "center"}
            axes.annotate(name, (at, mean), color=INK, **offset)
        axes.set_title(METRICS[metric].title)
        axes.margins(x=0.14, y=0.2)
        only_horizontal_grid(axes)
    figure.supxlabel("fraction of the model's pictures that the generator covers (recall)")
    figure.supylabel("gain over no images (points)")
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Copy, draw or print; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", type=Path, help="folder of generators whose reports are copied")
    parser.add_argument("--show", type=Path, help="print the table of this folder of results")
    options = parser.parse_args(arguments)
    results = options.show or ROOT / "results"
    kept = results / "generators"
    if options.keep:
        kept.mkdir(parents=True, exist_ok=True)
        for name in reports(options.keep):
            shutil.copy(options.keep / f"generator-{name}.json", kept)
        return 0
    found, gained = reports(kept), gains(results)
    if options.show:
        print(table(found, gained), end="")
        return 0
    measured = {name: report for name, report in found.items() if gained[name]["avg"]}
    if not measured:
        raise SystemExit("nothing to draw: run foreign-generator and --keep the reports first.")
    with drawing():
        path = ROOT / "docs" / "images" / "foreign-generator.png"
        picture(measured, gained).savefig(path, dpi=200, metadata={"Software": None})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
