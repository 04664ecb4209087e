"""Quadratic penalties towards earlier weights: l2, EWC, adaptive weight consolidation.

The penalties have no autograd graph. All are quadratic in the distance to the anchor with weights
that are constants of the step, so their gradient is written down and added to ``.grad`` in place:

    l2:  2 * weight * (theta - anchor)
    EWC: 2 * weight * F * (theta - anchor),  F fixed for the task
    AWC: 2 * weight * F * (theta - anchor),  F = g**2 / mean(g**2),  g = gradient of the anchor loss

Parameters are mappings from the model's names to tensors; the names matter for one thing only,
see :func:`normalization_groups`.

All of this waits for memory. On a CPU, a piece of a tensor that fits the cache therefore goes
through all operations before the next piece. On a GPU, where each operation has to be started, and
for tensors that are spread over processes, an operation takes all tensors at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from gift.weights.layout import fused_groups

FLOOR = 1e-6
"""Fisher weight of a tensor that the anchor loss does not reach, as in the official code."""

Normalization = Literal["fused", "tensor", "none"]
"""Over what the mean of squared gradients is taken, see :func:`normalization_groups`."""


_PIECE = 2**18
"""Elements of a piece for each thread."""


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
    thetas, anchors = list(parameters.values()), [anchor[name] for name in parameters]
    gradients = _ensured_gradients(thetas)
    if _are_plain(thetas, anchors, gradients):
        value = 0.0
        for _, (distance, gradient) in _distances(thetas, anchors, gradients):
            gradient.add_(distance, alpha=2 * weight)
            value += float(torch.dot(distance, distance))
        return thetas[0].new_tensor(weight * value)
    distances = torch._foreach_sub(thetas, anchors)
    torch._foreach_add_(gradients, distances, alpha=2 * weight)
    return weight * torch.stack(torch._foreach_norm(distances)).square().sum()


@torch.no_grad()
def add_weighted_gradient(
    parameters: Mapping[str, Tensor],
    anchor: Mapping[str, Tensor],
    fisher: Mapping[str, Tensor],
    *,
    weight: float,
) -> Tensor:
    """Add the gradient of ``weight * sum(F * (theta - anchor)**2)`` to the parameters' gradients.

    Args:
        parameters: tensors of any shapes; a missing ``.grad`` counts as zero and is created.
        anchor: the same names, the weights to stay near.
        fisher: F >= 0 by name, of the parameters' shapes; :data:`FLOOR` where a name is missing.
        weight: lambda >= 0.

    Returns:
        The penalty's value, a scalar.
    """
    names = [name for name in parameters if name in fisher]
    value = _add_floor_gradient(parameters, anchor, names, weight)
    if not names:
        return value
    thetas, anchors = [parameters[name] for name in names], [anchor[name] for name in names]
    gradients, weights = _ensured_gradients(thetas), [fisher[name] for name in names]
    if _are_plain(thetas, anchors, gradients, weights):
        reached = 0.0
        for _, (distance, gradient, own) in _distances(thetas, anchors, gradients, weights):
            gradient.addcmul_(distance, own, value=2 * weight)
            reached += float(torch.dot(distance.square_(), own))
        return value + weight * reached
    distances = torch._foreach_sub(thetas, anchors)
    torch._foreach_addcmul_(gradients, distances, weights, value=2 * weight)
    torch._foreach_mul_(distances, distances)
    torch._foreach_mul_(distances, weights)
    return value + weight * torch.stack([away.sum() for away in distances]).sum()


Groups = Sequence[tuple[str, ...]]


def normalization_groups(names: Iterable[str], mode: Normalization = "fused") -> Groups | None:
    """Names whose Fisher values share one mean.

    Args:
        names: of the parameters.
        mode: "fused": as the published method, one mean per tensor of the fused layout, see
            :func:`~gift.weights.layout.fused_groups`; "tensor" lets every tensor stand alone;
            "none" gives None, which the functions of this module take as: do not normalise.

    >>> normalization_groups(["a.q_proj.bias", "a.k_proj.bias"], "tensor")
    [('a.q_proj.bias',), ('a.k_proj.bias',)]
    """
    if mode == "none":
        return None
    return [(name,) for name in names] if mode == "tensor" else fused_groups(names)


@torch.no_grad()
def adaptive_fisher(
    gradients: Mapping[str, Tensor | None], groups: Groups | None
) -> dict[str, Tensor]:
    """The adaptive Fisher weights of one step (GIFT, Eq. 8, normalised as in the official code).

    ``F = g**2 / mean(g**2)`` with the mean over each group, so that the weights of a group sum to
    its number of elements: the penalty spends the budget of plain l2 and only redistributes it.
    They are invariant to the scale of the loss.

    Args:
        gradients: name -> gradient of the anchor loss, or None where it does not reach.
        groups: from :func:`normalization_groups`; names without a gradient must be alone or with
            others that have none. None: ``F = g**2``.

    Returns:
        name -> non-negative weights of the gradient's shape; zeros where a whole group's gradient
        is zero. Names without a gradient are skipped (their weight is :data:`FLOOR`).
    """
    reached = {name: g for name, g in gradients.items() if g is not None}
    if not reached:
        return {}
    factors = _reciprocal_means(list(reached), list(reached.values()), groups)
    return {
        name: gradient.square() * factor
        for (name, gradient), factor in zip(reached.items(), factors, strict=True)
    }


def mean_fisher(
    batches: Iterable[Mapping[str, Tensor | None]], groups: Groups | None
) -> dict[str, Tensor]:
    """The mean of :func:`adaptive_fisher` over several gradients: a static Fisher (EWC-V).

    Args:
        batches: one mapping name -> gradient per batch, at least one, the same names reached in
            each.
        groups: as for :func:`adaptive_fisher`.
    """
    total: dict[str, Tensor] = {}
    count = 0
    for count, gradients in enumerate(batches, start=1):
        for name, fisher in adaptive_fisher(gradients, groups).items():
            total[name] = fisher if count == 1 else total[name].add_(fisher)
    assert count, "at least one batch is needed"
    return {name: fisher.div_(count) for name, fisher in total.items()}


def empirical_fisher(
    gradients: Iterable[Mapping[str, Tensor]], groups: Groups | None
) -> dict[str, Tensor]:
    """The diagonal empirical Fisher information: the mean of squared per-image gradients.

    The mean over images comes first, the normalisation of :func:`adaptive_fisher` after it:
    ``F = mean(g_i**2) / mean over the group of that``.

    Args:
        gradients: one mapping name -> gradient of the log-likelihood per image, at least one.
        groups: as for :func:`adaptive_fisher`; None does not normalise.
    """
    squares: dict[str, Tensor] = {}
    count = 0
    for count, gradient in enumerate(gradients, start=1):
        for name, value in gradient.items():
            if count == 1:
                squares[name] = torch.zeros_like(value)
            squares[name].addcmul_(value, value)
    assert count, "at least one image is needed"
    roots = {name: square.div_(count).sqrt_() for name, square in squares.items()}
    return adaptive_fisher(roots, groups)


@torch.no_grad()
def add_adaptive_gradient(
    parameters: Mapping[str, Tensor],
    anchor: Mapping[str, Tensor],
    groups: Groups | None,
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
        groups: from :func:`normalization_groups`; None does not normalise.
        weight: lambda >= 0.

    Returns:
        The penalty's value ``weight * sum(F * (theta - anchor)**2)``, a scalar.
    """
    names = [name for name, parameter in parameters.items() if parameter.grad is not None]
    value = _add_floor_gradient(parameters, anchor, names, weight)
    if not names:
        return value
    thetas, anchors = [parameters[name] for name in names], [anchor[name] for name in names]
    gradients = _ensured_gradients(thetas)
    factors = torch.stack(_reciprocal_means(names, gradients, groups))
    if _are_plain(thetas, anchors, gradients):
        steps, squares = (2 * weight * factors).tolist(), [0.0] * len(names)
        for number, (moved, gradient) in _distances(thetas, anchors, gradients):
            moved.mul_(gradient)
            squares[number] += float(torch.dot(moved, moved))
            gradient.addcmul_(moved, gradient, value=steps[number])
        return value + weight * (factors * factors.new_tensor(squares)).sum()
    distances = torch._foreach_sub(thetas, anchors)
    torch._foreach_mul_(distances, gradients)  # in place: memory is what this costs
    norms = torch.stack(torch._foreach_norm(distances))
    torch._foreach_mul_(distances, list((2 * weight * factors).unbind()))
    torch._foreach_addcmul_(gradients, distances, gradients)
    return value + weight * (factors * norms.square()).sum()


