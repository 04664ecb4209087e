"""The formats of an export by name, and what they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from gift.data.labels import repeated
from gift.export import head, onnx_graph, torch_program, transformers_folder
from gift.export.source import Source
from gift.text import check_list, one_line, unknown

Write = Callable[[Source, Path], float]
"""Writes a format's files into a folder, reads them back, and gives the largest difference of what
they compute from what the learner does, see :func:`gift.export.agreement.difference`."""

FORMATS: dict[str, Write] = {
    "transformers": transformers_folder.write,
    "head": head.write,
    "onnx": onnx_graph.write,
    "torch": torch_program.write,
}


def check_request(folder: Path, names: Sequence[str]) -> None:
    """Refuse an export that cannot be written here, before any work.

    Raises:
        ValueError: the folder is there; no format, an unknown one, one that stands twice, or
            missing packages.
    """
    if folder.exists():
        raise ValueError(f"{one_line(folder)} exists; give a folder that is not there yet.")
    check_list("formats", names, "['transformers', 'onnx']")
    if not names:
        raise ValueError(f"no format is given; choose from {', '.join(FORMATS)}.")
    for name in names:
        if name not in FORMATS:
            raise ValueError(unknown("format", name, FORMATS))
    if twice := repeated(names):
        raise ValueError(f"the format {twice[0]} is given twice; give it once.")
    if "onnx" in names:
        missing = [name for name in onnx_graph.PACKAGES if find_spec(name) is None]
        if missing:
            raise ValueError(
                f"the format onnx needs {' and '.join(missing)}: pip install 'gift-cl[onnx]'."
            )
