"""Checkpoints of an unfinished training, so that a killed process loses minutes.

The last two are kept, each a folder ``step-<number>`` with a manifest. One that is damaged or of
another training is named and skipped.
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
from gift.runs.manifest import Manifest, problem_in, read_manifest, replacing

log = logging.getLogger(__name__)

_KEPT = 2
_TENSORS = "state.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training.

    Attributes:
        step: steps that were done.
        tensors: everything that the further steps depend on, by name.
    """

    step: int
    tensors: Mapping[str, Tensor]


class Checkpoints:
    """Checkpoints of one task's training below a folder; only the main process writes.

    Args:
        folder: where; made when the first checkpoint is kept.
        origin: what decides the training; checkpoints of another one are skipped.
        every_steps: steps between two checkpoints; 0 = not by steps.
        every_minutes: minutes between two checkpoints; 0 = not by time.
    """

    def __init__(
        self,
        folder: Path,
        origin: Manifest | None = None,
        *,
        every_steps: int = 0,
        every_minutes: float = 10.0,
    ) -> None:
        self._folder = folder
        self._origin = origin or Manifest()
        self._every_steps = every_steps
        self._every_seconds = 60 * every_minutes
        self._last = time.monotonic()
        self._own: list[int] = []

    def is_due(self, step: int) -> bool:
        """Whether to keep a checkpoint after ``step`` steps; the same on all processes."""
        if self._every_steps and step % self._every_steps == 0:
            return True
        late = 0 < self._every_seconds <= time.monotonic() - self._last
        return distributed.any_rank(late)

    def keep(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Write a checkpoint, whole or not at all; only the last two of this training stay.

        Args:
            step: steps that were done.
            tensors: on any device.

        Raises:
            OSError: it cannot be written; the checkpoints before are intact.
        """
        self._last = time.monotonic()
        if not distributed.is_main():
            return
        with replacing(self._path(step), self._origin) as new:
            plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
            save_file(plain, new / _TENSORS)
        self._own = [*self._own, step][-_KEPT:]
        for other in set(self._steps()) - set(self._own):
            shutil.rmtree(self._path(other), ignore_errors=True)
        for unfinished in self._folder.glob("step-*.new"):  # of a killed process
            shutil.rmtree(unfinished, ignore_errors=True)

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint of this training; None where there is none."""
        for step in reversed(self._steps()):
            path = self._path(step)
            if problem := problem_in(path):
                log.warning("checkpoint %s: %s. It is skipped.", path, problem)
                continue
            manifest = read_manifest(path)
            assert manifest is not None
            if other := self._origin.foreign(manifest):
                log.warning("checkpoint %s is of other %s; it is skipped.", path, ", ".join(other))
                continue
            self._own = [step]
            return Checkpoint(step, load_file(path / _TENSORS))
        return None

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:07d}"

    def _steps(self) -> list[int]:
        """The steps of the checkpoints that are there, in order."""
        names = [path.name.removeprefix("step-") for path in self._folder.glob("step-*")]
        return sorted(int(name) for name in names if name.isdigit())
