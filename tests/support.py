"""Small made-up data that several tests share."""

from __future__ import annotations

import importlib.util
import os
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image
from torch import Tensor

from gift.data.labels import LabelSpace


@dataclass(frozen=True)
class NoiseImages:
    """Labelled images of coloured noise, always the same."""

    count: int
    classes: int
    size: int = 40
    seed: int = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Image.Image:
        rng = np.random.default_rng([self.seed, index])
        colour = np.random.default_rng([9, self.labels[index]]).integers(0, 200, 3)
        noise = rng.integers(0, 55, (self.size, self.size, 3))
        return Image.fromarray((colour + noise).astype(np.uint8))

    @cached_property
    def labels(self) -> tuple[int, ...]:
        return tuple(index % self.classes for index in range(self.count))

    @property
    def fingerprint(self) -> str:
        return repr(self)

    @property
    def stamp(self) -> str:
        return repr(self)


def words(name: str, classes: int = 3) -> LabelSpace:
    """A label space with short class names."""
    names = tuple(f"{name} {letter}" for letter in "abcdefgh"[:classes])
    return LabelSpace(name, names, ("a photo of a {}.", "the picture of {}"))


def write_folder(folder, classes=("red", "green"), count=4, size=20, seed=0):
    """An image folder with one sub-folder per class."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            rng = np.random.default_rng([seed, label, index])
            pixels = np.full((size, size, 3), 40 * label) + rng.integers(0, 50, (size, size, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")
    return folder


def first_loss(method, model, batch) -> Tensor:
    """The loss that a step would run backward on first, with its graph."""

    class Enough(Exception):
        pass

    def stop(loss: Tensor) -> None:
        found.append(loss)
        raise Enough

    found: list[Tensor] = []
    with suppress(Enough):
        method.step(model, batch, stop)
    return found[0]


def load_file(path: Path) -> ModuleType:
    """A script outside the package as a module."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def memory_below(most: float) -> Iterator[None]:
    """Fail where more bytes are set aside at a time than a refusal needs."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@dataclass
class Kill:
    """An audit hook that ends the process at once before its n-th write below a folder."""

    folder: Path
    left: int

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            is_write = int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR)
        else:
            is_write = event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
        path = arguments[0] if arguments else None
        if is_write and isinstance(path, str | Path) and str(path).startswith(str(self.folder)):
            self.left -= 1
            if self.left < 0:
                os._exit(9)
