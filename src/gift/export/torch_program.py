"""The image classifier as a program of ``torch.export`` (.pt2)."""

from __future__ import annotations

from pathlib import Path

import torch

from gift.export.agreement import difference
from gift.export.source import Source

FILE = "model.pt2"


def write(source: Source, folder: Path) -> float:
    """Write the program, and compare it, read back, for batches of several sizes.

    Returns:
        The largest difference, see :func:`gift.export.agreement.difference`.
    """
    path = folder / FILE
    torch.export.save(source.program, path)
    program = torch.export.load(path).module()
    with torch.no_grad():
        whole = program(source.pixels)
        single = torch.cat([program(image[None]) for image in source.pixels])
    return difference(torch.cat([whole, single]), source.logits.repeat(2, 1), source.scale)
