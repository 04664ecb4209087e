"""Snapshots, assignment, interpolation, running means and prefixes of named weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def snapshot(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Detached copies of the parameters: the anchor of a penalty."""
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


class RunningMean:
    """The running mean of the weights of several checkpoints (ZSCL's weight ensemble).

    Args:
        parameters: the first weights of the mean.

    Attributes:
        value: the mean by name.
        count: how many checkpoints are in it.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self.value = snapshot(parameters)
        self.count = 1

    @torch.no_grad()
    def add(self, parameters: Mapping[str, Tensor]) -> None:
        """Add one more checkpoint to the mean."""
        self.count += 1
        for name, mean in self.value.items():
            mean.lerp_(parameters[name], 1 / self.count)


@torch.no_grad()
def assign(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Copy weights into the parameters, in place."""
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])


@torch.no_grad()
def interpolate(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], ratio: float
) -> dict[str, Tensor]:
    """``ratio * first + (1 - ratio) * second`` by name (WiSE-FT); exact at 0 and 1."""
    return {name: second[name].lerp(tensor.detach(), ratio) for name, tensor in first.items()}


@contextmanager
def holding(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Give the parameters other weights while the block runs."""
    own = snapshot(parameters)
    assign(parameters, weights)
    try:
        yield
    finally:
        assign(parameters, own)


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as ``<prefix>/<name>``, for a state dictionary."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state dictionary that :func:`with_prefix` named."""
    start = f"{prefix}/"
    return {k.removeprefix(start): tensor for k, tensor in state.items() if k.startswith(start)}
