from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import NoiseImages, first_loss, words

from gift.config import TrainingSettings
from gift.data.loader import ImageTexts, Loading, set_batches
from gift.methods import TaskContext, create_method
from gift.methods.objectives import TeacherPairs
from gift.train import train_task
from gift.weights import FLOOR

SETTINGS = TrainingSettings(iterations=3, batch_size=4, learning_rate=1e-3, warmup=1)
LOADING = Loading(range(3), 4)
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
        TaskContext(LABELS, 0.2, {"synthetic": PAIRS} if method in {"gift", "ewc_v"} else {}),
        NoiseImages(11, 5),
        SETTINGS,
    )
    return {name: p.detach() for name, p in model.trainable_parameters().items()}


def largest_difference(one, two):
    return max(
        float((one[name] - two[name]).norm() / one[name].norm())
        for name in one
        if not name.endswith("k_proj.bias")  # zero gradient: rounding noise, see test_train.py
    )


def test_the_teacher_is_measured_on_its_pairs_by_their_captions(tiny_clip_fp64):
    pairs = TeacherPairs(tiny_clip_fp64, PAIRS)
    captions = [PAIRS.texts[i] for i in (0, 1, 3, 4, 5)]  # the distinct ones
    hits = 0
    for image, caption in zip(pairs.images, PAIRS.texts, strict=True):
        texts = tiny_clip_fp64.encode_texts(tiny_clip_fp64.tokenize(captions))
        hits += captions[int((texts @ image).argmax())] == caption
    assert float(pairs.accuracy) == pytest.approx(100 * hits / 7)


def test_doubling_all_weights_doubles_the_anchor_and_leaves_the_fisher(tiny_clip_fp64):
    """alpha = 2, beta = .5, lambda = 2 has the gradient of CE + 2 S + 2 AWC."""

    twin = copy.deepcopy(tiny_clip_fp64)
    double = anchor_gradients(tiny_clip_fp64, preset="gift_first_release")
    single = anchor_gradients(twin, alpha=1.0, beta=0.25, penalty_weight=1.0)
    torch.testing.assert_close(double, {name: 2 * g for name, g in single.items()})


def test_without_anchor_weight_and_penalty_it_is_plain_fine_tuning(tiny_clip_fp64):
    gift = trained(tiny_clip_fp64, "gift", alpha=0.0, beta=0.0, consolidation="none")
    assert largest_difference(gift, trained(tiny_clip_fp64, "finetune")) < 1e-10


def test_without_pairs_and_with_l2_it_is_the_l2_baseline(tiny_clip_fp64):
    settings = {"alpha": 0.0, "beta": 0.0, "consolidation": "l2", "penalty_weight": 0.3}
    gift = trained(tiny_clip_fp64, "gift", **settings)
    assert largest_difference(gift, trained(tiny_clip_fp64, "l2", penalty_weight=0.3)) < 1e-10


def test_without_penalty_all_kinds_of_consolidation_agree(tiny_clip_fp64):
    plain = trained(tiny_clip_fp64, "gift", consolidation="none")
    for kind in ("l2", "ewc_v", "awc"):
        other = trained(tiny_clip_fp64, "gift", consolidation=kind, penalty_weight=0.0)
        assert largest_difference(plain, other) < 1e-10


def test_consolidation_ewc_v_is_the_method_of_that_name(tiny_clip_fp64):
    gift = trained(tiny_clip_fp64, "gift", consolidation="ewc_v", penalty_weight=0.7)
    assert largest_difference(gift, trained(tiny_clip_fp64, "ewc_v", penalty_weight=0.7)) == 0


def test_forward_kl_has_the_gradient_of_cross_entropy_and_reverse_kl_another(tiny_clip_fp64):
    default = trained(tiny_clip_fp64, "gift", consolidation="none")
    forward = trained(tiny_clip_fp64, "gift", consolidation="none", divergence="forward_kl")
    reverse = trained(tiny_clip_fp64, "gift", consolidation="none", divergence="reverse_kl")
    assert largest_difference(default, forward) < 1e-8
    assert largest_difference(default, reverse) > 1e-4


def anchor_gradients(model, **settings):
    """Gradients after the anchor's backward pass, with weights a little off the anchor."""
    method = create_method("gift", settings)
    method.begin_task(model, TaskContext(LABELS, 0.2, {"synthetic": PAIRS}))
    parameters = model.trainable_parameters()
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.mul_(1.01)
    batch = next(set_batches(PAIRS, model.preprocess, LOADING, name="synthetic"))
    task = replace(batch, labels=batch.labels % 5)

    class Enough(Exception):
        pass

    def anchor_alone(loss):
        if losses:
            raise Enough
        losses.append(loss)
        loss.backward()

    losses = []
    with suppress(Enough):
        method.step(model, {"synthetic": batch, "task": task}, anchor_alone)
    return {name: p.grad for name, p in parameters.items()}