def _add_floor_gradient(
    parameters: Mapping[str, Tensor],
    anchor: Mapping[str, Tensor],
    reached: Iterable[str],
    weight: float,
) -> Tensor:
    """:func:`add_l2_gradient` with the weight :data:`FLOOR` for all but the reached names."""
    names = set(reached)
    others = {name: parameter for name, parameter in parameters.items() if name not in names}
    if not others:
        return next(iter(parameters.values())).new_zeros(())
    return add_l2_gradient(others, anchor, weight=FLOOR * weight)


def _reciprocal_means(
    names: Sequence[str], gradients: Sequence[Tensor], groups: Groups | None
) -> list[Tensor]:
    """1 / mean(g**2) of each name's group, 0 where that mean is 0; 1 without groups."""
    if groups is None:
        return [g.new_ones(()) for g in gradients]
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


def _ensured_gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    """The parameters' gradients, zeros where there was none."""
    gradients = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    return gradients


def _are_plain(*columns: Sequence[Tensor]) -> bool:
    """Whether all are contiguous tensors of one dtype in this process's CPU memory."""
    return (
        all(
            type(tensor) in {Tensor, nn.Parameter}
            and tensor.device.type == "cpu"
            and tensor.is_contiguous()
            for tensor in chain(*columns)
        )
        and len({tensor.dtype for tensor in chain(*columns)}) == 1
    )


def _distances(
    thetas: Sequence[Tensor], anchors: Sequence[Tensor], *others: Sequence[Tensor]
) -> Iterator[tuple[int, list[Tensor]]]:
    """The way from the anchors of plain tensors, in pieces.

    Yields:
        The tensor's number; and a piece of ``theta - anchor``, free to be written to and gone with
        the next one, with the same piece of each of the others. All are flat.
    """
    size = _PIECE * torch.get_num_threads()
    scratch = torch.empty(min(size, max(map(Tensor.numel, thetas))), dtype=thetas[0].dtype)
    for number, tensors in enumerate(zip(thetas, anchors, *others, strict=True)):
        flat = (tensor.view(-1).split(size) for tensor in tensors)
        for theta, away, *pieces in zip(*flat, strict=True):
            yield number, [torch.sub(theta, away, out=scratch[: theta.numel()]), *pieces]
