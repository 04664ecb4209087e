"""The tiny world: pictures drawn by code, and the small models that learn from them.

It leaves ordinary artefacts (image folders, a CLIP folder, a diffusion pipeline) that take the
same path as any others. Building is in :mod:`gift_micro.build`, drawing in
:mod:`gift_micro.world`; importing this package loads neither.
"""

from pathlib import Path


def models_folder() -> Path:
    """Where the shipped models are: ``clip``, ``diffusion`` and, about both, ``build.json``."""
    return Path(__file__).parent / "models"
