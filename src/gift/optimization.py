"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache

import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from gift.config import OptimizerName, ScheduleName


def make_optimizer(
    name: OptimizerName,
    parameters: Iterable[Tensor],
    *,
    learning_rate: float,
    weight_decay: float,
    momentum: float,
) -> torch.optim.Optimizer:
    """One of torch's optimisers.

    Args:
        name: ``adamw`` with betas 0.9 and 0.999, or ``sgd``.
        parameters: to train.
        learning_rate: > 0.
        weight_decay: >= 0; AdamW's is decoupled.
        momentum: of SGD, in [0, 1).
    """
    if name == "sgd":
        return torch.optim.SGD(
            parameters, lr=learning_rate, momentum=momentum, weight_decay=weight_decay, fused=True
        )
    return torch.optim.AdamW(
        parameters,
        lr=learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=weight_decay,
        fused=True,
    )


def learning_rate(
    schedule: ScheduleName, step: int, *, peak: float, warmup: int, iterations: int
) -> float:
    """The learning rate of a step.

    Args:
        schedule: linear warm-up to the peak and then half a ``cosine`` towards 0, a ``linear``
            decay towards 0 or a ``constant`` rate; or torch's ``one_cycle``, whose ascent takes as
            long as the warm-up.
        step: from 0.
        peak: the largest rate.
        warmup: steps of the ascent, fewer than ``iterations``.
        iterations: steps in all.

    >>> learning_rate("cosine", 0, peak=1.0, warmup=100, iterations=1000)
    0.01
    >>> learning_rate("cosine", 550, peak=1.0, warmup=100, iterations=1000)
    0.5
    >>> learning_rate("linear", 550, peak=1.0, warmup=100, iterations=1000)
    0.5
    """
    if schedule == "one_cycle":
        return peak * _one_cycle(warmup, iterations)[step]
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, iterations - warmup)
    return peak * _DECAYS[schedule](done)


_DECAYS: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done: 1 - done,
    "constant": lambda done: 1.0,
}
"""The fraction of the peak, by the fraction of the steps after the warm-up that are done."""


@cache
def _one_cycle(warmup: int, iterations: int) -> tuple[float, ...]:
    """The rates of torch's scheduler at a peak of 1, by step; it rises for two steps or more."""
    if iterations <= 2:
        return (1.0,) * iterations
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    rising = max(2, warmup) / iterations
    scheduler = OneCycleLR(
        optimizer, 1.0, total_steps=iterations, pct_start=rising, cycle_momentum=False
    )
    rates = []
    for step in range(iterations):
        rates.append(float(scheduler.get_last_lr()[0]))
        optimizer.step()
        if step + 1 < iterations:
            scheduler.step()
    return tuple(rates)
