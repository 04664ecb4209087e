"""What large runs would cost on GPUs: estimates, printed as the tables of a page.

Nothing here was measured on a GPU. Operations of ViT-B/16 are those counted in
results/bench/cpu.json; all else is stated below. docs/large-scale.md explains the formulas.

    python scripts/cost.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gift.data import load_dataset

COUNTED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "results" / "bench" / "cpu.json").read_text(encoding="utf-8")
)
MTIL = (
    *("aircraft", "caltech101", "cifar100", "dtd", "eurosat", "flowers"),
    *("food", "mnist", "oxfordpet", "stanfordcars", "sun397"),
)

# Assumed: an NVIDIA H200, from its data sheet, and the fraction of its peak that is reached.
HALF_PEAK, FLOAT_PEAK = 989e12, 67e12  # FLOP/s, dense: 16 bits on tensor cores; 32 bits
HALF_FRACTION, FLOAT_FRACTION = 0.3, 0.6
LINKS = {"NVLink, 450 GB/s": 450e9, "network, 50 GB/s": 50e9}  # bytes/s of one GPU, one direction

# Of a run, as published.
STEPS, BATCH, IMAGES = 1000, 64, 1000  # steps of a task, images of a stream, synthetic images
GENERATED = 84.4e12  # FLOP of an image of Stable Diffusion 1.5, 512 pixels, 50 steps
DECODED: float = COUNTED["parts"]["published test image"]  # seconds of a CPU core, 500 x 375 pixels

# Of what is stored.
PIXELS = 3 * 224**2  # bytes of an image in the pixel cache
PNG = 0.45e6  # bytes of a synthetic image, assumed

HOUR = 3600


@dataclass(frozen=True)
class Rate:
    """FLOP/s of the stages: generation in 16 bits, the rest as a precision says."""

    name: str
    steps: float
    features: float = FLOAT_PEAK * FLOAT_FRACTION
    generation: float = HALF_PEAK * HALF_FRACTION


RATES = (
    Rate("fp32", FLOAT_PEAK * FLOAT_FRACTION),
    Rate("bf16", HALF_PEAK * HALF_FRACTION),
)


@dataclass(frozen=True)
class Tasks:
    """A sequence of tasks.

    Attributes:
        count: T, the number of tasks.
        classes: mean number of a task's classes.
        tests: mean number of a task's test images.
    """

    count: int
    classes: float
    tests: float


@dataclass(frozen=True)
class Tower:
    """A transformer: its layers, width, width of the hidden layer and tokens of an input."""

    layers: int
    width: int
    hidden: int
    tokens: int

    @property
    def layer_weights(self) -> int:
        return 4 * self.width**2 + 2 * self.width * self.hidden

    @property
    def forward(self) -> float:
        """FLOP of an input: two for a weight and a token, and the products of attention."""
        attention = 4 * self.tokens**2 * self.width * self.layers
        return 2 * self.layers * self.layer_weights * self.tokens + attention


BIG_IMAGE = Tower(layers=48, width=1664, hidden=8192, tokens=257)
BIG_TEXT = Tower(layers=32, width=1280, hidden=5120, tokens=22)
BIG_TABLE = 49408 * 1280
BIG = sum(t.layers * t.layer_weights for t in (BIG_IMAGE, BIG_TEXT)) + BIG_TABLE
"""Weights of OpenCLIP's ViT-bigG/14, without the projections and other small tensors."""

KEPT = 60
"""Bytes kept for the backward pass of a token, layer and unit of width (104 MiB in ViT-B/16)."""


def mtil(count: int = len(MTIL)) -> Tasks:
    """The eleven tasks of MTIL, or ``count`` tasks that are like their mean."""
    entries = [load_dataset(name) for name in MTIL]
    classes = [len(entry.listed_names or ()) for entry in entries]
    tests = [entry.counts.test or 0 for entry in entries]
    return Tasks(count, sum(classes) / len(classes), sum(tests) / len(tests))


def operations(tasks: Tasks) -> dict[str, float]:
    """FLOP of a run's stages with ViT-B/16."""
    unit = COUNTED["operations"]
    classes: float = unit["prompts"]["1000"] / 1000
    step = 2 * BATCH * unit["image"] + tasks.classes * classes + unit["captions"]
    return {
        "generation": tasks.count * IMAGES * GENERATED,
        "teacher": tasks.count * IMAGES * (unit["image only"] + unit["captions only"] / 64),
        "steps": tasks.count * STEPS * step,
        "evaluation": (tasks.count + 1) * tasks.count * tasks.tests * unit["image only"],
    }


def gpu_hours(counted: Mapping[str, float], rate: Rate) -> dict[str, float]:
    """GPU-hours of stages from their FLOP."""
    rates = {"generation": rate.generation, "steps": rate.steps}
    return {
        stage: count / rates.get(stage, rate.features) / HOUR for stage, count in counted.items()
    }


def decoding_hours(tasks: Tasks) -> float:
    """Hours of a CPU core for the training images; test images are decoded once."""
    return tasks.count * (STEPS * BATCH + tasks.tests) * DECODED / HOUR


def stored(tasks: Tasks) -> dict[str, float]:
    """Bytes that a run leaves in the cache folder."""
    return {
        "synthetic images": tasks.count * IMAGES * PNG,
        "decoded images": tasks.count * (IMAGES + tasks.tests) * PIXELS,
    }


