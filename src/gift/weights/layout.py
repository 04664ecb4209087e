"""Parameters that the published code holds as one tensor."""

from __future__ import annotations

import re
from collections.abc import Iterable

_QKV = re.compile(r"\b[qkv]_proj\b")


def fused_groups(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that belong to one tensor in OpenAI's CLIP, together; every other name alone.

    Models of the transformers library hold query, key and value projections as three tensors where
    OpenAI's CLIP holds one. What the published methods compute per tensor (the normalisation of the
    Fisher weights in GIFT, the scales of ConDU) is per tensor of that layout.

    Args:
        names: of parameters, in order.

    >>> fused_groups(["a.q_proj.bias", "a.k_proj.bias", "a.v_proj.bias", "a.fc.bias"])
    [('a.q_proj.bias', 'a.k_proj.bias', 'a.v_proj.bias'), ('a.fc.bias',)]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_QKV.sub("qkv_proj", name), []).append(name)
    return [tuple(group) for group in groups.values()]
