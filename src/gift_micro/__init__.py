"""The micro benchmark: images drawn by code, and small models trained on them.

It leaves ordinary artefacts (image folders, a CLIP folder, a diffusion pipeline) that take the same
path as any others, and registers them as a catalogue of ``gift``. Training of the models is in
:mod:`gift_micro.build`, drawing in :mod:`gift_micro.rendering`; importing this package loads
neither.
"""

from pathlib import Path

from gift.plugins import Catalogue


def _make(name: str, folder: Path, draw: int) -> None:
    from gift_micro.images import make_dataset

    make_dataset(name, folder, draw=draw)


GENERATORS = ("shared", "half", "clean", "foreign")
"""Generators that are not shipped: what each has learned is in :mod:`gift_micro.generators`."""

CATALOGUE = Catalogue(
    Path(__file__).parent,
    _make,
    buildable={f"generator-{name}": f"gift micro generator {name}" for name in GENERATORS},
)
"""The data sets, benchmarks, recipes and models of the micro benchmark."""
