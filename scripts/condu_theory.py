"""Measure two claims of ConDU's theory on random task vectors and on those of the micro benchmark.

The claims are in docs/methods/condu_theory.md: merging an unchanged set of task vectors again and
again comes to rest, and one more task changes the vectors of the others less and less. The numbers
go to results/theory/condu.json, their picture to docs/images/condu-theory.png. Task vectors of the
micro benchmark are those of a run of finetune_individual, which is made where it is missing.

    python scripts/condu_theory.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors.torch import load_file
from torch import Tensor

from gift import benchmark as experiment
from gift.files import read_json, write_json
from gift.report import style
from gift.runs import RunFolder, environment
from gift.studies import default_folder
from gift.weights.merging import Rescaler, UnifiedVectors, decouple, rescale, task_mask, unify

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "theory" / "condu.json"
PICTURE = ROOT / "docs" / "images" / "condu-theory.png"
RESCALERS: tuple[Rescaler, ...] = get_args(Rescaler)
SEEDS = (0, 1, 2)
TASKS = 32  # random ones, for the second claim
REPEATED = 11  # tasks that are merged again and again, for the first
ROUNDS = 100
SHOWN_ROUNDS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100)
DOTS = (0, (1, 1.5))
SHAPES = {"wide": (96, 128), "narrow": (128, 32), "bias": (128,)}
SCALES = {"wide": 1.0, "narrow": 0.4, "bias": 0.1}  # as in a network, tensors differ in size

Vector = dict[str, Tensor]
Vectors = list[Vector]


def normal(tasks: int, seed: int) -> Vectors:
    """Vectors whose elements are independent and normal."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(name: str) -> Tensor:
        values = torch.randn(SHAPES[name], generator=generator, dtype=torch.float64)
        return SCALES[name] * values

    return [{name: drawn(name) for name in SHAPES} for _ in range(tasks)]


def correlated(tasks: int, seed: int) -> Vectors:
    """Normal vectors, any two of which have a correlation of one half."""
    common, *own = normal(tasks + 1, seed)
    return [{name: (common[name] + v[name]) / 2**0.5 for name in v} for v in own]


def sparse(tasks: int, seed: int) -> Vectors:
    """One element in ten is not zero, and of Student's t distribution with two degrees."""
    numerators, above, below, gates = (normal(tasks, 10 * seed + part) for part in range(4))
    threshold = torch.special.ndtri(torch.tensor(0.9, dtype=torch.float64))

    def element(name: str, task: int) -> Tensor:
        squares = above[task][name] ** 2 + below[task][name] ** 2
        gate = gates[task][name] > threshold * SCALES[name]
        return torch.where(gate, SCALES[name] * numerators[task][name] / (squares / 2).sqrt(), 0.0)

    return [{name: element(name, task) for name in SHAPES} for task in range(tasks)]


def tuned() -> RunFolder:
    """The run that fine-tunes the small model on each task of order I, made where missing."""
    config = experiment.resolve("micro-1", "finetune_individual")
    folder = RunFolder(default_folder(config, ROOT / "runs"))
    if not folder.done:
        print(f"finetune_individual learns eleven tasks, in {folder.path}", flush=True)
        experiment.run(config, folder.path, command="python scripts/condu_theory.py")
    return folder


def tiny_world(folder: RunFolder) -> Vectors:
    """What fine-tuning changed of the weights, task by task."""
    weights: dict[str, Vector] = {}
    for key, tensor in load_file(folder.learner / "method.safetensors").items():
        task, _, name = key.rpartition("/")
        weights.setdefault(task, {})[name] = tensor.double()
    start = weights.pop("")
    matrix = folder.read_matrix()
    assert matrix is not None, "the run is done"
    return [{name: weights[task][name] - start[name] for name in start} for task in matrix.tasks]


def shuffled(vectors: Vectors, seed: int) -> Vectors:
    """The vectors in another order; with seed 0 in their own."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(vectors), generator=generator).tolist()
    return [vectors[i] for i in order] if seed else vectors


def change(new: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> float:
    """How far a vector went: sum of |new - old| over that of |old|."""
    moved = sum(float((new[name] - old[name]).abs().sum()) for name in old)
    return moved / sum(float(tensor.abs().sum()) for tensor in old.values())


@dataclass(frozen=True)
class Merged:
    """Task vectors merged at once.

    Attributes:
        unified: the vector of all.
        masks: each task's.
        scales: each task's.
        rebuilt: each task's vector as the merging gives it back.
    """

    unified: Vector
    masks: Vectors
    scales: Sequence[float]
    rebuilt: Vectors


def merge(vectors: Vectors, rescaler: Rescaler) -> Merged:
    """Unify, then decouple with each task's mask and scale."""
    unified = {name: unify([vector[name] for vector in vectors]) for name in vectors[0]}
    masks = [{name: task_mask(own[name], unified[name]) for name in own} for own in vectors]
    scales = [rescale(own, unified, rescaler) for own in vectors]
    rebuilt = [
        {name: decouple(unified[name], mask[name], scale) for name in mask}
        for mask, scale in zip(masks, scales, strict=True)
    ]
    return Merged(unified, masks, scales, rebuilt)


