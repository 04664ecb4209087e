"""Several processes on one computation: process group, FSDP, shared locks and signals."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gift.distributed.processes import (
        all_gather_objects,
        all_reduce,
        any_rank,
        backward,
        barrier,
        device,
        gather,
        initialise,
        is_main,
        main_first,
        map_rows,
        on_main,
        rank,
        shard,
        shared_lock,
        world_size,
    )

DEVICE = "GIFT_DEVICE"
"""The environment variable that names the device of this process and of those that it starts."""

__all__ = [
    "DEVICE",
    "all_gather_objects",
    "all_reduce",
    "any_rank",
    "backward",
    "barrier",
    "device",
    "gather",
    "initialise",
    "is_main",
    "main_first",
    "map_rows",
    "on_main",
    "rank",
    "shard",
    "shared_lock",
    "world_size",
]


def __getattr__(name: str) -> Any:
    """Import torch at the first use: who only reads a run folder needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("gift.distributed.processes"), name)
