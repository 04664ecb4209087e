from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gift import weights as consolidation
from gift.weights import penalties

NAMES = ("a.q_proj.weight", "a.k_proj.weight", "a.v_proj.weight", "a.fc.bias", "unreached")


def fisher_weights(gradients):
    """g^2 / mean(g^2), the mean over each tensor of the fused layout; 1e-6 where g is None."""
    fused: dict[str, list[str]] = {}
    for name in gradients:
        fused.setdefault(re.sub(r"\b[qkv]_proj\b", "in_proj", name), []).append(name)
    weights = {}
    for names in fused.values():
        present = [gradients[n].flatten() for n in names if gradients[n] is not None]
        mean = torch.cat(present).square().mean() if present else None
        for name in names:
            g = gradients[name]
            weights[name] = 1e-6 if g is None else g.square() / mean if mean > 0 else 0 * g
    return weights


def toy(seed: int = 0, *, missing: bool = True):
    """Parameters with gradients, and an anchor nearby."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    parameters = {name: torch.nn.Parameter(normal(3, 4)) for name in NAMES}
    for size, parameter in enumerate(parameters.values(), start=1):
        parameter.grad = size * normal(3, 4)
    if missing:
        parameters["unreached"].grad = None
    anchor = {name: p.detach() + 0.1 * normal(3, 4) for name, p in parameters.items()}
    return parameters, anchor


def turned(tensor):
    """The same numbers in memory that is not contiguous."""
    return tensor.T.contiguous().T


def in_other_memory(parameters, anchor):
    """Copies of what :func:`toy` made that no piece can be taken of."""
    others = {name: torch.nn.Parameter(turned(p.detach())) for name, p in parameters.items()}
    for name, parameter in parameters.items():
        others[name].grad = None if parameter.grad is None else turned(parameter.grad)
    return others, {name: turned(tensor) for name, tensor in anchor.items()}


def autograd_route(parameters, anchor, weights, factor):
    """The gradient of the penalty by autograd, added to the gradients that are there."""
    penalty = factor * sum(
        (weights[name] * (p - anchor[name]).square()).sum() for name, p in parameters.items()
    )
    gradients = torch.autograd.grad(penalty, list(parameters.values()))
    expected = {
        name: g if p.grad is None else p.grad + g
        for (name, p), g in zip(parameters.items(), gradients, strict=True)
    }
    return expected, penalty.detach()


@given(st.integers(0, 2**31), st.floats(0, 10))
@settings(max_examples=30)
def test_adaptive_gradient_equals_autograd_with_the_slow_fisher(seed, weight):
    parameters, anchor = toy(seed)
    fisher = fisher_weights({name: p.grad for name, p in parameters.items()})
    expected, penalty = autograd_route(parameters, anchor, fisher, weight)
    groups = consolidation.normalization_groups(parameters)
    value = consolidation.add_adaptive_gradient(parameters, anchor, groups, weight=weight)
    torch.testing.assert_close({n: p.grad for n, p in parameters.items()}, expected)
    torch.testing.assert_close(value, penalty)


@given(st.integers(0, 2**31), st.floats(0, 10))
@settings(max_examples=30)
def test_l2_gradient_equals_autograd(seed, weight):
    parameters, anchor = toy(seed)
    expected, penalty = autograd_route(parameters, anchor, dict.fromkeys(NAMES, 1.0), weight)
    value = consolidation.add_l2_gradient(parameters, anchor, weight=weight)
    torch.testing.assert_close({n: p.grad for n, p in parameters.items()}, expected)
    torch.testing.assert_close(value, penalty)


FISHER = {
    name: torch.rand(3, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for name in NAMES[1:3]
}
PENALTIES = {
    "l2": consolidation.add_l2_gradient,
    "weighted": partial(consolidation.add_weighted_gradient, fisher=FISHER),
    "adaptive": partial(
        consolidation.add_adaptive_gradient, groups=consolidation.normalization_groups(NAMES)
    ),
}


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize("piece", [1, 5, 12, 100])
def test_pieces_of_any_size_and_whole_tensors_give_the_same(penalty, piece, monkeypatch):
    """Tensors that are not contiguous take the way of GPUs."""
    parameters, anchor = toy()
    whole, whole_anchor = in_other_memory(parameters, anchor)
    monkeypatch.setattr(penalties, "_PIECE", piece)
    value = penalty(parameters, anchor, weight=0.7)
    monkeypatch.delattr(penalties, "_distances")
    torch.testing.assert_close(penalty(whole, whole_anchor, weight=0.7), value)
    for name, parameter in parameters.items():
        torch.testing.assert_close(whole[name].grad, parameter.grad)


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_parameters_in_several_precisions_keep_theirs(penalty):
    parameters, anchor = toy()
    wanted, _ = toy()
    wanted_value = penalty(wanted, anchor, weight=0.7)
    name = NAMES[0]
    half = torch.nn.Parameter(parameters[name].detach().float())
    half.grad = parameters[name].grad.float()
    mixed = {name: half} | {key: p for key, p in parameters.items() if key != name}
    anchor = anchor | {name: anchor[name].float()}
    value = penalty(mixed, anchor, weight=0.7)
    assert float(value) == pytest.approx(float(wanted_value), rel=1e-5)
    for key, parameter in mixed.items():
        assert parameter.grad.dtype == parameter.dtype
        torch.testing.assert_close(parameter.grad.double(), wanted[key].grad, rtol=1e-4, atol=1e-5)


def test_fisher_spends_the_budget_of_l2():
    parameters, _ = toy(missing=False)
    groups = consolidation.normalization_groups(parameters)
    fisher = consolidation.adaptive_fisher({n: p.grad for n, p in parameters.items()}, groups)
    for group in groups:
        total = sum(fisher[name].sum() for name in group)
        assert total == pytest.approx(sum(fisher[name].numel() for name in group))


def test_fisher_of_split_projections_is_that_of_the_fused_tensor():
    parameters, _ = toy()
    gradients = {n: p.grad for n, p in parameters.items()}
    groups = consolidation.normalization_groups(parameters)
    split = consolidation.adaptive_fisher(gradients, groups)
    fused = torch.cat([gradients[name] for name in NAMES[:3]])
    whole = consolidation.adaptive_fisher({"in_proj": fused}, [("in_proj",)])
    torch.testing.assert_close(torch.cat([split[name] for name in NAMES[:3]]), whole["in_proj"])
    alone = consolidation.adaptive_fisher(gradients, [(name,) for name in NAMES])
    assert (alone[NAMES[0]] - split[NAMES[0]]).abs().max() > 0.1


def test_fisher_does_not_feel_the_scale_of_the_loss():
    parameters, anchor = toy()
    groups = consolidation.normalization_groups(parameters)
    before = {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}
    consolidation.add_adaptive_gradient(parameters, anchor, groups, weight=1.0)
    penalty = {n: parameters[n].grad - g for n, g in before.items()}
    for name, gradient in before.items():
        parameters[name].grad = 7 * gradient
    consolidation.add_adaptive_gradient(parameters, anchor, groups, weight=1.0)
    scaled = {n: parameters[n].grad - 7 * g for n, g in before.items()}
    torch.testing.assert_close(scaled, penalty)


def test_fisher_comes_from_the_summed_gradient_however_the_batch_was_split():
    """Gradient accumulation: squared once, after the last part."""
    whole, anchor = toy(missing=False)
    parts, _ = toy(missing=False)
    generator = torch.Generator().manual_seed(7)
    for name, parameter in parts.items():
        first = torch.randn(3, 4, generator=generator, dtype=torch.float64)
        parameter.grad = first.clone()
        parameter.grad += whole[name].grad - first
    groups = consolidation.normalization_groups(whole)
    for parameters in (whole, parts):
        consolidation.add_adaptive_gradient(parameters, anchor, groups, weight=0.7)
    for name, parameter in whole.items():
        torch.testing.assert_close(parts[name].grad, parameter.grad)


def test_a_gradient_of_exactly_zero_gives_no_nan():
    parameters, anchor = toy()
    parameters["a.fc.bias"].grad.zero_()
    groups = consolidation.normalization_groups(parameters)
    consolidation.add_adaptive_gradient(parameters, anchor, groups, weight=1.0)
    assert not parameters["a.fc.bias"].grad.any()
    assert all(torch.isfinite(p.grad).all() for p in parameters.values())


def test_an_unreached_tensor_gets_the_floor():
    parameters, anchor = toy()
    groups = consolidation.normalization_groups(parameters)
    consolidation.add_adaptive_gradient(parameters, anchor, groups, weight=3.0)
    away = (parameters["unreached"] - anchor["unreached"]).detach()
    torch.testing.assert_close(parameters["unreached"].grad, 2 * 3.0 * 1e-6 * away)


def test_the_penalty_leaves_no_graph():
    parameters, anchor = toy()
    groups = consolidation.normalization_groups(parameters)
    value = consolidation.add_adaptive_gradient(parameters, anchor, groups, weight=1.0)
    assert value.grad_fn is None
    assert all(p.grad.grad_fn is None for p in parameters.values())


def test_the_floor_and_weight_zero_change_nothing_that_counts():
    parameters, anchor = toy(missing=False)
    before = {n: p.grad.clone() for n, p in parameters.items()}
    groups = consolidation.normalization_groups(parameters)
    consolidation.add_adaptive_gradient(parameters, anchor, groups, weight=0.0)
    consolidation.add_l2_gradient(parameters, anchor, weight=0.0)
    torch.testing.assert_close({n: p.grad for n, p in parameters.items()}, before)


@given(st.integers(0, 2**31), st.floats(0, 10))
@settings(max_examples=30)
def test_weighted_gradient_equals_autograd(seed, weight):
    parameters, anchor = toy(seed)
    fisher = {name: torch.rand(3, 4, dtype=torch.float64) for name in NAMES[:-1]}
    slow = fisher | {"unreached": torch.tensor(consolidation.FLOOR)}
    expected, penalty = autograd_route(parameters, anchor, slow, weight)
    value = consolidation.add_weighted_gradient(parameters, anchor, fisher, weight=weight)
    torch.testing.assert_close({n: p.grad for n, p in parameters.items()}, expected)
    torch.testing.assert_close(value, penalty)


@pytest.mark.parametrize("mode", ["fused", "tensor", "none"])
def test_adaptive_gradient_in_every_normalisation_is_the_weighted_one(mode):
    parameters, anchor = toy()
    twins, _ = toy()
    groups = consolidation.normalization_groups(parameters, mode)
    gradients = {name: p.grad for name, p in parameters.items()}
    fisher = consolidation.adaptive_fisher(gradients, groups)
    consolidation.add_adaptive_gradient(parameters, anchor, groups, weight=0.7)
    consolidation.add_weighted_gradient(twins, anchor, fisher, weight=0.7)
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.grad, twins[name].grad)
    if mode == "none":
        assert torch.equal(fisher["a.fc.bias"], toy()[0]["a.fc.bias"].grad.square())


def test_the_mean_fisher_is_the_mean_of_each_batchs_own():
    groups = consolidation.normalization_groups(NAMES)
    batches = [{n: p.grad for n, p in toy(seed)[0].items()} for seed in range(3)]
    slow = [consolidation.adaptive_fisher(batch, groups) for batch in batches]
    mean = consolidation.mean_fisher(iter(batches), groups)
    for name, value in mean.items():
        torch.testing.assert_close(value, sum(f[name] for f in slow) / 3)
    assert "unreached" not in mean


def test_the_running_mean_is_the_mean_of_all_moments():
    checkpoints = [toy(seed)[1] for seed in range(12)]
    running = consolidation.RunningMean(checkpoints[0])
    for checkpoint in checkpoints[1:]:
        running.add(checkpoint)
    for name, value in running.value.items():
        torch.testing.assert_close(value, sum(m[name] for m in checkpoints) / 12)


def test_interpolation_is_exact_at_its_ends():
    (_, one), (_, two) = toy(1), toy(2)
    for share, wanted in ((1.0, one), (0.0, two)):
        mixed = consolidation.interpolate(one, two, share)
        assert all(torch.equal(mixed[name], wanted[name]) for name in NAMES)


def test_parameters_hold_other_weights_for_a_while_and_get_theirs_back():
    parameters, other = toy()
    own = consolidation.snapshot(parameters)
    with consolidation.holding(parameters, other):
        assert all(torch.equal(parameters[name], other[name]) for name in NAMES)
    assert all(torch.equal(parameters[name], own[name]) for name in NAMES)
