"""The pool of prompts, and the plan of which images are generated from it before a task.

Wu et al., "Synthetic Data is an Elegant GIFT for Continual Vision-Language Models", section 3.2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gift.data.labels import LabelSpace
from gift.text import fill


@dataclass(frozen=True)
class PlannedImage:
    """Image ``index`` (from 1) of a set: its prompt and the seed of its noise."""

    index: int
    prompt: str
    seed: int


def build_pool(
    base: Sequence[str],
    seen: Sequence[LabelSpace],
    *,
    base_template: str = "a photo of a {}.",
    plain_template: bool = False,
    templates: Mapping[str, str] = MappingProxyType({}),
    exclude: Collection[str] = (),
) -> tuple[str, ...]:
    """The prompts that task t samples from: general class names and those of tasks 1 .. t-1.

    It is a multiset: a name that several lists share counts once in each of them. Every task's
    class names are put into its own first template.

    Args:
        base: general class names, repeated ones included.
        seen: label spaces learned so far, *without* that of the task about to be learned.
        base_template: template of the general names.
        plain_template: put the tasks' class names into ``base_template`` too, as the paper prints,
            with spaces in place of underscores.
        templates: other templates than their first one, by the name of the task.
        exclude: class names to skip wherever they stand, and names of tasks whose prompts are
            skipped; a class name that other tasks or the general names share stays there.
    """
    out = set(exclude)
    prompts = [fill(base_template, name) for name in base if name not in out]
    for labels in seen:
        if labels.name not in out:
            template = templates.get(labels.name, labels.templates[0])
            template = base_template if plain_template else template
            own = [name for name in labels.classnames if name not in out]
            readable = [name.replace("_", " ") for name in own] if plain_template else own
            prompts += [fill(template, name) for name in readable]
    return tuple(prompts)


def plan(
    pool: Sequence[str], *, task_index: int, count: int, seed: int = 42, balanced: bool = False
) -> list[PlannedImage]:
    """Sample prompts uniformly with replacement; smaller sets are prefixes of larger ones.

    Image j of task t (both from 1) has the seed j + 100000 (t - 2) + 10^7 G, where G is ``seed``.

    Args:
        pool: prompts, see :func:`build_pool`.
        task_index: t, from 1.
        count: number of images.
        seed: G, from 0.
        balanced: take the prompts in turn, in a random order, instead of sampling them.

    Raises:
        ValueError: an empty pool, or a number out of range.
    """
    if not pool:
        raise ValueError("no class names to generate from: give general class names, at least one.")
    if task_index < 1 or count < 1 or seed < 0:
        raise ValueError(
            f"task_index = {task_index} and count = {count} must be 1 or more, seed = {seed} 0 or "
            "more."
        )
    # Deviation: the sampler is seeded per task, where the published one runs on through all tasks,
    # so that sets of different size are nested at every task (docs/synthesis.md).
    rng = np.random.default_rng([seed, task_index, *b"prompts"])
    first_seed = 100_000 * (task_index - 2) + 10**7 * seed
    if balanced:
        choices = np.resize(rng.permutation(len(pool)), count)
    else:
        choices = rng.integers(len(pool), size=count)
    return [
        PlannedImage(index, pool[choice], first_seed + index)
        for index, choice in enumerate(choices.tolist(), start=1)
    ]
