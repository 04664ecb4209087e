"""Pulls towards earlier weights, as pure functions on named parameters.

The penalties have no autograd graph. Both are quadratic in the distance to the anchor with weights
that are constants of the step, so their gradient is written down and added to ``.grad`` in place:

    l2:  2 * weight * (theta - anchor)
    AWC: 2 * weight * F * (theta - anchor),  F = g**2 / mean(g**2),  g = gradient of the anchor loss

Parameters are mappings from the model's names to tensors; the names matter for one thing only,
see :func:`normalization_groups`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

FLOOR = 1e-6
"""Fisher weight of a tensor that the anchor loss does not reach, as in the official code."""

_QKV = re.compile(r"\b[qkv]_proj\b")


def snapshot(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Detached copies of the parameters: the anchor of a penalty."""
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


@torch.no_grad()
def add_l2_gradient(
    parameters: Mapping[str, Tensor], anchor: Mapping[str, Tensor], *, weight: float
) -> Tensor:
    """Add the gradient of ``weight * sum((theta - anchor)**2)`` to the parameters' gradients.

    Args:
        parameters: tensors of any shapes; a missing ``.grad`` counts as zero and is created.
        anchor: the same names, the weights to stay near.
        weight: lambda >= 0. The sum runs over all elements (not the mean).

    Returns:
        The penalty's value, a scalar.
    """
    tensors = list(parameters.values())
    _ensure_gradients(tensors)
    distance = torch._foreach_sub(tensors, [anchor[name] for name in parameters])
    torch._foreach_add_([_gradient(p) for p in tensors], distance, alpha=2 * weight)
    return weight * torch.stack(torch._foreach_norm(distance)).square().sum()


def normalization_groups(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names whose Fisher values share one mean.

    Models of the transformers library hold query, key and value projections as three tensors where
    OpenAI's CLIP holds one. The published method normalises per tensor of the fused layout, so the
    three belong together here; every other tensor stands alone.

    >>> normalization_groups(["a.q_proj.bias", "a.k_proj.bias", "a.v_proj.bias", "a.fc.bias"])
    [('a.q_proj.bias', 'a.k_proj.bias', 'a.v_proj.bias'), ('a.fc.bias',)]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_QKV.sub("qkv_proj", name), []).append(name)
    return [tuple(group) for group in groups.values()]


@torch.no_grad()
def adaptive_fisher(
    gradients: Mapping[str, Tensor | None], groups: Sequence[tuple[str, ...]]
) -> dict[str, Tensor]:
    """The adaptive Fisher weights of one step (GIFT, Eq. 8, normalised as in the official code).

    ``F = g**2 / mean(g**2)`` with the mean over each group, so that the weights of a group sum to
    its number of elements: the penalty spends the budget of plain l2 and only redistributes it.
    They are invariant to the scale of the loss.

    Args:
        gradients: name -> gradient of the anchor loss, or None where it does not reach.
        groups: from :func:`normalization_groups`; names without a gradient must be alone or with
            others that have none.

    Returns:
        name -> non-negative weights of the gradient's shape; zeros where a whole group's gradient
        is zero. Names without a gradient are left out (their weight is :data:`FLOOR`).
    """
    fisher: dict[str, Tensor] = {}
    for group in groups:
        squares = {name: g.square() for name in group if (g := gradients[name]) is not None}
        if not squares:
            continue
        total = torch.stack([s.sum() for s in squares.values()]).sum()
        mean = total / sum(s.numel() for s in squares.values())
        for name, square in squares.items():
            fisher[name] = torch.where(mean > 0, square / mean, torch.zeros_like(square))
    return fisher


@torch.no_grad()
def add_adaptive_gradient(
    parameters: Mapping[str, Tensor],
    anchor: Mapping[str, Tensor],
    groups: Sequence[tuple[str, ...]],
    *,
    weight: float,
) -> Tensor:
    """Add the gradient of adaptive weight consolidation to the parameters' gradients.

    Call it when the gradients hold those of the anchor loss and nothing else. Equal to adding
    ``2 * weight * F * (theta - anchor)`` with F from :func:`adaptive_fisher` (GIFT, Eq. 9), but F
    is never stored: ``g += (2 * weight / mean(g**2)) * g * g * (theta - anchor)``.

    Args:
        parameters: tensors of any shapes; where the anchor loss left no gradient, F is
            :data:`FLOOR` and the gradient is created.
        anchor: the same names, the weights to stay near.
        groups: from :func:`normalization_groups`.
        weight: lambda >= 0.

    Returns:
        The penalty's value ``weight * sum(F * (theta - anchor)**2)``, a scalar.
    """
    reached = [name for name, p in parameters.items() if p.grad is not None]
    gradients = [_gradient(parameters[name]) for name in reached]
    distance = torch._foreach_sub(
        [parameters[name] for name in reached], [anchor[name] for name in reached]
    )
    pull = torch._foreach_mul(distance, gradients)
    torch._foreach_mul_(pull, gradients)
    torch._foreach_mul_(pull, _reciprocal_means(reached, gradients, groups))
    torch._foreach_add_(gradients, pull, alpha=2 * weight)
    value = sum(
        (torch.dot(a.flatten(), b.flatten()) for a, b in zip(pull, distance, strict=True)),
        start=next(iter(parameters.values())).new_zeros(()),
    )
    for name in parameters.keys() - set(reached):
        parameter = parameters[name]
        away = parameter - anchor[name]
        parameter.grad = 2 * weight * FLOOR * away
        value = value + FLOOR * away.square().sum()
    return weight * value


def _reciprocal_means(
    names: Sequence[str], gradients: Sequence[Tensor], groups: Sequence[tuple[str, ...]]
) -> list[Tensor]:
    """1 / mean(g**2) of each name's group, 0 where that mean is 0."""
    norms = dict(zip(names, torch._foreach_norm(list(gradients)), strict=True))
    sizes = {name: g.numel() for name, g in zip(names, gradients, strict=True)}
    factor: dict[str, Tensor] = {}
    for group in groups:
        members = [name for name in group if name in norms]
        if not members:
            continue
        total = torch.stack([norms[name] for name in members]).square().sum()
        count = sum(sizes[name] for name in members)
        reciprocal = torch.where(total > 0, count / total, torch.zeros_like(total))
        factor.update(dict.fromkeys(members, reciprocal))
    return [factor[name] for name in names]


def _ensure_gradients(parameters: Iterable[Tensor]) -> None:
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
