"""What a MATLAB 5 file says of its sizes, looked at before anything is read with scipy.

After 128 bytes of header come elements: type and length, four bytes each, and the content, which of
a matrix are elements again. Short elements have both in two bytes each. Of type 15 are packed ones.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Literal

_Order = Literal["big", "little"]
_INT32, _MATRIX, _PACKED = 5, 14, 15
_MOST_BYTES = 16 * 2**20
_MOST_LEVELS = 20


def check_sizes(content: bytes) -> None:
    """Refuse a file that would take far more memory than it has bytes.

    Raises:
        ValueError: unpacked it has more than 16 MiB, a matrix says that it holds more values than
            it has bytes, or matrices are nested more than 20 levels deep.
    """
    order: _Order = "big" if content[126:128] == b"MI" else "little"
    waiting = [(0, kind, data) for kind, data in _elements(content[128:], order)]
    total = 0
    while waiting:
        level, kind, data = waiting.pop()
        if level > _MOST_LEVELS:
            raise ValueError(f"it is nested more than {_MOST_LEVELS} levels deep")
        if kind == _PACKED:
            data = zlib.decompressobj().decompress(data, _MOST_BYTES)
            total += len(data)
            if total >= _MOST_BYTES:
                raise ValueError(f"unpacked it is larger than {_MOST_BYTES >> 20} MiB")
            waiting += [(level + 1, kind, inner) for kind, inner in _elements(data, order)]
        elif kind == _MATRIX:
            inside = list(_elements(data, order))
            _check_shape(inside, len(data), order)
            waiting += [(level + 1, kind, inner) for kind, inner in inside]


def _check_shape(inside: list[tuple[int, bytes]], size: int, order: _Order) -> None:
    """The second element of a matrix has its dimensions; every value takes a byte at least."""
    if len(inside) < 2 or inside[1][0] != _INT32:
        return
    dimensions = inside[1][1]
    values = math.prod(
        int.from_bytes(dimensions[at : at + 4], order) for at in range(0, len(dimensions), 4)
    )
    if values > size:
        raise ValueError(f"a matrix of {values} values is said to be in {size} bytes")


def _elements(content: bytes, order: _Order) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 8 <= len(content):
        kind = int.from_bytes(content[place : place + 4], order)
        if kind >> 16:
            yield kind & 0xFFFF, content[place + 4 : place + 4 + (kind >> 16)]
            place += 8
            continue
        length = int.from_bytes(content[place + 4 : place + 8], order)
        yield kind, content[place + 8 : place + 8 + length]
        place += 8 + length
        if kind != _PACKED:
            place += -place % 8
