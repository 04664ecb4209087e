"""MNIST: images and labels in idx files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gift.data.images import pixel_source
from gift.data.readers import Splits, existing

_BYTES = 8
"""The idx code of unsigned bytes."""


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``train-images-idx3-ubyte`` and the three others, unpacked."""
    splits: Splits = {}
    for word, split in {"train": "train", "t10k": "test"}.items():
        path, labels_path = root / f"{word}-images-idx3-ubyte", root / f"{word}-labels-idx1-ubyte"
        pixels, labels = _idx(path, 3), _idx(labels_path, 1)
        if len(pixels) != len(labels):
            raise ValueError(f"{path} has {len(pixels)} images, {labels_path} {len(labels)} labels")
        splits[split] = pixel_source(path, pixels), labels.tolist()
    return splits


def _idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    start = 4 + 4 * dimensions
    with existing(path).open("rb") as file:
        header = file.read(start)
        if len(header) < start or header[:4] != bytes([0, 0, _BYTES, dimensions]):
            raise ValueError(f"{path} is no unpacked idx file of {dimensions} dimensions")
        shape = np.frombuffer(header[4:], ">u4").tolist()
        there, wanted = path.stat().st_size, start + math.prod(shape)
        if there != wanted:
            raise ValueError(f"{path} has {there} bytes, but {wanted} belong in it")
        return np.frombuffer(file.read(), np.uint8).reshape(shape)
