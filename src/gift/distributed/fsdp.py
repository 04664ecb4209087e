"""FSDP: weights, gradients and optimiser state sharded over processes while a task is learned.

PyTorch's FSDP2: a process keeps its rows of every weight, and a layer's weights come together only
while the layer is computed. What belongs to the weights element by element (gradients, optimiser
state, anchors, penalties) is sharded like them, and arithmetic with it stays ordinary arithmetic.
Before and after the task every process holds whole weights, so evaluation and files know nothing
of it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from gift.distributed import processes

Towers = TypeVar("Towers", bound=nn.Module)


def check(method: str, *, is_able: bool) -> None:
    """Refuse what cannot be sharded.

    Raises:
        ValueError: the method is not able to work on sharded weights, or there is one process.
    """
    if not is_able:
        raise ValueError(
            f"training.shard = true does not go with method {method} and these settings, which "
            "need whole weights (a copy of the model, or gradients of single images); leave "
            "training.shard out, or take another method (see docs/many-processes.md)."
        )
    if processes.world_size() == 1:
        raise ValueError(
            "training.shard = true shards the weights over several processes, but there is one; "
            "start several, for instance with torchrun --nproc_per_node 4 -m gift run ..., or "
            "leave training.shard out."
        )


def shard_towers(towers: Towers, device: torch.device) -> Towers:
    """A copy whose weights are sharded over the processes; the same call on all of them.

    Args:
        towers: its weights go to the CPU. Weights of its own, beside those of its children, stay
            whole and must not be trained.
        device: where the copy works.
    """
    mesh = init_device_mesh(device.type, (processes.world_size(),))
    sharded = copy.deepcopy(towers.cpu())
    for tower in sharded.children():
        lists = [module for module in tower.modules() if isinstance(module, nn.ModuleList)]
        for layer in (layer for layers in lists for layer in layers):
            fully_shard(layer, mesh=mesh)
        fully_shard(tower, mesh=mesh)
        # FSDP leaves the outermost weights together after a forward pass, up to the backward pass;
        # where none follows they would be out of date after the next change.
        tower.register_forward_hook(_take_apart)
    for parameter in sharded.parameters(recurse=False):
        parameter.data = parameter.data.to(device)
    return sharded


def _take_apart(module: nn.Module, *_: object) -> None:
    assert isinstance(module, FSDPModule)
    module.reshard()


@contextmanager
def quiet_views() -> Iterator[None]:
    """No warning of FSDP that a tower's output is a view; nothing is changed in place here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
        yield


def full(tensor: Tensor) -> Tensor:
    """All rows of a sharded tensor, on every process; another tensor as it is."""
    return tensor.full_tensor().detach() if isinstance(tensor, DTensor) else tensor


def full_on_main(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """:func:`full` tensors for a file: on the main process's CPU, empty elsewhere."""
    found = {}
    for name, tensor in tensors.items():
        rows = full(tensor)
        if isinstance(tensor, DTensor):
            rows = rows.cpu() if processes.is_main() else rows.new_empty(0)
        found[name] = rows
    return found


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor on a weight's device, sharded like it where it has its shape."""
    if isinstance(like, DTensor) and tensor.shape == like.shape:
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return tensor.to(like.device, copy=True)


@torch.no_grad()
def copy_back(towers: nn.Module, sharded: nn.Module) -> None:
    """Give the weights of a :func:`shard_towers` copy to the original, wherever that is."""
    for original, parameter in zip(towers.parameters(), sharded.parameters(), strict=True):
        original.copy_(full(parameter))
