"""Values of the ``.mat`` files that some data sets come with.

scipy sets memory aside for as many entries as a file says it has, so what it says is checked first.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gift.data.readers.reading import existing

_MOST_BYTES = 16 * 2**20
"""Of a file, packed and unpacked; the largest official one unpacks to less than a quarter."""
_MOST_DEPTH = 4
"""Of variables inside each other; the official ones hold one inside another."""
_MATRIX, _PACKED = 14, 15
_OF_VARIABLES = {1, 2, 3}
"""Kinds of matrices (cells, structures, objects) whose entries are variables of 8 bytes or more."""

_Element = tuple[int, memoryview]


def load(path: Path, *names: str) -> list[Any]:
    """Variables of a MATLAB file, without their dimensions of length one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, holds less than it says, or has no such variable.
    """
    from scipy.io import loadmat

    try:
        _check_sizes(existing(path))
        content = loadmat(path, squeeze_me=True, variable_names=names)
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy raises nearly every type on damaged files
        raise ValueError(f"{path} cannot be read ({error})") from error
    if missing := [name for name in names if name not in content]:
        raise ValueError(f"{path} has no variable {missing[0]!r}")
    return [content[name] for name in names]


def _check_sizes(path: Path) -> None:
    """Refuse a file in which something is said to be larger than it is, or that unpacks to much."""
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES // 2**20} MiB")
    content = memoryview(path.read_bytes())
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
    if order is None:
        raise ValueError("it is no MATLAB file of version 5")
    room = _MOST_BYTES
    for kind, body in _elements(content[128:], order):
        if kind == _PACKED:
            unpacked = zlib.decompressobj().decompress(body, room + 1)
            room -= len(unpacked)
            if room < 0:
                raise ValueError(f"it unpacks to more than {_MOST_BYTES // 2**20} MiB")
            _check_matrices(_elements(memoryview(unpacked), order), order)
        else:
            _check_matrices([(kind, body)], order)


def _check_matrices(elements: Iterable[_Element], order: str, depth: int = 1) -> None:
    if depth > _MOST_DEPTH:
        raise ValueError(f"it holds variables inside each other, more than {_MOST_DEPTH} deep")
    for kind, body in elements:
        if kind != _MATRIX or not body:
            continue
        parts = list(_elements(body, order))
        (_, flags), (_, dimensions), *_ = parts
        sizes = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
        least = 8 if struct.unpack(f"{order}I", flags[:4])[0] & 0xFF in _OF_VARIABLES else 1
        if min(sizes, default=0) < 0 or least * math.prod(sizes) > len(body):
            raise ValueError(f"a variable says that it has {sizes} entries, which it has not")
        _check_matrices(parts, order, depth + 1)


def _elements(content: memoryview, order: str) -> Iterator[_Element]:
    """The kinds and bodies of the elements that follow each other."""
    position = 0
    while position + 8 <= len(content):
        kind, size = struct.unpack(f"{order}II", content[position : position + 8])
        start = position + 8
        following = start + (size if kind == _PACKED else -(-size // 8) * 8)
        if kind >> 16:  # a short element: size, kind and body in eight bytes
            kind, size, start, following = kind & 0xFFFF, kind >> 16, position + 4, start
        if start + size > len(content):
            raise ValueError(f"it says {size} bytes follow, but it has {len(content) - start}")
        yield kind, content[start : start + size]
        position = following