def merge_again(vectors: Vectors, rescaler: Rescaler) -> Iterator[Merged]:
    """What one merging rebuilds is merged once more, without end."""
    while True:
        merged = merge(vectors, rescaler)
        yield merged
        vectors = merged.rebuilt


@dataclass(frozen=True)
class Round:
    """What one more merging of the same tasks did.

    Attributes:
        change: of the rebuilt vectors, see :func:`change`, the mean over the tasks; in the first
            round from the tasks' own vectors.
        flipped: mask bits that are not what they were, of all tasks.
        growth: the largest factor by which an element of the unified vector grew.
        smallest: of the scales.
        largest: of the scales.
    """

    change: float
    flipped: int
    growth: float
    smallest: float
    largest: float


def rounds(vectors: Vectors, rescaler: Rescaler, count: int) -> list[Round]:
    """The first claim: the same tasks are merged again and again."""
    found: list[Round] = []
    before: Merged | None = None
    for merged in islice(merge_again(vectors, rescaler), count):
        old = before.rebuilt if before else vectors
        found.append(
            Round(
                fmean(map(change, merged.rebuilt, old)),
                sum(map(_different, merged.masks, before.masks)) if before else 0,
                _growth(merged.unified, before.unified) if before else 1.0,
                min(merged.scales),
                max(merged.scales),
            )
        )
        before = merged
    return found


@dataclass(frozen=True)
class Arrival:
    """What one more task did to those merged before; each value is a mean over them.

    Attributes:
        change: of their rebuilt vectors, see :func:`change`.
        lost: share of their mask bits.
        off_own: how far they are now from the tasks' own vectors, see :func:`change`.
    """

    change: float
    lost: float
    off_own: float

    @classmethod
    def of(cls, own: Vectors, before: Merged, after: Merged) -> Arrival:
        return cls(
            fmean(change(n, o) for n, o in zip(after.rebuilt, before.rebuilt, strict=False)),
            fmean(_lost(n, o) for n, o in zip(after.masks, before.masks, strict=False)),
            fmean(change(n, o) for _, n, o in zip(before.masks, after.rebuilt, own, strict=False)),
        )


def arrivals(vectors: Vectors, rescaler: Rescaler) -> list[Arrival]:
    """The second claim: the tasks come one by one, as ConDU merges them.

    Returns:
        One entry for each task but the first.
    """
    stages = (_state(merged) for merged in _one_by_one(vectors, rescaler))
    return [Arrival.of(vectors, before, after) for before, after in pairwise(stages)]


def arrivals_at_once(vectors: Vectors, rescaler: Rescaler) -> list[Arrival]:
    """The same, but at every arrival the own vectors of all tasks are there to be merged."""
    stages = (merge(vectors[:count], rescaler) for count in range(1, len(vectors) + 1))
    return [Arrival.of(vectors, before, after) for before, after in pairwise(stages)]


def _one_by_one(vectors: Vectors, rescaler: Rescaler) -> Iterator[UnifiedVectors]:
    merged = UnifiedVectors(rescaler)
    for vector in vectors:
        merged.add(vector.items())
        yield merged


def _state(merged: UnifiedVectors) -> Merged:
    tasks, names = range(len(merged)), merged.unified
    masks = [{name: merged.mask(task, name) for name in names} for task in tasks]
    return Merged(dict(names), masks, merged.scales, [merged.rebuilt(task) for task in tasks])


def _different(new: Vector, old: Vector) -> int:
    return sum(int((new[name] != old[name]).sum()) for name in old)


def _lost(new: Vector, old: Vector) -> float:
    lost = sum(int((old[name] & ~new[name]).sum()) for name in old)
    return lost / sum(int(mask.sum()) for mask in old.values())


def _growth(new: Vector, old: Vector) -> float:
    """Elements that are zero stay so, and do not count."""
    factors = (new[name].abs() / old[name].abs() for name in old)
    return max(float(factor.nan_to_num(nan=0.0).max()) for factor in factors)


