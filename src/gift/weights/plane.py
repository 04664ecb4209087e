"""The plane through three models in the space of their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Point = tuple[float, float]
"""Distances along the two directions of a plane."""


@dataclass(frozen=True)
class Plane:
    """The weights ``origin + x * first + y * second``, by name.

    Attributes:
        origin: weights of the point (0, 0).
        first: a direction of length 1, taken over all weights.
        second: another one, at a right angle to it.
        points: where the three models lie that the plane was laid through.
    """

    origin: Mapping[str, Tensor]
    first: Mapping[str, Tensor]
    second: Mapping[str, Tensor]
    points: tuple[Point, Point, Point]

    @torch.no_grad()
    def at(self, x: float, y: float) -> dict[str, Tensor]:
        """The weights of a point."""
        first, second = self.first, self.second
        return {k: w + x * first[k] + y * second[k] for k, w in self.origin.items()}


@torch.no_grad()
def plane_through(
    origin: Mapping[str, Tensor], one: Mapping[str, Tensor], other: Mapping[str, Tensor]
) -> Plane:
    """The plane through three models: Gram-Schmidt of the differences to the first.

    Garipov et al., "Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs" (2018), A.3.

    Args:
        origin: weights of the model at (0, 0).
        one: of a model on the positive first axis.
        other: of a model on the side of the positive second axis.

    Raises:
        ValueError: the models lie on one line, or have other weights.
    """
    shapes = [{name: w.shape for name, w in found.items()} for found in (origin, one, other)]
    if shapes[1] != shapes[0] or shapes[2] != shapes[0]:
        raise ValueError("no plane goes through models of different architectures.")
    u = {name: one[name] - weight for name, weight in origin.items()}
    v = {name: other[name] - weight for name, weight in origin.items()}
    length, whole = math.sqrt(_dot(u, u)), math.sqrt(_dot(v, v))
    if length > 0:
        u = {name: weight / length for name, weight in u.items()}
    along = _dot(u, v)
    v = {name: weight - along * u[name] for name, weight in v.items()}
    height = math.sqrt(_dot(v, v))
    if not length or height <= 1e-4 * whole:  # below, rounding would decide the direction
        raise ValueError("no plane goes through three models on one line; two may be the same.")
    v = {name: weight / height for name, weight in v.items()}
    return Plane(origin, u, v, ((0.0, 0.0), (length, 0.0), (along, height)))


def _dot(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The inner product over all weights, in double precision."""
    return sum(
        float((weight.double() * other[name].double()).sum()) for name, weight in one.items()
    )
