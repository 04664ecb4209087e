"""Weights by name: copies, exchanges and averages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def snapshot(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Detached copies of the parameters: the anchor of a penalty."""
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


class RunningMean:
    """The plain mean of weights seen at several moments (ZSCL's weight ensemble).

    Args:
        parameters: the first weights of the mean.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self._mean = snapshot(parameters)
        self._count = 1

    @torch.no_grad()
    def add(self, parameters: Mapping[str, Tensor]) -> None:
        """Take one more moment into the mean."""
        self._count += 1
        for name, mean in self._mean.items():
            mean.lerp_(parameters[name], 1 / self._count)

    @property
    def value(self) -> dict[str, Tensor]:
        """The mean by name."""
        return self._mean

    @property
    def count(self) -> int:
        """How many moments are in the mean."""
        return self._count

    def restore(self, mean: Mapping[str, Tensor], count: int) -> None:
        """Go on from an earlier mean of ``count`` moments."""
        assign(self._mean, mean)
        self._count = count


@torch.no_grad()
def assign(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Copy weights into the parameters, in place."""
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])


@torch.no_grad()
def interpolate(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """``share * first + (1 - share) * second`` by name (WiSE-FT); exact at 0 and 1."""
    return {name: second[name].lerp(tensor.detach(), share) for name, tensor in first.items()}


@contextmanager
def holding(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Let the parameters hold other weights while the block runs."""
    own = snapshot(parameters)
    assign(parameters, weights)
    try:
        yield
    finally:
        assign(parameters, own)
