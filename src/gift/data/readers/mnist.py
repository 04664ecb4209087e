"""MNIST: images and labels in idx files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gift.data.images import ImageArrays, PixelFile
from gift.data.readers.reading import Reading, existing

_PARTS = {"train": "train", "t10k": "test"}
_BYTES = 8
"""The idx code of unsigned bytes."""


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``train-images-idx3-ubyte`` and the three others, unpacked."""
    parts = {}
    for word, part in _PARTS.items():
        path, labels_path = root / f"{word}-images-idx3-ubyte", root / f"{word}-labels-idx1-ubyte"
        pixels, labels = _idx(path, 3), _idx(labels_path, 1)
        if len(pixels) != len(labels):
            raise ValueError(f"{path} has {len(pixels)} images, {labels_path} {len(labels)} labels")
        positions = tuple(range(len(labels)))
        parts[part] = ImageArrays(positions, tuple(labels.tolist()), PixelFile(path, pixels))
    return Reading(str(root), None, parts)


def _idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    content = existing(path).read_bytes()
    if content[:4] != bytes([0, 0, _BYTES, dimensions]):
        raise ValueError(f"{path} is no unpacked idx file of {dimensions} dimensions")
    start = 4 + 4 * dimensions
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    size = int(np.prod(shape))
    if len(shape) != dimensions or len(content) != start + size:
        raise ValueError(f"{path} has {len(content)} bytes, but {start + size} belong in it")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
