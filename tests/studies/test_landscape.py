"""Losses on a plane of weights, against plain transformers, one image and one class at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gift.data.labels import LabelSpace
from gift.studies.landscape import LabelledPixels, grid_around, losses_at, mean_cross_entropy
from gift.vlm import VisionLanguageModel
from gift.weights.averaging import snapshot
from gift.weights.plane import plane_through

LABELS = LabelSpace("task", ("fox", "owl", "red car"), ("a photo of a {}.", "the {}."))


@pytest.fixture
def models(tiny_clip_folder):
    found = [VisionLanguageModel.from_pretrained(tiny_clip_folder).eval() for _ in range(3)]
    for seed, model in enumerate(found):
        random = torch.Generator().manual_seed(seed)
        for weight in model.trainable_parameters().values():
            noise = torch.randn(weight.shape, generator=random)
            weight.data += 0.05 * seed * noise
    return found


@pytest.fixture
def data(models):
    side = models[0].towers.config.vision_config.image_size
    random = torch.Generator().manual_seed(7)
    images = torch.randn(5, 3, side, side, generator=random)
    return LabelledPixels("loss", LABELS, images, torch.tensor([0, 1, 2, 1, 0]))


@torch.no_grad()
def slow_cross_entropy(model, data) -> float:
    towers = model.towers
    classes = []
    for name in data.labels.classnames:
        texts = [template.replace("{}", name) for template in data.labels.templates]
        rows = []
        for text in texts:
            tokens = model.tokenizer([text], return_tensors="pt").input_ids
            row = towers.get_text_features(input_ids=tokens).pooler_output[0]
            rows.append(row / row.norm())
        mean = sum(rows) / len(rows)
        classes.append(mean / mean.norm())
    losses = []
    for pixels, target in zip(data.pixels, data.targets.tolist(), strict=True):
        image = towers.get_image_features(pixel_values=pixels[None]).pooler_output[0]
        image = image / image.norm()
        logits = [float(towers.logit_scale.exp() * image @ row) for row in classes]
        total = math.log(sum(math.exp(logit) for logit in logits))
        losses.append(total - logits[target])
    return sum(losses) / len(losses)


def test_the_mean_cross_entropy_is_that_of_the_slow_version(models, data):
    for model in models:
        wanted = slow_cross_entropy(model, data)
        assert mean_cross_entropy(model, data) == pytest.approx(wanted, rel=1e-4)
        assert mean_cross_entropy(model, data, batch_size=2) == pytest.approx(wanted, rel=1e-4)


def test_losses_on_the_plane_are_those_of_models_with_these_weights(models, data):
    plane = plane_through(*(snapshot(model.trainable_parameters()) for model in models))
    points = [*plane.points, (0.3, -0.2)]
    before = snapshot(models[0].trainable_parameters())
    found = losses_at(points, plane, models[0], data)
    assert found[:3] == pytest.approx([slow_cross_entropy(m, data) for m in models], rel=1e-3)
    assert len({round(loss, 3) for loss in found}) == 4
    for name, weight in models[0].trainable_parameters().items():
        assert torch.equal(weight, before[name])
        weight.data.copy_(plane.at(0.3, -0.2)[name])
    assert found[3] == pytest.approx(slow_cross_entropy(models[0], data), rel=1e-4)


def test_the_grid_is_square_and_holds_the_models():
    points = ((0.0, 0.0), (3.0, 0.0), (1.0, 1.0))
    x, y = grid_around(points, 5)
    assert len(x) == len(y) == 5
    assert x[-1] - x[0] == pytest.approx(y[-1] - y[0])
    np.testing.assert_allclose([np.mean(x), np.mean(y)], [1.5, 0.5])
    assert x[0] < 0
    assert x[-1] > 3
    assert y[0] < 0
    assert y[-1] > 1