@pytest.mark.parametrize(("kind", "idle"), [("image", "text"), ("text", "vision")])
def test_one_tower_alone_learns_of_one_sided_distillation(tiny_clip_fp64, kind, idle):
    gradients = anchor_gradients(tiny_clip_fp64, distillation=kind, consolidation="l2")
    projection = {"text": "text_projection", "vision": "visual_projection"}[idle]
    for name, gradient in gradients.items():
        untouched = name.startswith((f"{idle}_model", projection))
        assert (gradient is None) == untouched, name


@pytest.mark.parametrize(("kind", "idle"), [("image", "text"), ("text", "vision")])
def test_the_idle_tower_is_held_by_the_floor_alone(tiny_clip_fp64, kind, idle):
    start = {n: p.detach().clone() for n, p in tiny_clip_fp64.trainable_parameters().items()}
    gradients = anchor_gradients(tiny_clip_fp64, distillation=kind, penalty_weight=2.0)
    for name, gradient in gradients.items():
        assert torch.isfinite(gradient).all()
        if name.startswith(f"{idle}_model"):
            torch.testing.assert_close(gradient, 2 * 2.0 * FLOOR * 0.01 * start[name])


def test_feature_distillation_is_the_mean_squared_difference_of_both_towers(tiny_clip_fp64):
    model = tiny_clip_fp64
    method = create_method("gift", {"distillation": "feature", "beta": 0.0})
    method.begin_task(model, TaskContext(LABELS, 0.2, {"synthetic": PAIRS}))
    batch = next(set_batches(PAIRS, model.preprocess, LOADING, name="synthetic"))
    captions = model.tokenize([PAIRS.texts[i] for i in batch.index])
    before = model.encode_images(batch.pixels), model.encode_texts(captions)
    assert float(first_loss(method, model, {"synthetic": batch}).detach()) < 1e-20
    with torch.no_grad():
        for parameter in model.trainable_parameters().values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    after = model.encode_images(batch.pixels), model.encode_texts(captions)
    slow = sum((a - b).square().sum() / b.numel() for a, b in zip(after, before, strict=True))
    torch.testing.assert_close(first_loss(method, model, {"synthetic": batch}), slow)


def test_teachers_are_the_initial_the_last_or_a_mixture(tiny_clip_fp64):
    """At the second task: what the teacher says of the pairs is what the mixed weights say."""
    model = tiny_clip_fp64
    initial = copy.deepcopy(model.state_dict())
    methods = {t: create_method("gift", {"teacher": t}) for t in ("initial", "last", "wise:0.3")}
    task = TaskContext(LABELS, 0.2, {"synthetic": PAIRS})
    for method in methods.values():
        method.begin_task(model, task)
    with torch.no_grad():
        for parameter in model.trainable_parameters().values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    last = copy.deepcopy(model.state_dict())
    batch = next(set_batches(PAIRS, model.preprocess, LOADING, name="synthetic"))
    shares = {"initial": 1.0, "last": 0.0, "wise:0.3": 0.3}
    mixtures = {
        teacher: {k: share * initial[k] + (1 - share) * last[k] for k in last}
        for teacher, share in shares.items()
    }
    for teacher, method in methods.items():
        method.begin_task(model, task)
        assert all(torch.equal(v, last[k]) for k, v in model.state_dict().items())
        for other, weights in mixtures.items():
            gradient = distillation_gradient(method, model, weights, batch)
            assert (gradient < 1e-10) == (other == teacher), (teacher, other)


def distillation_gradient(method, model, weights, batch):
    """The largest gradient of distillation where the student has these weights."""
    own = copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    loss = method.anchor_loss(model, batch)["contrastive_distillation"]
    gradients = torch.autograd.grad(loss, list(model.trainable_parameters().values()))
    model.load_state_dict(own)
    return max(float(g.abs().max()) for g in gradients)


def test_the_preset_fills_in_what_is_not_given():
    preset = create_method("gift", {"preset": "gift_first_release", "beta": 0.1}).settings
    assert (preset.alpha, preset.beta, preset.penalty_weight) == (2.0, 0.1, 2.0)


def test_a_fisher_needs_pairs():
    with pytest.raises(ValueError, match="alpha or beta must be above 0"):
        create_method("gift", {"alpha": 0, "beta": 0})


@pytest.mark.parametrize("teacher", ["wise", "wise:2", "first", "wise:-0.1"])
def test_an_unknown_teacher_is_refused(teacher):
    with pytest.raises(ValueError, match="give last, initial, or wise"):
        create_method("gift", {"teacher": teacher})


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
