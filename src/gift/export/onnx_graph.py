"""The image classifier as an ONNX graph, checked with ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from gift.export.agreement import difference
from gift.export.source import Source

FILE = "model.onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INPUT, OUTPUT = "pixels", "logits"

_LARGEST = 1_800_000_000
"""Bytes of weights in the graph's own file, whose format ends at 2 GiB; more go beside it."""


def write(source: Source, folder: Path) -> float:
    """Write the graph, and compare it for batches of several sizes.

    Returns:
        The largest difference, see :func:`gift.export.agreement.difference`.
    """
    import onnxruntime

    program, path = source.program, folder / FILE
    size = sum(tensor.nbytes for tensor in program.state_dict.values())
    with _quietly():
        torch.onnx.export(
            program,
            f=path,
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            external_data=size > _LARGEST,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(pixels: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: pixels.numpy()})[0])

    whole = run(source.pixels)
    single = torch.cat([run(image[None]) for image in source.pixels])
    return difference(torch.cat([whole, single]), source.logits.repeat(2, 1), source.scale)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's notices: that torchvision, which nothing here uses, is missing."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # torch 2.13 copies its own deprecated trees of arguments.
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            yield
    finally:
        log.setLevel(before)
