"""Penalties on weights, averaging and merging of weights.

Pure functions on named tensors: they know neither models nor methods nor data, and serve in any
loop.
"""

from gift.weights.averaging import (
    RunningMean,
    assign,
    holding,
    interpolate,
    snapshot,
    with_prefix,
    without_prefix,
)
from gift.weights.merging import Rescaler, UnifiedVectors
from gift.weights.penalties import (
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

__all__ = [
    "FLOOR",
    "Groups",
    "Normalization",
    "Rescaler",
    "RunningMean",
    "UnifiedVectors",
    "adaptive_fisher",
    "add_adaptive_gradient",
    "add_l2_gradient",
    "add_weighted_gradient",
    "assign",
    "empirical_fisher",
    "holding",
    "interpolate",
    "mean_fisher",
    "normalization_groups",
    "snapshot",
    "with_prefix",
    "without_prefix",
]
