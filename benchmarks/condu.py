"""ConDU's cost of prediction, storage and merging, against the number of tasks and of voters.

A CLIP of the chosen architecture with random weights gets random task vectors and prototypes, which
change no time. Predictions run on one thread; process CPU time counts, the best of several rounds.
The images of a batch are of one data set, and choose the same tasks; or mixed, so that a batch
needs the models of all tasks.

    OMP_NUM_THREADS=1 python benchmarks/condu.py --out results/bench/condu.json
    python benchmarks/condu.py --show results/bench/condu.json
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from measured import Subject, as_ours, make_towers
from torch import Tensor
from torch.nn import functional as F

from gift.data.labels import LabelSpace
from gift.files import read_json, write_json
from gift.methods.merged_models import MergedModels, MergedModelSettings
from gift.runs import environment
from gift.vlm import VisionLanguageModel

Row = dict[str, float]
"""What was measured for a number of tasks."""

COLUMNS = {
    "tasks": "tasks",
    "kept": "kept beside the model (MB)",
    "merging": "merging the last task (s)",
    "given": "task given",
    "one": "hidden, K = 1",
    "same": "hidden, K = 4",
    "mixed": "hidden, K = 4, mixed batch",
    "rebuilding": "the same, memory for one rebuilt model",
    "memory": "memory of all rebuilt models (MB)",
}


def merged(model: VisionLanguageModel, tasks: int) -> tuple[MergedModels, float]:
    """Random task vectors, merged, and the seconds that the last one took."""
    found, seconds = MergedModels(MergedModelSettings()), 0.0
    generator = torch.Generator().manual_seed(0)
    for _ in range(tasks):
        vector = [
            (name, 1e-3 * torch.randn(parameter.shape, generator=generator))
            for name, parameter in model.trainable_parameters().items()
        ]
        started = time.process_time()
        found.vectors.add(vector)
        seconds = time.process_time() - started
    return found, seconds


def prototypes(features: Tensor, tasks: int, *, mixed: bool) -> dict[str, Tensor]:
    """Three prototypes for each task, unit rows.

    Args:
        features: of the images, [B, D].
        tasks: how many.
        mixed: image i is nearest to task i modulo ``tasks``; else all to the same tasks.
    """
    noise = torch.Generator().manual_seed(1)
    found = {}
    for task in range(tasks):
        rows = torch.randn(3, features.shape[1], generator=noise)
        near = features[task::tasks] if mixed else features[:1]
        if len(near):
            rows = near.mean(dim=0) * (1 if mixed else tasks - task) + 1e-3 * rows
        found[f"task {task}"] = F.normalize(rows, dim=-1)
    return found


def images_per_second(work: Callable[[], object], images: int, rounds: int) -> float:
    """By process CPU time, in the best of several rounds after one that prepares."""
    work()
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return images / min(seconds)


@torch.no_grad()
def rows(
    model: VisionLanguageModel, labels: LabelSpace, options: argparse.Namespace
) -> Iterator[Row]:
    """One row per number of tasks."""
    size = model.preprocess.size
    pixels = torch.randn(options.batch, 3, size, size, generator=torch.Generator().manual_seed(2))
    features = model.encode_images(pixels)
    weights = sum(p.nbytes for p in model.trainable_parameters().values())
    for tasks in options.tasks:
        found, merging = merged(model, tasks)

        def rate(
            voters: int = 1,
            *,
            mixed: bool = False,
            cache_mb: int = 10**9,
            task: str | None = None,
            merged: MergedModels = found,
        ) -> float:
            settings = MergedModelSettings(voters=voters, cache_mb=cache_mb)
            chosen = MergedModels(settings)
            chosen.vectors = merged.vectors
            chosen.selector.prototypes = prototypes(features, len(merged.vectors), mixed=mixed)
            predictor = chosen.predictor(model, model.frozen_copy())
            return images_per_second(
                lambda: predictor.scores(pixels, [labels], task), len(pixels), options.rounds
            )

        found.selector.prototypes = prototypes(features, tasks, mixed=False)
        yield {
            "tasks": tasks,
            "kept": sum(tensor.nbytes for tensor in found.state_dict().values()) / 1e6,
            "merging": merging,
            "given": rate(task="task 0"),
            "one": rate(1),
            "same": rate(4),
            "mixed": rate(4, mixed=True),
            "rebuilding": rate(4, mixed=True, cache_mb=0),
            "memory": tasks * weights / 1e6,
        }


def markdown(report: Mapping[str, Any]) -> str:
    """The measured rows as one table; what has no unit is images per second."""
    lines = [f"| {' | '.join(COLUMNS.values())} |", "|" + " ---: |" * len(COLUMNS)]
    lines += [f"| {' | '.join(_figure(row[key]) for key in COLUMNS)} |" for row in report["rows"]]
    return "\n".join(lines) + "\n"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="base", help="a file in benchmarks/models")
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 4, 11, 22])
    parser.add_argument("--classes", type=int, default=10, help="that compete for every image")
    parser.add_argument("--batch", type=int, default=16, help="images")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the figures go as JSON")
    parser.add_argument("--show", type=Path, help="print the figures of a file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure, or show what was measured."""
    options = parse(arguments)
    if options.show:
        print(markdown(read_json(options.show)))
        return 0
    torch.set_num_threads(1)
    subject = Subject.load(options.model)
    model = as_ours(make_towers(subject.sizes, subject.tokenizer), subject).eval()
    labels = LabelSpace("classes", tuple(subject.names[: options.classes]), ("a photo of a {}.",))
    report = {
        "model": options.model,
        "batch": options.batch,
        "classes": options.classes,
        "threads": torch.get_num_threads(),
        "command": shlex.join(["python", "benchmarks/condu.py", *arguments]),
        "environment": environment("cpu"),
        "rows": [],
    }
    for row in rows(model, labels, options):
        report["rows"].append(row)
        print(row, file=sys.stderr)
    print(markdown(report))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
