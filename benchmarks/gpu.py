"""Training, generation and evaluation on a GPU: images per second, and times the published.

Weights are random, since they change no time, so nothing is downloaded. Every figure is the best
wall time of several rounds on a device that has nothing else to do.

    python benchmarks/gpu.py --out results/bench/gpu.json
    python benchmarks/gpu.py --device cpu --model tiny --backend aot_eager   # does everything run?
    python benchmarks/gpu.py --show results/bench/gpu.json
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import measured
import torch
from measured import CLASSES, Subject
from transformers.utils import logging

from gift.files import read_json, write_json
from gift.runs import environment
from gift.vlm import encode_all_images


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        what: was done.
        seconds: of the best round; None where it could not be done.
        images: that went through it.
        against: images per second of what it is compared with, where there is such a thing.
        peak_mb: largest memory that torch held on the GPU, in MiB.
        note: why there are no seconds.
    """

    what: str
    seconds: float | None
    images: int
    against: float | None = None
    peak_mb: float | None = None
    note: str = ""

    @property
    def rate(self) -> float | None:
        """Images per second."""
        return self.images / self.seconds if self.seconds else None


@dataclass(frozen=True)
class Clock:
    """Measures tasks on a device.

    Attributes:
        device: which has to be finished with a task before its time is taken.
        rounds: measurements, of which the best counts; three more come before them.
    """

    device: torch.device
    rounds: int

    def row(
        self,
        what: str,
        images: int,
        make: Callable[[], Callable[[], object]],
        against: Row | None = None,
    ) -> Row:
        """The line of the task that ``make`` gets ready."""
        print(f"{what} ...", file=sys.stderr, flush=True)
        than = against.rate if against else None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            seconds = self.best(make())
        except torch.OutOfMemoryError:
            return Row(what, None, images, than, note="out of memory")
        except ValueError as error:
            return Row(what, None, images, than, note=str(error))
        on_gpu = self.device.type == "cuda"
        peak = round(torch.cuda.max_memory_allocated() / 2**20, 1) if on_gpu else None
        return Row(what, seconds, images, than, peak)

    def best(self, task: Callable[[], object]) -> float:
        """Seconds of the best round, after some in which kernels are made and chosen."""
        for _ in range(3):
            task()
        return min(self.once(task) for _ in range(self.rounds))

    def once(self, task: Callable[[], object]) -> float:
        """Seconds of one round."""
        self.finish()
        started = time.perf_counter()
        task()
        self.finish()
        return time.perf_counter() - started

    def finish(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def steps(clock: Clock, subject: Subject, images: int, backend: str) -> Iterator[Row]:
    """Training steps of as many images of the task as synthetic ones, for each way."""
    variants = {
        "ours": (False, None),
        "ours, compiled": (False, backend),
        "ours, bf16": (True, None),
        "ours, bf16, compiled": (True, backend),
    }
    for classes in CLASSES:
        name = f"step, {images} + {images} images, {classes} classes"
        make = measured.sides(subject, classes, images, device=clock.device)["published"]
        first = clock.row(f"{name}, published", 2 * images, make)
        yield first
        for variant, (half, compiler) in variants.items():
            make = measured.sides(
                subject, classes, images, device=clock.device, half=half, backend=compiler
            )["ours"]
            yield clock.row(f"{name}, {variant}", 2 * images, make, first)


def generation(clock: Clock, model: str, denoising: int, batches: Sequence[int]) -> Iterator[Row]:
    """Images generated at several batch sizes, against the first; the library's generator."""
    from full_size import architecture, write_models  # they need diffusers

    from gift.synthesis import DiffusersGenerator

    side = 16 if model == "tiny" else 512
    with tempfile.TemporaryDirectory() as name:
        write_models(architecture(model, side), Path(name), side)
        first = None
        for size in batches:
            generator = DiffusersGenerator(
                Path(name) / "pipeline", steps=denoising, device=clock.device, batch_size=size
            )
            generator.load()
            prompts, seeds = ["a photo of a fox."] * size, list(range(size))
            row = clock.row(
                f"generation in {denoising} steps, {size} at a time",
                size,
                lambda g=generator, p=prompts, s=seeds: lambda: g.generate(p, s),
                first,
            )
            generator.release()
            yield row
            first = first or row


def evaluation(clock: Clock, subject: Subject, images: int) -> Iterator[Row]:
    """Features of test images, decoded each time and from the cache."""
    model = measured.as_ours(measured.make_towers(subject.sizes, subject.tokenizer), subject)
    model.to(clock.device).eval()
    with tempfile.TemporaryDirectory() as name:
        decoded, cached = measured.photos(Path(name), model, images)
        first = clock.row(
            "evaluation, images decoded",
            images,
            lambda: lambda: encode_all_images(model, decoded),
        )
        yield first
        yield clock.row(
            "evaluation, from the cache",
            images,
            lambda: lambda: encode_all_images(model, cached),
            first,
        )


def measure(options: argparse.Namespace) -> list[Row]:
    """All lines."""
    clock, subject = (
        Clock(torch.device(options.device), options.rounds),
        Subject.load(options.model),
    )
    rows = list(steps(clock, subject, options.images, options.backend))
    rows += evaluation(clock, subject, options.evaluate)
    if importlib.util.find_spec("diffusers"):
        rows += generation(clock, options.model, options.steps, options.batch_size)
    else:
        rows.append(Row("generation", None, 0, note="diffusers is not installed"))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    lines = [
        "| what | ms | images/s | times the first | peak on the GPU (MiB) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        if row.seconds is None or row.rate is None:
            cells = [row.note.replace("|", "/"), "", "", ""]
        else:
            cells = [
                f"{1e3 * row.seconds:.1f}",
                f"{row.rate:.1f}",
                f"{row.rate / row.against:.2f}" if row.against else "",
                "" if row.peak_mb is None else f"{row.peak_mb:.0f}",
            ]
        lines.append(f"| {' | '.join([row.what, *cells])} |")
    return "\n".join(lines) + "\n"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    models = sorted(path.stem for path in measured.MODELS.glob("*.yaml"))
    add("--device", default="cuda", choices=["cuda", "cpu"], help="where to measure")
    add("--model", default="base", choices=models, help="architecture, in benchmarks/models")
    add("--images", type=int, default=64, help="images per step of the task; as many synthetic")
    add("--backend", default="inductor", help="of torch.compile")
    add("--evaluate", type=int, default=2048, help="test images")
    add("--steps", type=int, default=50, help="denoising steps")
    add("--batch-size", type=int, nargs="+", default=[1, 4, 8, 16, 32], help="images at a time")
    add("--rounds", type=int, default=5, help="measurements of each line, of which the best counts")
    add("--out", type=Path, help="file of the report, JSON")
    add("--show", type=Path, metavar="FILE", help="print the table of a report and do nothing else")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure and print, or print; returns the exit status."""
    options = parse(arguments)
    if options.show:
        print(markdown([Row(**row) for row in read_json(options.show)["rows"]]), end="")
        return 0
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            "torch sees no GPU here; to see whether everything runs without one, "
            "give --device cpu --model tiny.",
            file=sys.stderr,
        )
        return 2
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    rows = measure(options)
    hidden = {"out", "show"}
    machine = environment(options.device)
    if options.device == "cuda":
        machine["gpu"] = torch.cuda.get_device_name()
    report = {
        "command": f"python benchmarks/gpu.py {shlex.join(arguments)}".strip(),
        "settings": {key: value for key, value in vars(options).items() if key not in hidden},
        "machine": machine,
        "rows": [asdict(row) for row in rows],
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, json.loads(json.dumps(report)))
    print(markdown(rows), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
