"""How well generated images cover real ones, measured in the features of an image encoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Features = NDArray[np.floating]
"""One row per image: [N, D]."""


def frechet_distance(a: Features, b: Features) -> float:
    """The Fréchet distance between two sets, each taken for a Gaussian (Heusel et al., 2017).

    ``|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`` with the sample covariances C; 0 for
    equal moments, symmetric, in the features' unit squared. Small sets look farther apart than they
    are, so compare only figures of equally many images, and more of them than D.

    Args:
        a: float [N, D].
        b: float [M, D].

    Raises:
        ValueError: fewer than two images in a set, or features of different width.
    """
    a, b = _checked(a, b, at_least=2)
    covariance_a, covariance_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # (C_a C_b)^(1/2) has the trace of (R C_b R)^(1/2) with R = C_a^(1/2), which is symmetric.
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    common = np.sqrt(np.linalg.eigvalsh(root @ covariance_b @ root).clip(min=0)).sum()
    apart = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return float(apart + np.trace(covariance_a) + np.trace(covariance_b) - 2 * common)


def precision_recall(real: Features, generated: Features, k: int = 3) -> tuple[float, float]:
    """How many generated images look real, and how many real ones could have been generated.

    A set's manifold is the union of the balls around its points that reach to the k-th nearest
    other point. Precision is the fraction of generated points in the manifold of the real ones,
    recall that of real points in the manifold of the generated ones (Kynkäänniemi et al., 2019).
    Compare only figures of equally many images.

    Args:
        real: float [N, D].
        generated: float [M, D].
        k: neighbours, from 1; the paper's is 3.

    Returns:
        Precision and recall, from 0 to 1.

    Raises:
        ValueError: a set of k images or fewer, k below 1, or features of different width.
    """
    if k < 1:
        raise ValueError(f"k = {k} must be 1 or more.")
    real, generated = _checked(real, generated, at_least=k + 1)
    between = cdist(real, generated)
    precise = between <= _radii(real, k)[:, None]
    covered = between <= _radii(generated, k)
    return float(precise.any(axis=0).mean()), float(covered.any(axis=1).mean())


def _radii(points: Features, k: int) -> Features:
    """The distance of every point to its k-th nearest other one: [N]."""
    distances: Features = np.partition(cdist(points, points), k, axis=1)[:, k]  # 0 is its own
    return distances


def _checked(a: Features, b: Features, *, at_least: int) -> tuple[Features, Features]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features must be [N, D] with one D; got {a.shape} and {b.shape}.")
    if min(len(a), len(b)) < at_least:
        raise ValueError(f"{at_least} images or more are needed; got {len(a)} and {len(b)}.")
    return a.astype(np.float64), b.astype(np.float64)
