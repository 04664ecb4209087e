"""Pulls towards weights, averages of weights and merging of weights.

Pure functions on named tensors: they know neither models nor methods nor data, and serve in any
loop.
"""

from gift.consolidation.penalties import (
    FLOOR,
    Groups,
    Normalization,
    adaptive_fisher,
    add_adaptive_gradient,
    add_l2_gradient,
    add_weighted_gradient,
    empirical_fisher,
    mean_fisher,
    normalization_groups,
)
from gift.consolidation.weights import RunningMean, holding, interpolate, put, snapshot

__all__ = [
    "FLOOR",
    "Groups",
    "Normalization",
    "RunningMean",
    "adaptive_fisher",
    "add_adaptive_gradient",
    "add_l2_gradient",
    "add_weighted_gradient",
    "empirical_fisher",
    "holding",
    "interpolate",
    "mean_fisher",
    "normalization_groups",
    "put",
    "snapshot",
]