def big_operations(tasks: Tasks) -> dict[str, float]:
    """FLOP of a run's stages with ViT-bigG/14."""
    return {
        "generation": tasks.count * IMAGES * GENERATED,
        "teacher": tasks.count * IMAGES * (BIG_IMAGE.forward + BIG_TEXT.forward),
        "steps": tasks.count * STEPS * big_step(tasks.classes),
        "evaluation": (tasks.count + 1) * tasks.count * tasks.tests * BIG_IMAGE.forward,
    }


def big_memory(processes: int, *, shard: bool, checkpointing: bool) -> float:
    """Bytes that a GPU needs for a step of ViT-bigG/14, in float32.

    Weights, gradients, two moments, the anchor and the penalty's scratch are 24 bytes a weight.
    Sharded weights are gathered layer by layer: three groups as large as the largest, at most.
    """
    weights = 24 * BIG / (processes if shard else 1)
    gathered = 3 * 4 * BIG_TABLE if shard else 0
    layer = KEPT * BIG_IMAGE.tokens * BIG_IMAGE.width
    inputs = 4 * BIG_IMAGE.tokens * BIG_IMAGE.width * BIG_IMAGE.layers
    image = inputs + layer if checkpointing else BIG_IMAGE.layers * layer
    return weights + gathered + BATCH / processes * image


def big_step(classes: float) -> float:
    """FLOP of a step of ViT-bigG/14, each layer computed once more in the backward pass."""
    return 4 * (2 * BATCH * BIG_IMAGE.forward + (classes + BATCH) * BIG_TEXT.forward)


def big_traffic(processes: int, *, shard: bool) -> float:
    """Bytes that a GPU sends in a step of two losses.

    Sharded: weights are gathered twice and gradients scattered once for each loss. Else gradients
    are summed once for each, which sends them twice.
    """
    passes = 3 if shard else 2
    return 2 * passes * 4 * BIG * (processes - 1) / processes


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sequence_table() -> str:
    """Operations and GPU-hours of MTIL with two models."""
    lines: dict[str, Mapping[str, float]] = {}
    for model, counted in (
        ("ViT-B/16", operations(mtil())),
        ("ViT-bigG/14", big_operations(mtil())),
    ):
        lines[f"{model}, PFLOP"] = {stage: count / 1e15 for stage, count in counted.items()}
        for rate in RATES:
            lines[f"{model}, GPU-hours in {rate.name}"] = gpu_hours(counted, rate)
    rows = [
        [name, *(f"{value:.2f}" for value in line.values()), f"{sum(line.values()):.2f}"]
        for name, line in lines.items()
    ]
    return table(["", *operations(mtil()), "total"], rows)


def growth_table() -> str:
    """What 11, 100 and 1000 tasks cost, in bf16."""
    sequences = [mtil(count) for count in (11, 100, 1000)]
    hours = [gpu_hours(operations(tasks), RATES[1]) for tasks in sequences]
    names = [1000 + tasks.classes * (tasks.count - 1) for tasks in sequences]
    rows = [
        *([f"{stage}, GPU-hours", *(f"{h[stage]:.1f}" for h in hours)] for stage in hours[0]),
        ["decoding, CPU-hours", *(f"{decoding_hours(tasks):.1f}" for tasks in sequences)],
        ["class names in the pool before the last task", *(f"{count:.0f}" for count in names)],
        ["synthetic images per name then", *(f"{IMAGES / count:.3f}" for count in names)],
        *(
            [f"{what}, GB", *(f"{stored(tasks)[what] / 1e9:.0f}" for tasks in sequences)]
            for what in stored(sequences[0])
        ),
        ["accuracies in the matrix", *(f"{tasks.count**2}" for tasks in sequences)],
    ]
    return table(["", *(f"{tasks.count} tasks" for tasks in sequences)], rows)


def memory_table() -> str:
    """GB on each GPU for ViT-bigG/14."""
    counts = (1, 2, 4, 8, 16)
    rows = []
    for shard in (False, True):
        for checkpointing in (False, True):
            cells = [
                "–"
                if shard and count == 1
                else f"{big_memory(count, shard=shard, checkpointing=checkpointing) / 1e9:.0f}"
                for count in counts
            ]
            weights = "sharded" if shard else "whole"
            rows.append([f"{weights}, {'recomputed' if checkpointing else 'stored'}", *cells])
    return table(["weights, activations", *(f"{n} GPU{'s' * (n > 1)}" for n in counts)], rows)


def step_table() -> str:
    """Seconds of a step of ViT-bigG/14, computation and communication one after the other."""
    counts = (1, 2, 4, 8, 16)
    seconds = big_step(mtil().classes) / RATES[1].steps
    rows = [["computation, bf16", *(f"{seconds / count:.2f}" for count in counts)]]
    for shard in (False, True):
        for name, rate in LINKS.items():
            cells = [
                "–" if count == 1 else f"{big_traffic(count, shard=shard) / rate:.2f}"
                for count in counts
            ]
            rows.append(
                [f"communication, {'sharded' if shard else 'whole'} weights, {name}", *cells]
            )
    return table(["seconds of a step", *(f"{n} GPU{'s' * (n > 1)}" for n in counts)], rows)


def tables() -> dict[str, str]:
    """Every table of the page, by its heading."""
    return {
        "MTIL": sequence_table(),
        "More tasks, ViT-B/16": growth_table(),
        "ViT-bigG/14: GB on each GPU": memory_table(),
        "ViT-bigG/14: seconds of a step": step_table(),
    }


def main() -> None:
    """Print the tables."""
    print("Estimates; nothing was measured on a GPU.")
    for heading, text in tables().items():
        print(f"\n{heading}\n\n{text}")


if __name__ == "__main__":
    main()
