"""CIFAR100: pickled arrays, read by an unpickler that knows nothing else."""

from __future__ import annotations

import _codecs
import pickle
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from gift.data.images import ImageSource, pixel_source
from gift.data.readers import Splits, existing, named

_RECONSTRUCT = np.empty(0).__reduce__()[0]
_KNOWN = {
    ("_codecs", "encode"): _codecs.encode,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}
"""All that the official files refer to, and what numpy 2 writes in its place."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, the official file does not")
        return _KNOWN[module, name]


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``meta``, ``train`` and ``test``; labels are the fine ones."""
    names = _load(root / "meta").get("fine_label_names")
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise ValueError(f"{root / 'meta'} has no list of names 'fine_label_names'")
    texts = list(map(_text, names))
    return {split: _images(root / split, texts) for split in ("train", "test")}


def _images(path: Path, names: Sequence[str]) -> tuple[ImageSource, list[str]]:
    content = _load(path)
    data, labels = content.get("data"), content.get("fine_labels")
    if not isinstance(data, np.ndarray) or (data.dtype, data.shape[1:]) != (np.uint8, (3072,)):
        raise ValueError(f"{path} has no 'data' of 3072 bytes per image")
    if not isinstance(labels, list) or len(labels) != len(data):
        raise ValueError(f"{path} has not one of 'fine_labels' for each of its {len(data)} images")
    if not all(type(label) is int for label in labels):
        raise ValueError(f"{path} has 'fine_labels' that are no whole numbers")
    pixels = np.ascontiguousarray(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return pixel_source(path, pixels), named(labels, names, path)


def _load(path: Path) -> dict[str, Any]:
    try:
        content = _Unpickler(BytesIO(existing(path).read_bytes()), encoding="bytes").load()
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged pickles raise nearly every type
        raise ValueError(f"{path} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no dictionary")
    return {_text(key): value for key, value in content.items() if isinstance(key, str | bytes)}


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
