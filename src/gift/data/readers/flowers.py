"""Oxford Flowers 102: numbered images, labels 1 to 102 and splits in MATLAB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gift.data.readers import Splits, in_order, load_mat

_SPLITS = {"trnid": "train", "valid": "validation", "tstid": "test"}


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``imagelabels.mat``, ``setid.mat`` and ``jpg/image_<number>.jpg``."""
    labels_file, splits_file = root / "imagelabels.mat", root / "setid.mat"
    (labels,) = (np.atleast_1d(found).astype(int) for found in load_mat(labels_file, "labels"))
    if len(labels) == 0 or labels.min() != 1:
        raise ValueError(f"{labels_file} must number the classes from 1")
    splits: Splits = {}
    for split, found in zip(_SPLITS.values(), load_mat(splits_file, *_SPLITS), strict=True):
        numbers = np.sort(np.atleast_1d(found).astype(int))
        if len(numbers) and not (numbers[0] >= 1 and numbers[-1] <= len(labels)):
            raise ValueError(f"{splits_file} has images that {labels_file} does not label")
        images = ((f"jpg/image_{number:05d}.jpg", "") for number in numbers)
        splits[split] = in_order(root, images)[0], (labels[numbers - 1] - 1).tolist()
    return splits
