"""Moments of an unfinished training on disk, so that a killed process loses minutes.

The last two are kept, each a folder ``step-<number>`` with checksums; a moment that is damaged is
named and the one before is used.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from gift import distributed
from gift.files import damage, read_json, replacing, write_json

log = logging.getLogger(__name__)

_KEPT = 2


@dataclass(frozen=True)
class Moment:
    """A training as it was.

    Attributes:
        step: steps that were done.
        tensors: everything that the further steps depend on, by name.
    """

    step: int
    tensors: Mapping[str, Tensor]


class Checkpoints:
    """Moments of one task's training below a folder; only the main process writes.

    Args:
        folder: where; made when the first moment is kept.
        training: what decides the training; moments of another one are left out.
        every_steps: steps between two moments; 0 = not by steps.
        every_minutes: minutes between two moments; 0 = not by time.
    """

    def __init__(
        self, folder: Path, training: str = "", *, every_steps: int = 0, every_minutes: float = 10.0
    ) -> None:
        self._folder = folder
        self._training = training
        self._every_steps = every_steps
        self._every_seconds = 60 * every_minutes
        self._last = time.monotonic()
        self._own: list[int] = []

    def is_due(self, step: int) -> bool:
        """Whether a moment should be kept after ``step`` steps; the same on all processes."""
        if self._every_steps and step % self._every_steps == 0:
            return True
        late = 0 < self._every_seconds <= time.monotonic() - self._last
        return distributed.any_rank(late)

    def keep(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Write a moment, whole or not at all; only the last two of this training stay.

        Args:
            step: steps that were done.
            tensors: on any device.

        Raises:
            OSError: it cannot be written; the moments before are intact.
        """
        self._last = time.monotonic()
        if not distributed.is_main():
            return
        with replacing(self._path(step)) as new:
            plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
            save_file(plain, new / _TENSORS)
            write_json(new / _STATE, {"step": step, "training": self._training})
        self._own = [*self._own, step][-_KEPT:]
        for other in set(self._steps()) - set(self._own):
            shutil.rmtree(self._path(other), ignore_errors=True)

    def newest(self) -> Moment | None:
        """The newest whole moment; None where there is none."""
        for step in reversed(self._steps()):
            path = self._path(step)
            if problem := damage(path, sealed=True):
                log.warning("checkpoint %s: %s. It is left out.", path, problem)
            elif read_json(path / _STATE)["training"] != self._training:
                log.warning("checkpoint %s is of other settings or images. It is left out.", path)
            else:
                self._own = [step]
                return Moment(step, load_file(path / _TENSORS))
        return None

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:07d}"

    def _steps(self) -> list[int]:
        """The steps of the moments that are there, the newest last."""
        names = [path.name.removeprefix("step-") for path in self._folder.glob("step-*")]
        return sorted(int(name) for name in names if name.isdigit())


_TENSORS = "state.safetensors"
_STATE = "state.json"
