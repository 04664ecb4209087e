"""Task vectors merged into one, and each task's way back from it (ConDU).

A task vector is the difference of a task's weights from those it was tuned from. All tasks share
one *unified* vector: in every element the largest value of the sign that wins the vote. A task
keeps the *mask* of the elements whose sign is its own, one bit each, and one *scale*, from which
its vector is rebuilt in good approximation::

    rebuilt = scale * mask * unified

:func:`unify`, :func:`task_mask`, :func:`rescale` and :func:`decouple` are these steps on tensors.
:class:`UnifiedVectors` merges task after task without ever rebuilding the earlier ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from gift.weights.averaging import with_prefix, without_prefix
from gift.weights.layout import fused_groups

Rescaler = Literal["tensor_mean", "global_sum"]
"""How large a vector is, for its scale, see :func:`size`."""


def unify(vectors: Sequence[Tensor]) -> Tensor:
    """One vector for several tasks (ConDU; "elect, mask and rescale" of EMR-Merging).

    In each element the sign of the sum wins, minus where the sum is zero; of the values of that
    sign the largest is taken, zero where there is none.

    Args:
        vectors: at least one, of one shape.

    >>> unify([torch.tensor([1.0, -2.0, 3.0, 0.0]), torch.tensor([2.0, 1.0, -3.0, 0.0])])
    tensor([ 2., -2., -3.,  0.])
    """
    stacked = torch.stack([_widened(vector) for vector in vectors])
    largest = stacked.amax(dim=0).clamp(min=0)
    smallest = stacked.amin(dim=0).clamp(max=0)
    return torch.where(stacked.sum(dim=0) > 0, largest, smallest)


def task_mask(vector: Tensor, unified: Tensor) -> Tensor:
    """Where a task's vector has the sign of the unified one: bool, False where either is zero.

    >>> task_mask(torch.tensor([1.0, -2.0, 0.0]), torch.tensor([3.0, 2.0, 1.0]))
    tensor([ True, False, False])
    """
    return torch.sign(vector) * torch.sign(unified) > 0


def decouple(unified: Tensor, mask: Tensor, scale: float) -> Tensor:
    """A task's vector rebuilt: ``scale * mask * unified``.

    >>> decouple(torch.tensor([2.0, -4.0]), torch.tensor([False, True]), 0.5)
    tensor([ 0., -2.])
    """
    return torch.where(mask, unified * scale, torch.zeros_like(unified))


def rescale(
    vector: Mapping[str, Tensor], unified: Mapping[str, Tensor], rescaler: Rescaler = "tensor_mean"
) -> float:
    """The scale that lets the rebuilt vector be as large as the task's own, see :func:`size`.

    Args:
        vector: a task's vector by parameter name.
        unified: that of all tasks, of the same names and shapes.
        rescaler: how large a vector is.

    Returns:
        The scale; 0 where the task agrees with the unified vector nowhere.

    >>> vector, unified = {"w": torch.tensor([1.0, -1.0])}, {"w": torch.tensor([4.0, 2.0])}
    >>> rescale(vector, unified)
    0.5
    """
    masked = {n: decouple(unified[n], task_mask(own, unified[n]), 1.0) for n, own in vector.items()}
    return _ratio(size(vector, rescaler), size(masked, rescaler))


def size(vector: Mapping[str, Tensor], rescaler: Rescaler = "tensor_mean") -> float:
    """How large a vector is.

    Args:
        vector: its parts by parameter name.
        rescaler: "tensor_mean": the mean of absolute values in each tensor of the fused layout (see
            :func:`~gift.weights.layout.fused_groups`), added up over the tensors (official code);
            "global_sum": the sum of all absolute values (paper).

    >>> vector = {"w": torch.tensor([1.0, -3.0]), "v": torch.tensor([2.0])}
    >>> size(vector), size(vector, "global_sum")
    (4.0, 6.0)
    """
    sums = {name: _absolute_sum(tensor) for name, tensor in vector.items()}
    return _size(sums, {name: tensor.numel() for name, tensor in vector.items()}, rescaler)


def pack_mask(mask: Tensor) -> Tensor:
    """Eight elements of a mask of any shape to a byte: uint8 [ceil(N / 8)], lowest bit first.

    >>> pack_mask(torch.tensor([True, False, True]))
    tensor([5], dtype=torch.uint8)
    """
    bits = torch.nn.functional.pad(mask.flatten().to(torch.uint8), (0, -mask.numel() % 8))
    rows = bits.view(-1, 8)
    packed = torch.zeros(len(rows), dtype=torch.uint8, device=mask.device)
    for bit in range(8):
        packed |= rows[:, bit] << bit
    return packed


def unpack_mask(packed: Tensor, shape: torch.Size) -> Tensor:
    """The mask, bool of its shape, that :func:`pack_mask` packed.

    >>> unpack_mask(torch.tensor([5], dtype=torch.uint8), torch.Size([3]))
    tensor([ True, False,  True])
    """
    places = torch.arange(8, dtype=torch.uint8, device=packed.device)
    bits = (packed[:, None] >> places) & 1
    return bits.flatten()[: shape.numel()].view(shape).bool()


class UnifiedVectors:
    """The vectors of several tasks, merged one after the other.

    Adding a task gives what rebuilding all earlier vectors and unifying them with the new one
    would, in one pass over the unified vector, the new one and the masks. Where an earlier task's
    mask is set, its rebuilt value is ``scale * unified``; so the sum of the votes is the unified
    value times the sum of these scales, the largest of them gives the largest rebuilt value, and a
    mask keeps its bits where the sign stays and loses them where it changes. A rebuilt vector is as
    large as the vector it came from (that is what scales are for), so a task's size never changes
    and its scale is its size over that of the masked unified vector.

    Args:
        rescaler: see :func:`size`.

    Attributes:
        unified: the vector of all tasks by parameter name.
        scales: one per task.
    """

    def __init__(self, rescaler: Rescaler = "tensor_mean") -> None:
        self._rescaler: Rescaler = rescaler
        self.unified: dict[str, Tensor] = {}
        self.scales: list[float] = []
        self._masks: list[dict[str, Tensor]] = []
        self._sizes: list[float] = []

    def __len__(self) -> int:
        """How many tasks are merged."""
        return len(self._masks)

    def mask(self, task: int, name: str) -> Tensor:
        """Where a task follows the unified vector, bool of the parameter's shape."""
        return unpack_mask(self._masks[task][name], self.unified[name].shape)

    @torch.no_grad()
    def add(self, vector: Iterable[tuple[str, Tensor]]) -> None:
        """Merge one more task.

        Args:
            vector: name and tensor of each parameter, taken one at a time, so it may be a
                generator; of the names and shapes of the tasks before. Half precision is widened
                to float32.

        Raises:
            ValueError: the names are not those of the tasks before; nothing is to be used then.
        """
        own: dict[str, float] = {}
        masked: list[dict[str, float]] = [{} for _ in range(len(self) + 1)]
        self._masks.append({})
        for name, narrow in vector:
            tensor = _widened(narrow)
            masks = self._merge(name, tensor)
            unified = self.unified[name]
            own[name] = _absolute_sum(tensor)
            for sums, packed, mask in zip(masked, self._masks, masks, strict=True):
                packed[name] = pack_mask(mask)
                sums[name] = _absolute_sum(decouple(unified, mask, 1.0))
        if missing := self.unified.keys() - self._masks[-1].keys():
            raise ValueError(f"the vector lacks {len(missing)} parameters, {min(missing)} for one.")
        counts = {name: tensor.numel() for name, tensor in self.unified.items()}
        self._sizes.append(_size(own, counts, self._rescaler))
        self.scales = [
            _ratio(before, _size(sums, counts, self._rescaler))
            for before, sums in zip(self._sizes, masked, strict=True)
        ]

    def rebuilt(self, task: int) -> dict[str, Tensor]:
        """A task's vector as far as the merging has kept it, by parameter name."""
        return {
            name: decouple(unified, self.mask(task, name), self.scales[task])
            for name, unified in self.unified.items()
        }

    def state_dict(self) -> dict[str, Tensor]:
        """``unified/<name>``, ``mask/<task>/<name>`` (packed), ``sizes`` and ``scales`` [tasks]."""
        state = with_prefix("unified", self.unified)
        for task, masks in enumerate(self._masks):
            state |= with_prefix(f"mask/{task}", masks)
        state["sizes"] = torch.tensor(self._sizes, dtype=torch.float64)
        state["scales"] = torch.tensor(self.scales, dtype=torch.float64)
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self._sizes, self.scales = state["sizes"].tolist(), state["scales"].tolist()
        self.unified = without_prefix("unified", state)
        self._masks = [without_prefix(f"mask/{task}", state) for task in range(len(self._sizes))]

    def _merge(self, name: str, tensor: Tensor) -> list[Tensor]:
        """Merge one parameter; returns every task's mask, the new one's last."""
        if len(self) == 1:
            self.unified[name] = torch.zeros_like(tensor)
        if name not in self.unified:
            raise ValueError(f"the tasks before have no parameter {name}.")
        before = self.unified[name]
        masks = [self.mask(task, name) for task in range(len(self) - 1)]
        votes, largest = torch.zeros_like(before), torch.zeros_like(before)
        for mask, scale in zip(masks, self.scales, strict=True):
            scaled = mask.to(before.dtype) * scale
            votes += scaled
            largest = torch.maximum(largest, scaled)
        wins = torch.where(before * votes + tensor > 0, 1, -1)
        stays = before * wins > 0
        kept = torch.where(stays, before.abs() * largest, 0.0)
        new = (tensor * wins).clamp(min=0)
        self.unified[name] = torch.maximum(kept, new) * wins
        return [*(mask & stays for mask in masks), tensor * wins > 0]


def _widened(tensor: Tensor) -> Tensor:
    """In float32 or better, without a graph."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))


def _absolute_sum(tensor: Tensor) -> float:
    return float(tensor.abs().sum(dtype=torch.float64))


def _size(sums: Mapping[str, float], counts: Mapping[str, int], rescaler: Rescaler) -> float:
    """:func:`size` from each tensor's sum of absolute values and its number of elements."""
    if rescaler == "global_sum":
        return math.fsum(sums.values())
    groups = fused_groups(sums)
    return math.fsum(
        math.fsum(sums[name] for name in group) / sum(counts[name] for name in group)
        for group in groups
    )


def _ratio(size: float, masked: float) -> float:
    return size / masked if masked > 0 else 0.0