def measured(sets: Sequence[Vectors], reordered: bool = False) -> dict[str, Any]:
    """Both claims on several sets of task vectors, by rescaler.

    Args:
        sets: of as many vectors.
        reordered: the sets are one in several orders, which does not matter to the first claim.
    """
    first = sets[:1] if reordered else sets
    return {
        "tasks": len(sets[0]),
        "elements": sum(tensor.numel() for tensor in sets[0][0].values()),
        "orders" if reordered else "seeds": len(sets),
        "merged_again": {rescaler: _merged_again(first, rescaler) for rescaler in RESCALERS},
        "one_more": {rescaler: _one_more(sets, rescaler, arrivals) for rescaler in RESCALERS},
        "one_more_at_once": {
            rescaler: _one_more(sets, rescaler, arrivals_at_once) for rescaler in RESCALERS
        },
    }


def _merged_again(sets: Sequence[Vectors], rescaler: Rescaler) -> dict[str, Any]:
    runs = [rounds(vectors[:REPEATED], rescaler, ROUNDS) for vectors in sets]
    later = [one for run in runs for one in run[2:]]
    return {
        "tasks": REPEATED,
        "change": {n: _short(fmean(run[n - 1].change for run in runs)) for n in SHOWN_ROUNDS},
        "flipped_bits": sum(one.flipped for run in runs for one in run),
        "largest_growth_after_round_2": max(one.growth for one in later),
        "largest_scale_after_round_1": max(one.largest for run in runs for one in run[1:]),
        "smallest_scale_in_the_end": _short(min(run[-1].smallest for run in runs)),
    }


def _one_more(
    sets: Sequence[Vectors], rescaler: Rescaler, arrive: Callable[..., list[Arrival]]
) -> dict[str, list[float]]:
    """Means over the sets; the n-th value is that of one task after n."""
    by_count = list(zip(*(arrive(vectors, rescaler) for vectors in sets), strict=True))
    return {
        key: [_short(fmean(getattr(one, key) for one in same)) for same in by_count]
        for key in ("change", "lost", "off_own")
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def picture(found: Mapping[str, Any], rescaler: Rescaler) -> Figure:
    """Both claims, a colour per kind of vectors."""
    figure = Figure(figsize=(10, 3.7), layout="constrained")
    again, changed, lost = figure.subplots(1, 3)
    for index, (name, one) in enumerate(found.items()):
        color, marker, _ = style.series(index)
        curve = one["merged_again"][rescaler]["change"]
        again.plot(
            [int(number) for number in curve],
            list(curve.values()),
            color=color,
            marker=marker,
            markersize=3.5,
            label=name,
        )
        for kind, dash in (("one_more", "-"), ("one_more_at_once", DOTS)):
            steps = one[kind][rescaler]
            merged = range(1, len(steps["change"]) + 1)
            changed.plot(merged, steps["change"], color=color, linestyle=dash)
            lost.plot(merged, steps["lost"], color=color, linestyle=dash)
    again.set_xscale("log")
    again.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    for axes in (again, lost):
        axes.set_yscale("log")
    again.set_ylim(bottom=1e-12)
    again.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}")
    lost.set_ylim(bottom=1e-4)
    changed.set_ylim(bottom=0)
    for axes in (changed, lost):
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    _named(again, f"{REPEATED} tasks, merged again", "round", "change of the vectors")
    _named(changed, "One more task: vectors", "tasks before it", "change of their vectors")
    _named(lost, "One more task: masks", "tasks before it", "mask bits lost of theirs")
    for label, dash in (("one after the other", "-"), ("all at once", DOTS)):
        again.plot([], [], color=style.MUTED, linestyle=dash, label=label)
    figure.legend(loc="outside upper left", ncols=len(found) + 2, fontsize=9)
    return figure


def _named(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.minorticks_off()
    style.only_horizontal_grid(axes)


def main() -> None:
    """Measure, write the numbers and draw them."""
    run = tuned()
    own = tiny_world(run)
    random = {"normal": normal, "correlated": correlated, "sparse, heavy tails": sparse}
    found = {}
    for name, draw in random.items():
        print(f"{name}: {TASKS} task vectors, {len(SEEDS)} seeds", flush=True)
        found[name] = measured([draw(TASKS, seed) for seed in SEEDS])
    print(f"micro benchmark: {len(own)} task vectors, {len(SEEDS)} orders", flush=True)
    found["tiny world"] = measured([shuffled(own, seed) for seed in SEEDS], reordered=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        OUT,
        {
            "command": "python scripts/condu_theory.py",
            "vectors": found,
            "environment": environment("cpu"),
            "environment_of_the_run": read_json(run.path / "env.json"),
        },
    )
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    with style.drawing():
        picture(found, RESCALERS[0]).savefig(PICTURE, dpi=160, metadata={"Software": None})
    print(f"written: {OUT.relative_to(ROOT)}, {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
