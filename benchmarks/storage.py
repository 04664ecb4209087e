"""Generating images for a task, against keeping the real images of the tasks before it.

What GIFT generates before a task, and what the training images of a task take: bytes, and CPU
seconds on one thread to generate them, to write them (copy them to where they are kept) and to read
(decode) them once.

    OMP_NUM_THREADS=1 python benchmarks/storage.py --out results/bench/storage.json
    python benchmarks/storage.py --show results/bench/storage.json
"""

from __future__ import annotations

import argparse
import io
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from gift.benchmark import resolve
from gift.data import Paths, class_list, load_benchmark, open_tasks
from gift.files import read_json, write_json
from gift.runs import environment
from gift.streams import open_generator
from gift.synthesis import build_pool, plan

MB = 1e6


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def measure_generated(benchmark: str, batches: int) -> dict[str, float]:
    """What the images of one task take, from some batches of them."""
    settings = resolve(benchmark, "gift").synthesis
    generator = open_generator(settings, torch.device("cpu"))
    pool = build_pool(class_list(settings.base_classnames), ())
    planned = plan(pool, task_index=1, count=batches * settings.batch_size)
    generator.load()
    images: list[Any] = []

    def generate() -> None:
        for start in range(0, len(planned), settings.batch_size):
            batch = planned[start : start + settings.batch_size]
            images.extend(generator.generate([p.prompt for p in batch], [p.seed for p in batch]))

    each = seconds(generate) / len(planned)
    sizes = []
    for image in images:
        image.save(out := io.BytesIO(), "png")
        sizes.append(out.tell())
    files = [path for path in Path(generator.source).rglob("*") if path.is_file()]
    return {
        "images": settings.images,
        "generate_seconds": each * settings.images,
        "mb": sum(sizes) / len(sizes) * settings.images / MB,
        "generator_mb": sum(path.stat().st_size for path in files) / MB,
    }


def measure_real(benchmark: str, folder: Path, tasks: int | None) -> Iterator[dict[str, float]]:
    """What the training images of each task take."""
    paths = Paths.of(folder / "cache", folder / "data")
    for entry in load_benchmark(benchmark).datasets()[:tasks]:
        (task,) = open_tasks([entry], paths)
        images = task.train
        source, kept = paths.data / entry.source.path / "train", folder / "kept" / entry.name
        yield {
            "images": len(images),
            "mb": sum(path.stat().st_size for path in source.rglob("*.png")) / MB,
            "write_seconds": seconds(partial(shutil.copytree, source, kept)),
            "read_seconds": seconds(partial(list, map(images.__getitem__, range(len(images))))),
        }


def table(found: dict[str, Any]) -> str:
    """What a task takes on average, and what all of them take together, as Markdown."""
    columns: dict[str, list[str]] = {}
    for benchmark, one in found["benchmarks"].items():
        own, real = one["generated"], pd.DataFrame(one["real"])
        count = len(real)
        each, every = real.mean(), real.sum()
        columns[f"{benchmark}: a task"] = [
            f"{own['images']:.0f}",
            f"{own['generate_seconds']:.1f}",
            f"{own['mb']:.2f}",
            f"{own['generator_mb']:.1f}",
            *(f"{each[key]:{form}}" for key, form in _REAL.items()),
        ]
        columns[f"all {count}"] = [
            f"{own['images'] * count:,.0f}",
            f"{own['generate_seconds'] * count:.0f}",
            f"{own['mb']:.2f} (those of the last task)",
            f"{own['generator_mb']:.1f}",
            *(f"{every[key]:{form}}" for key, form in _REAL.items()),
        ]
    head = ["", *columns]
    lines = [head, ["---", *["---:"] * len(columns)], *zip(_LABELS, *columns.values(), strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_REAL = {"images": ",.0f", "mb": ".2f", "write_seconds": ".2f", "read_seconds": ".2f"}
_LABELS = (
    "generated images",
    "seconds to generate them",
    "their MB, until the task is learned",
    "MB of the generator, once",
    "real training images",
    "their MB, for good",
    "seconds to write them",
    "seconds to read them once",
)


def main(arguments: Sequence[str]) -> int:
    """Measure, or show what was measured; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--benchmarks", nargs="+", default=["micro-1", "micro-long"])
    parser.add_argument("--batches", type=int, default=4, help="of images that are generated")
    parser.add_argument("--tasks", type=int, help="only the first tasks of each benchmark")
    parser.add_argument("--out", type=Path, help="where the figures go as JSON")
    parser.add_argument("--show", type=Path, help="print the figures of a file")
    options = parser.parse_args(arguments)
    if options.show:
        print(table(read_json(options.show)))
        return 0
    torch.set_num_threads(1)
    report: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/storage.py", *arguments]),
        "environment": environment("cpu"),
        "benchmarks": {},
    }
    for benchmark in options.benchmarks:
        with tempfile.TemporaryDirectory() as folder:
            real = list(measure_real(benchmark, Path(folder), options.tasks))
        generated = measure_generated(benchmark, options.batches)
        report["benchmarks"][benchmark] = {"generated": generated, "real": real}
    print(table(report))
    if options.out:
        write_json(options.out, report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
