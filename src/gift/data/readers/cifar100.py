"""CIFAR100: pickled arrays, read by an unpickler that knows nothing else."""

from __future__ import annotations

import math
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gift.data.images import ImageArrays, PixelFile
from gift.data.readers.reading import Reading, existing


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``meta``, ``train`` and ``test``; labels are the fine ones."""
    listed = _load(root / "meta").get("fine_label_names")
    if not isinstance(listed, list) or not all(isinstance(name, str | bytes) for name in listed):
        raise ValueError(f"{root / 'meta'} has no list of names 'fine_label_names'")
    names = tuple(_text(name) for name in listed)
    parts = {part: _images(root / part, len(names)) for part in ("train", "test")}
    return Reading(str(root), names, parts)


def _images(path: Path, classes: int) -> ImageArrays:
    content = _load(path)
    data, labels = content.get("data"), content.get("fine_labels")
    values = data.values if isinstance(data, _Array) else None
    if values is None or values.ndim != 2 or values.shape[1] != 3072:
        raise ValueError(f"{path} has no 'data' of 3072 bytes per image")
    if not isinstance(labels, list) or len(labels) != len(values):
        raise ValueError(
            f"{path} has not one of 'fine_labels' for each of its {len(values)} images"
        )
    if not all(type(label) is int for label in labels):
        raise ValueError(f"{path} has 'fine_labels' that are no whole numbers")
    if wrong := [label for label in labels if label not in range(classes)]:
        raise ValueError(f"{path} has the label {wrong[0]}, not 0 to {classes - 1}")
    pixels = np.ascontiguousarray(values.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return ImageArrays(tuple(range(len(values))), tuple(labels), PixelFile(path, pixels))


def _load(path: Path) -> dict[str, Any]:
    try:
        # From memory, where no more can be asked for than the file holds.
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


class _Array:
    """An array of bytes on its way out of a pickle; numpy itself is never asked to unpickle."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: NDArray[np.uint8] | None = None

    def __setstate__(self, state: object) -> None:
        match state:
            case (1, tuple(shape), _Bytes(), is_fortran, bytes(content)):
                pass
            case _:
                raise pickle.UnpicklingError("it holds an array that is not of bytes")
        if not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) != len(content):
            raise pickle.UnpicklingError("it holds an array of another size than it says")
        order: Any = "F" if is_fortran else "C"
        self.values = np.frombuffer(content, np.uint8).reshape(shape, order=order)


class _Bytes:
    """The data type of unsigned bytes, the only one there is."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Byte order and the like, which bytes do not have."""


class _Call:
    """A function that a pickle may name; nothing can be set on it."""

    __slots__ = ("name",)
    name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "name", name)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError("it changes a function")

    def __call__(self, *arguments: object) -> object:
        match self.name, arguments:
            case "encode", (str(text), "latin1" | b"latin1"):
                return text.encode("latin1")
            case "encode", (str(), str() | bytes() as encoding):
                raise pickle.UnpicklingError(f"it encodes text as {_text(encoding)!r}")
            case "dtype", ("u1" | b"u1", *_):
                return _Bytes()
            case "reconstruct", (_Call(), *_):
                return _Array()
        raise pickle.UnpicklingError(f"it calls {self.name} with what the official file does not")


_KNOWN = {
    ("_codecs", "encode"): _Call("encode"),
    ("numpy", "dtype"): _Call("dtype"),
    ("numpy", "ndarray"): _Call("ndarray"),
    ("numpy.core.multiarray", "_reconstruct"): _Call("reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"): _Call("reconstruct"),
}
"""All that the official files refer to, and what numpy 2 writes in its place."""


class _Unpickler(pickle._Unpickler):
    """The one written in Python: the other sets memory aside for any number that a file names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, the official file does not")
        return _KNOWN[module, name]
