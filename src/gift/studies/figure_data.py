"""What a picture shows beside the figures of runs: computed once and kept as a JSON file.

The file is called after all that decides its content, ``runs/<benchmark>/figures/<experiment>-
<checksum>.json``, so that a picture never shows the data of other settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from gift.data import Paths, load_benchmark, short_name
from gift.files import digest, read_json, write_json
from gift.settings import identity, validate
from gift.studies.entries import Experiment
from gift.studies.landscape import LossLandscape, measure_landscape
from gift.studies.pictures import Landscape, Samples
from gift.studies.plan import PlannedRow
from gift.studies.samples import GeneratedSamples, generate_samples

FigureData: TypeAlias = LossLandscape | GeneratedSamples


def data_file(entry: Experiment, rows: Sequence[PlannedRow], runs: Path) -> Path | None:
    """Where the data of an experiment's picture are or would be; None where it needs none.

    Of several seeds the first one's runs count.
    """
    picture = entry.figure
    if not isinstance(picture, Landscape | Samples):
        return None
    benchmark = load_benchmark(rows[0].benchmark)
    decisive = {
        "benchmark": [benchmark.name, benchmark.version],
        "picture": identity(picture),
        "rows": [identity(row.config) for row in rows],
    }
    name = f"{entry.name}-{digest(decisive)[:8]}.json"
    return runs / short_name(rows[0].benchmark) / "figures" / name


def make_data(entry: Experiment, rows: Sequence[PlannedRow], file: Path, paths: Paths) -> None:
    """Compute the data of a picture, unless they are there or their runs are not finished.

    Raises:
        ValueError: see :func:`measure_landscape` and :func:`generate_samples`.
        OSError: the file cannot be written.
    """
    picture, first = entry.figure, [row.runs[0] for row in rows if row.runs]
    if file.exists() or not all(run.finished for run in first):
        return
    if isinstance(picture, Samples):
        found: FigureData = generate_samples(picture, rows, paths)
    elif isinstance(picture, Landscape) and len(rows) == 2:
        found = measure_landscape(picture, first, paths)
    else:
        return
    write_json(file, found.model_dump(mode="json"))


def read_data(entry: Experiment, file: Path | None) -> FigureData | None:
    """The data of a picture; None where there are none.

    Raises:
        ValueError: the file does not hold them.
    """
    if file is None or not file.exists():
        return None
    values, where = read_json(file), str(file)
    if isinstance(entry.figure, Landscape):
        return validate(LossLandscape, values, where=where)
    return validate(GeneratedSamples, values, where=where)
