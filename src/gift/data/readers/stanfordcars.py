"""Stanford Cars: numbered images, names and labels from 1 in MATLAB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gift.data.readers import Splits, in_order, load_mat, named


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``devkit/cars_meta.mat``, both annotation files, ``cars_train/`` and ``cars_test/``."""
    (found,) = load_mat(root / "devkit" / "cars_meta.mat", "class_names")
    names = [str(name).strip() for name in np.atleast_1d(found)]
    splits: Splits = {}
    for split, listing in {
        "train": root / "devkit" / "cars_train_annos.mat",
        "test": root / "cars_test_annos_withlabels.mat",
    }.items():
        (rows,) = load_mat(listing, "annotations")
        if not {"class", "fname"} <= set(rows.dtype.names or ()):
            raise ValueError(f"{listing} has no 'class' and 'fname' for every image")
        rows = np.atleast_1d(rows)
        labels = named([int(label) for label in rows["class"]], names, listing, first=1)
        files = (f"cars_{split}/{name}" for name in rows["fname"])
        splits[split] = in_order(root, zip(files, labels, strict=True))
    return splits
