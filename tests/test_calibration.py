"""Calibration against slow, obvious versions."""

import math

import numpy as np
import pytest

from gift.calibration import (
    choose_threshold,
    fit_temperature,
    negative_log_likelihood,
    probabilities,
    reliability,
)


def answers(seed, images=200, classes=5, sharpness=3.0):
    """Logits of a model that is `sharpness` times too sure, and the true classes."""
    rng = np.random.default_rng(seed)
    honest = 2 * rng.normal(size=(images, classes))
    chances = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    targets = [int(rng.choice(classes, p=row)) for row in chances]
    return sharpness * honest, targets


def slow_likelihood(logits, targets, temperature):
    total = 0.0
    for row, target in zip(logits.tolist(), targets, strict=True):
        terms = [math.exp(value / temperature) for value in row]
        total -= math.log(terms[target] / sum(terms))
    return total / len(targets)


def test_probabilities_are_a_softmax_that_does_not_overflow():
    found = probabilities(np.array([[1000.0, 0.0], [0.0, 0.0]], dtype=np.float32), 2.0)
    np.testing.assert_allclose(found, [[1, 0], [0.5, 0.5]], atol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_likelihood_is_that_of_plain_loops(temperature):
    logits, targets = answers(0)
    expected = slow_likelihood(logits, targets, temperature)
    assert negative_log_likelihood(logits, targets, temperature) == pytest.approx(expected)


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 3.0])
def test_the_temperature_is_the_best_of_a_grid(sharpness):
    logits, targets = answers(1, images=300, sharpness=sharpness)
    grid = np.geomspace(0.05, 20, 1000)
    best = grid[np.argmin([slow_likelihood(logits, targets, t) for t in grid])]
    assert fit_temperature(logits, targets) == pytest.approx(best, rel=0.01)


def test_the_temperature_undoes_what_made_a_model_too_sure():
    logits, targets = answers(2, images=5000, sharpness=3.0)
    assert fit_temperature(logits, targets) == pytest.approx(3.0, rel=0.1)
    assert fit_temperature(2 * logits, targets) == pytest.approx(
        2 * fit_temperature(logits, targets), rel=1e-4
    )


def test_the_temperature_stays_1_where_all_is_correct():
    assert fit_temperature(np.array([[1.0, 0.0], [0.0, 2.0]]), [0, 1]) == 1.0


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_reliability_is_that_of_plain_loops(bins):
    rng = np.random.default_rng(3)
    confidences = np.concatenate([rng.random(200), [0.0, 0.25, 0.5, 1.0]])
    correct = rng.random(204) < confidences
    found = reliability(confidences, correct, bins)
    error = 0.0
    for k in range(bins):
        inside = [
            i
            for i, value in enumerate(confidences)
            if k / bins < value <= (k + 1) / bins or (k == 0 and value == 0)
        ]
        assert found.counts[k] == len(inside)
        if inside:
            accuracy = sum(bool(correct[i]) for i in inside) / len(inside)
            confidence = sum(confidences[i] for i in inside) / len(inside)
            assert found.accuracies[k] == pytest.approx(accuracy)
            assert found.confidences[k] == pytest.approx(confidence)
            error += len(inside) / 204 * abs(accuracy - confidence)
    assert found.error == pytest.approx(error)
    assert found.counts.sum() == 204


def test_a_confidence_that_is_always_right_has_no_error():
    assert reliability(np.ones(7), np.ones(7, dtype=bool)).error == 0
    assert reliability(np.full(8, 0.75), np.array([True] * 6 + [False] * 2)).error == 0


def outcome(confidences, correct, known, threshold):
    """Precision and coverage at a threshold, by plain loops."""
    kept = [i for i, value in enumerate(confidences) if value >= threshold]
    right = sum(bool(correct[i]) for i in kept)
    return right / len(kept), sum(bool(known[i]) for i in kept) / sum(map(bool, known))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("goal", "target"), [("precision", 0.8), ("coverage", 0.7)])
def test_the_threshold_is_the_best_of_all(seed, goal, target):
    rng = np.random.default_rng(seed)
    confidences = rng.random(60).round(1 if seed == 4 else 9)  # with images that are equal
    known = rng.random(60) < 0.8
    correct = known & (rng.random(60) < confidences**0.3)
    found = choose_threshold(confidences, correct, known, goal=goal, target=target)
    every = [outcome(confidences, correct, known, t) for t in sorted(set(confidences.tolist()))]
    number = goal == "coverage"
    enough = [pair for pair in every if pair[number] >= target]
    best = min(enough, key=lambda pair: pair[1]) if number else max(enough, key=lambda p: p[1])
    assert found.coverage == best[1]
    assert (found.precision, found.coverage) == outcome(confidences, correct, known, found.value)
    strangers = [c for c, is_known in zip(confidences, known, strict=True) if not is_known]
    assert found.rejected == sum(c < found.value for c in strangers) / len(strangers)


def test_a_threshold_lies_between_two_images():
    confidences, right = np.array([0.9, 0.7, 0.5]), np.array([True, True, False])
    known = np.ones(3, dtype=bool)
    found = choose_threshold(confidences, right, known, goal="precision", target=1.0)
    assert found.value == pytest.approx(0.6)
    assert found.rejected is None
    assert choose_threshold(confidences, right, known, goal="coverage", target=1.0).value == 0


def test_a_precision_that_is_out_of_reach_is_refused_with_the_best():
    known = np.ones(4, dtype=bool)
    confidences, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([False, True, True, False])
    with pytest.raises(ValueError, match=r"precision of 95 %: the best is 66\.7 %"):
        choose_threshold(confidences, right, known, goal="precision", target=0.95)
