"""The zero-shot classifier as plain weights: class embeddings and the factor on cosines."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from gift.export.agreement import difference
from gift.export.source import Source, fold

FILE = "head.safetensors"


def write(source: Source, folder: Path) -> float:
    """Write the head, and compare it on the model's own image embeddings.

    Tensors: ``class_embeddings`` float32 [R, D], unit rows; ``logit_scale`` float32 [], the factor
    itself and not its logarithm; ``class_of_row`` int64 [R]. R is the number of classes unless
    several tasks have one.

    Returns:
        The largest difference, see :func:`gift.export.agreement.difference`.
    """
    tensors = {
        "class_embeddings": source.embeddings.float().contiguous(),
        "logit_scale": source.model.logit_scale.float(),
        "class_of_row": source.class_of_row,
    }
    save_file(tensors, folder / FILE)
    head = load_file(folder / FILE)
    with torch.no_grad():
        features = source.model.encode_images(source.pixels)
    rows = head["logit_scale"] * features @ head["class_embeddings"].T
    return difference(fold(rows, head["class_of_row"]), source.logits, source.scale)
