"""CIFAR100: pickled arrays, read by an unpickler that knows nothing else."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gift.data.images import ImageArrays, PixelFile
from gift.data.readers.reading import Reading, existing


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``meta``, ``train`` and ``test``; labels are the fine ones."""
    listed = _load(root / "meta").get("fine_label_names")
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"{root / 'meta'} has no list 'fine_label_names'")
    names = tuple(_text(name) for name in listed)
    parts = {part: _images(root / part, len(names)) for part in ("train", "test")}
    return Reading(str(root), names, parts)


def _images(path: Path, classes: int) -> ImageArrays:
    content = _load(path)
    data, labels = content.get("data"), content.get("fine_labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3072,):
        raise ValueError(f"{path} has no 'data' of 3072 bytes per image")
    if not isinstance(labels, list) or len(labels) != len(data):
        raise ValueError(f"{path} has not one of 'fine_labels' for each of its {len(data)} images")
    if wrong := [label for label in labels if label not in range(classes)]:
        raise ValueError(f"{path} has the label {wrong[0]!r}, not 0 to {classes - 1}")
    pixels = np.ascontiguousarray(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return ImageArrays(tuple(range(len(data))), tuple(labels), PixelFile(path, pixels))


def _load(path: Path) -> dict[str, Any]:
    with existing(path).open("rb") as file:
        try:
            content = _Unpickler(file, encoding="bytes").load()
        except Exception as error:  # damaged pickles raise nearly every type
            raise ValueError(f"{path} cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no dictionary")
    return {_text(key): value for key, value in content.items()}


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _encode(text: str, encoding: object) -> bytes:
    if _text(encoding) != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding!r}")
    return text.encode("latin1")


_RECONSTRUCT: Callable[..., Any] = np.empty(0).__reduce__()[0]  # type: ignore[assignment]
_KNOWN: Mapping[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encode,
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
