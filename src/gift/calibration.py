"""Calibration: probabilities that mean what they say, and when to answer "unknown".

A classifier is calibrated when, of the images to which it gives 80 %, 80 % are classified
correctly. One number, the temperature, brings a softmax near to that (Guo et al., "On Calibration
of Modern Neural Networks", 2017); a threshold on the highest probability then says which answers
are kept. Shape letters: N images, C classes, K bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Goal = Literal["precision", "coverage"]
"""What a threshold is chosen for: the fraction of the answers that are correct, or the fraction of
the images of known classes that get an answer."""

UNKNOWN = -1
"""The target of an image that shows none of the classes."""

_SHARPEST, _FLATTEST = 0.01, 100.0
"""Temperatures beyond these are not looked for."""


def probabilities(logits: Floats, temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits / temperature over the last axis, in float64: [..., C] -> [..., C].

    >>> probabilities(np.array([0.0, np.log(9.0)])).round(3).tolist()
    [0.1, 0.9]
    """
    return np.exp(_log_probabilities(logits, temperature))


def negative_log_likelihood(logits: Floats, targets: Sequence[int], temperature: float) -> float:
    """Mean over images of -log p(target), in nats, under softmax(logits / temperature).

    Args:
        logits: [N, C], finite.
        targets: [N] class indices.
        temperature: above 0.
    """
    rows = np.arange(len(targets))
    return float(-_log_probabilities(logits, temperature)[rows, list(targets)].mean())


def fit_temperature(logits: Floats, targets: Sequence[int]) -> float:
    """The temperature in [0.01, 100] with the least :func:`negative_log_likelihood`.

    In 1 / temperature the likelihood is convex, so the minimum that is found is the only one. Where
    the target has the highest logit of every image, colder is always better and there is no
    minimum: the temperature is then 1.

    Args:
        logits: [N, C], finite, N > 0.
        targets: [N] class indices.

    >>> rows = np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    >>> round(fit_temperature(rows, [0, 0, 0, 1]), 3)  # sigmoid(4 / T) = 3 / 4
    3.641
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(targets))
    if bool((logits[rows, list(targets)] >= logits.max(axis=1)).all()):
        return 1.0
    found = minimize_scalar(
        lambda log: negative_log_likelihood(logits, targets, float(np.exp(log))),
        bounds=(np.log(_SHARPEST), np.log(_FLATTEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


@dataclass(frozen=True)
class Reliability:
    """How often answers of about the same confidence are correct: a reliability diagram's bars.

    Attributes:
        edges: [K + 1] of bins of equal width in 0..1; a confidence on an edge is in the lower bin.
        counts: [K] images of each bin.
        confidences: [K] their mean confidence; NaN for an empty bin.
        accuracies: [K] the fraction of them that are correct; NaN for an empty bin.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    confidences: NDArray[np.float64]
    accuracies: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error in 0..1: the mean gap |accuracy - confidence|, by images."""
        gaps = np.abs(self.accuracies - self.confidences)
        return float(np.nansum(gaps * self.counts) / self.counts.sum())


def reliability(confidences: Floats, correct: Bools, bins: int = 15) -> Reliability:
    """Sort answers into bins by their confidence.

    Args:
        confidences: [N] probabilities of the answers, in 0..1, N > 0.
        correct: [N] whether they are.
        bins: how many, K.

    >>> found = reliability(np.array([0.1, 0.9, 0.8]), np.array([False, True, False]), bins=2)
    >>> found.counts.tolist(), found.accuracies.tolist(), round(found.error, 3)
    ([1, 2], [0.0, 0.5], 0.267)
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    bin_of = (np.searchsorted(edges, confidences, side="left") - 1).clip(0, bins - 1)
    counts = np.bincount(bin_of, minlength=bins)

    def mean(values: Floats | Bools) -> NDArray[np.float64]:
        sums = np.bincount(bin_of, weights=values, minlength=bins)
        means = np.full(bins, np.nan)
        np.divide(sums, counts, out=means, where=counts > 0)
        return means

    return Reliability(edges, counts, mean(confidences), mean(correct))


@dataclass(frozen=True)
class Threshold:
    """The least confidence of an answer that is kept, and what it does on the images it is of.

    Attributes:
        value: in 0..1; answers with at least this confidence are kept.
        answers: how many are kept.
        precision: the fraction of the kept answers that are correct.
        coverage: the fraction of the images of known classes whose answer is kept.
        rejected: the fraction of the images of none of the classes that get no answer; None where
            there is no such image.
    """

    value: float
    answers: int
    precision: float
    coverage: float
    rejected: float | None


