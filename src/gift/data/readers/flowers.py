"""Oxford Flowers 102: numbered images, labels 1 to 102 and parts in MATLAB files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gift.data.readers import matlab
from gift.data.readers.reading import Reading, image_files

_PARTS = {"trnid": "train", "valid": "validation", "tstid": "test"}


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``imagelabels.mat``, ``setid.mat`` and ``jpg/image_<number>.jpg``."""
    labels_file, parts_file = root / "imagelabels.mat", root / "setid.mat"
    (labels,) = matlab.load(labels_file, "labels")
    labels = np.atleast_1d(labels).astype(int)
    if len(labels) == 0 or labels.min() != 1:
        raise ValueError(f"{labels_file} must number the classes from 1")
    parts = {}
    for part, numbers in zip(_PARTS.values(), matlab.load(parts_file, *_PARTS), strict=True):
        numbers = np.atleast_1d(numbers).astype(int)
        if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= len(labels)):
            raise ValueError(f"{parts_file} has images that {labels_file} does not label")
        found = ((f"jpg/image_{number:05d}.jpg", labels[number - 1] - 1) for number in numbers)
        parts[part] = image_files(root, ((name, int(label)) for name, label in found), parts_file)
    return Reading(str(root), None, parts)
