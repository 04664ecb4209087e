"""The plane through three models, against the vectors of all weights written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gift.weights.plane import plane_through

SHAPES = {"a": (3,), "b": (2, 5), "c": ()}


def model(seed: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=random) for name, shape in SHAPES.items()}


def written_out(weights) -> np.ndarray:
    return np.concatenate([weights[name].double().numpy().ravel() for name in SHAPES])


def test_the_three_models_lie_on_it():
    models = [model(seed) for seed in range(3)]
    plane = plane_through(*models)
    for weights, (x, y) in zip(models, plane.points, strict=True):
        np.testing.assert_allclose(written_out(plane.at(x, y)), written_out(weights), atol=1e-5)


def test_distances_on_it_are_those_of_the_weights():
    models = [model(seed) for seed in range(3)]
    plane = plane_through(*models)
    places, vectors = np.array(plane.points), [written_out(weights) for weights in models]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        wanted = np.linalg.norm(vectors[i] - vectors[j])
        assert np.linalg.norm(places[i] - places[j]) == pytest.approx(wanted, rel=1e-5)
    first, second = written_out(plane.first), written_out(plane.second)
    assert [first @ first, second @ second] == pytest.approx([1, 1], rel=1e-5)
    assert first @ second == pytest.approx(0, abs=1e-6)
    assert plane.points[0] == (0, 0)
    assert plane.points[1][1] == 0
    assert plane.points[1][0] > 0
    assert plane.points[2][1] > 0


def test_models_on_one_line_or_of_other_shapes_are_refused():
    origin, one = model(0), model(1)
    between = {name: weight.lerp(one[name], 0.3) for name, weight in origin.items()}
    for same in (one, between, origin):
        with pytest.raises(ValueError, match="on one line"):
            plane_through(origin, one, same)
    with pytest.raises(ValueError, match="on one line"):
        plane_through(origin, origin, one)
    with pytest.raises(ValueError, match="different architectures"):
        plane_through(origin, one, {"a": one["a"]})