def choose_threshold(
    confidences: Floats, correct: Bools, known: Bools, *, goal: Goal, target: float
) -> Threshold:
    """The threshold that reaches a target at the least cost.

    For a precision, the lowest threshold at which the kept answers reach it, so that as many as
    possible are kept. For a coverage, the highest threshold at which it is reached. It lies half
    way between two images' confidences, so that rounding decides nothing; 0 keeps all answers.

    Args:
        confidences: [N] probabilities of the answers, in 0..1, N > 0.
        correct: [N] whether they are; never of an image of none of the classes.
        known: [N] whether the image is of one of the classes; one at least is.
        goal: what the target is of.
        target: in 0..1.

    Raises:
        ValueError: no threshold reaches the precision; the message says which one is the best.
    """
    order = np.argsort(-confidences, kind="stable")
    sorted_ = confidences[order]
    ends = np.flatnonzero(np.append(sorted_[:-1] > sorted_[1:], True))  # equal ones stay together
    kept = ends + 1
    precision = np.cumsum(correct[order])[ends] / kept
    coverage = np.cumsum(known[order])[ends] / known.sum()
    rounding = 1e-12
    reached = np.flatnonzero((precision if goal == "precision" else coverage) >= target - rounding)
    if not len(reached):
        best = int(precision.argmax())
        raise ValueError(
            f"no threshold reaches a precision of {100 * target:g} %: the best is "
            f"{100 * precision[best]:.1f} %, with answers for {100 * coverage[best]:.1f} % of the "
            "images. Give a lower one, or choose by coverage."
        )
    chosen = reached[-1] if goal == "precision" else reached[0]
    end = ends[chosen]
    value = 0.0 if end + 1 == len(sorted_) else float(sorted_[end] + sorted_[end + 1]) / 2
    strangers = ~known
    rejected = float((confidences < value)[strangers].mean()) if strangers.any() else None
    return Threshold(
        value, int(kept[chosen]), float(precision[chosen]), float(coverage[chosen]), rejected
    )


class Calibration(BaseModel):
    """A temperature and a threshold, and what they do on the images that they were fitted on.

    Fractions are in 0..1. Images of known classes are those that show one of the classes; the
    others are "unknown" whatever is answered.

    Attributes:
        temperature: what the scores are divided by before they become probabilities.
        threshold: the least probability of an answer; below it, the answer is "unknown".
        goal: what the threshold was chosen for.
        target: the precision or coverage that it should reach.
        answers: how many images get an answer.
        precision: the fraction of the answers that are correct.
        coverage: the fraction of the images of known classes that get an answer.
        rejected: the fraction of the others that get none; None where there is no such image.
        accuracy: the fraction of the images of known classes whose best class is correct.
        error_before: expected calibration error on them at temperature 1.
        error: the same at this temperature.
        known: images of known classes.
        others: images of none of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: float = Field(gt=0)
    threshold: float = Field(ge=0, le=1)
    goal: Goal
    target: float
    answers: int
    precision: float
    coverage: float
    rejected: float | None
    accuracy: float
    error_before: float
    error: float
    known: int
    others: int


def calibrate(logits: Floats, targets: Sequence[int], *, goal: Goal, target: float) -> Calibration:
    """Fit a temperature, then choose the threshold on the probabilities that it gives.

    Temperature and calibration error are of the images of known classes alone.

    Args:
        logits: [N, C], finite.
        targets: [N] class indices; :data:`UNKNOWN` of an image that shows none of the classes.
        goal: what the target is of.
        target: in 0..1.

    Raises:
        ValueError: a target out of range, no image of a known class, or a precision that no
            threshold reaches.
    """
    if not 0 < target <= 1:
        raise ValueError(f"a {goal} of {target:g} cannot be reached; give a fraction, e.g. 0.95.")
    truth = np.asarray(targets)
    known = truth != UNKNOWN
    if not known.any():
        raise ValueError("none of the images shows one of the classes; give some that do.")
    temperature = fit_temperature(logits[known], truth[known].tolist())
    guesses = logits.argmax(axis=1)
    before, after = (probabilities(logits, t).max(axis=1) for t in (1.0, temperature))
    correct = guesses == truth
    chosen = choose_threshold(after, correct, known, goal=goal, target=target)
    return Calibration(
        temperature=temperature,
        threshold=chosen.value,
        goal=goal,
        target=target,
        answers=chosen.answers,
        precision=chosen.precision,
        coverage=chosen.coverage,
        rejected=chosen.rejected,
        accuracy=float(correct[known].mean()),
        error_before=reliability(before[known], correct[known]).error,
        error=reliability(after[known], correct[known]).error,
        known=int(known.sum()),
        others=int((~known).sum()),
    )


def _log_probabilities(logits: Floats, temperature: float) -> NDArray[np.float64]:
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    scaled -= np.log(np.exp(scaled).sum(axis=-1, keepdims=True))
    return scaled
