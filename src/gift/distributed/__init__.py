"""Several processes on one computation: process group, FSDP, shared locks and signals."""

from gift.distributed.locks import all_gather_objects, shared_lock
from gift.distributed.processes import (
    all_reduce,
    any_rank,
    backward,
    barrier,
    gather,
    initialise,
    is_main,
    main_first,
    map_rows,
    on_main,
    rank,
    shard,
    world_size,
)

__all__ = [
    "all_gather_objects",
    "all_reduce",
    "any_rank",
    "backward",
    "barrier",
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
