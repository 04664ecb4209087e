"""The measures of coverage, against slow obvious versions and closed forms."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from gift_micro.quality import Features, frechet_distance, precision_recall


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def slow_frechet(a: Features, b: Features) -> float:
    """The formula as it is printed, with a general matrix square root."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return float(apart + np.trace(first + second - 2 * sqrtm(first @ second).real))


def slow_fraction(points: Features, manifold: Features, k: int) -> float:
    """The fraction of points that lie in a ball around some point of the manifold."""
    inside = 0
    for point in points:
        for i, centre in enumerate(manifold):
            others = np.delete(manifold, i, axis=0)
            radius = sorted(np.linalg.norm(other - centre) for other in others)[k - 1]
            if np.linalg.norm(point - centre) <= radius:
                inside += 1
                break
    return inside / len(points)


@pytest.mark.parametrize(("n", "m", "width"), [(50, 80, 6), (5, 7, 12), (30, 30, 1)])
def test_frechet_distance_is_the_printed_formula(
    n: int, m: int, width: int, rng: np.random.Generator
) -> None:
    a = rng.normal(size=(n, width)) @ rng.normal(size=(width, width))
    b = rng.normal(0.5, 2.0, size=(m, width))
    if width > 1:
        # Where a covariance has no full rank, the general square root is only nearly right.
        assert frechet_distance(a, b) == pytest.approx(slow_frechet(a, b), rel=1e-4)
    else:  # of one width: squared differences of means and of standard deviations
        gaps = a.mean() - b.mean(), a.std(ddof=1) - b.std(ddof=1)
        assert frechet_distance(a, b) == pytest.approx(sum(gap**2 for gap in gaps))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_frechet_distance_of_known_shifts(rng: np.random.Generator) -> None:
    a = rng.normal(size=(40, 5))
    shift = np.array([1.0, -2.0, 0.0, 0.5, 3.0])
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + shift) == pytest.approx((shift**2).sum())
    # Twice as wide about the same mean: the trace of the covariance is left.
    wide = a.mean(axis=0) + 2 * (a - a.mean(axis=0))
    assert frechet_distance(a, wide) == pytest.approx(np.trace(np.cov(a, rowvar=False)))


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_counted_ball_by_ball(k: int, rng: np.random.Generator) -> None:
    real, generated = rng.normal(size=(30, 4)), rng.normal(0.7, 0.6, size=(25, 4))
    precision, recall = precision_recall(real, generated, k=k)
    assert precision == pytest.approx(slow_fraction(generated, real, k))
    assert recall == pytest.approx(slow_fraction(real, generated, k))
    assert precision != pytest.approx(recall)
    assert precision_recall(generated, real, k=k) == (recall, precision)


def test_what_the_two_measures_mean(rng: np.random.Generator) -> None:
    first, second = rng.normal(size=(60, 3)), rng.normal(100.0, 1.0, size=(60, 3))
    both = np.vstack([first, second])
    assert precision_recall(first, first) == (1.0, 1.0)
    assert precision_recall(first, second) == (0.0, 0.0)
    precision, recall = precision_recall(both, first)  # half of the real ones is never generated
    assert precision == 1.0
    assert recall == pytest.approx(0.5)


def test_features_that_do_not_fit_are_refused() -> None:
    four = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"one D; got \(4, 3\) and \(4, 2\)"):
        frechet_distance(four, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="2 images or more are needed; got 4 and 1"):
        frechet_distance(four, four[:1])
    with pytest.raises(ValueError, match="5 images or more are needed; got 4 and 4"):
        precision_recall(four, four, k=4)
    with pytest.raises(ValueError, match="k = 0 must be 1 or more"):
        precision_recall(four, four, k=0)
