from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support import NoiseImages, words

from gift.config import TrainingSettings
from gift.methods import ImageTexts, TaskContext, create_method
from gift.train import pair_batches, train_task

SETTINGS = TrainingSettings(iterations=3, batch_size=4, learning_rate=1e-3, warmup=1)
LABELS = words("fruit", 5)
PAIRS = ImageTexts(
    np.random.default_rng(1).integers(0, 255, (7, 32, 32, 3), dtype=np.uint8),
    tuple(f"a photo of a {name}." for name in ("fox", "owl", "fox", "elk", "bee", "ant", "owl")),
)


def trained(model, method, **settings):
    model = copy.deepcopy(model)
    train_task(
        model,
        create_method(method, settings),
        LABELS,
        NoiseImages(11, 5),
        SETTINGS,
        streams={"synthetic": PAIRS} if method == "gift" else {},
        seed=0,
    )
    return {name: p.detach() for name, p in model.trainable_parameters().items()}


def largest_difference(one, two):
    return max(
        float((one[name] - two[name]).norm() / one[name].norm())
        for name in one
        if not name.endswith("k_proj.bias")  # zero gradient: rounding noise, see test_train.py
    )


def test_doubling_all_weights_doubles_the_anchor_and_leaves_the_fisher(tiny_clip_fp64):
    """alpha = 2, beta = .5, lambda = 2 has the gradient of CE + 2 S + 2 AWC."""

    def anchor_gradient(**settings):
        model = copy.deepcopy(tiny_clip_fp64)
        method = create_method("gift", settings)
        method.begin_task(model, TaskContext(LABELS, 0.2, {"synthetic": PAIRS}))
        parameters = model.trainable_parameters()
        with torch.no_grad():
            for parameter in parameters.values():
                parameter.mul_(1.01)
        batch = next(pair_batches(PAIRS, model.preprocess, SETTINGS, seed=0, name="synthetic"))
        loss = next(method.losses(model, {"synthetic": batch}))
        method.backward(loss, parameters)
        return {name: p.grad for name, p in parameters.items()}

    double = anchor_gradient(alpha=2.0, beta=0.5, penalty_weight=2.0)
    single = anchor_gradient(alpha=1.0, beta=0.25, penalty_weight=1.0)
    torch.testing.assert_close(double, {name: 2 * g for name, g in single.items()})


def test_without_anchor_weight_and_penalty_it_is_plain_fine_tuning(tiny_clip_fp64):
    gift = trained(tiny_clip_fp64, "gift", alpha=0.0, beta=0.0, penalty_weight=0.0)
    assert largest_difference(gift, trained(tiny_clip_fp64, "finetune")) < 1e-10


def test_without_alignment_the_first_step_has_no_nan(tiny_clip_fp64):
    """Student and teacher are equal at step 0, so the anchor's gradient is rounding noise there."""
    parameters = trained(tiny_clip_fp64, "gift", beta=0.0)
    assert all(torch.isfinite(p).all() for p in parameters.values())


@pytest.mark.parametrize("weight", [0.1, 10.0])
def test_the_penalty_holds_the_weights_back(tiny_clip_fp64, weight):
    start = {n: p.detach() for n, p in tiny_clip_fp64.trainable_parameters().items()}

    def distance(parameters):
        return sum(float((parameters[n] - start[n]).square().sum()) for n in parameters)

    free = distance(trained(tiny_clip_fp64, "gift", penalty_weight=0.0))
    assert distance(trained(tiny_clip_fp64, "gift", penalty_weight=weight)) < free
