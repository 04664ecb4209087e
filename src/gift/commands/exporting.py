"""Write the model of a learner by itself."""

from __future__ import annotations

import logging
from pathlib import Path

from gift.data import (
    Paths,
)
from gift.learner import Learner

log = logging.getLogger(__name__)


def export(folder: Path, out: Path, task: str | None = None, *, paths: Paths | None = None) -> None:
    """Write the model of the learner in a folder by itself, see :meth:`Learner.export`."""
    Learner.load(folder, paths=paths).export(out, task=task)
