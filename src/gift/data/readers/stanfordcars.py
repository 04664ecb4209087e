"""Stanford Cars: numbered images, names and labels from 1 in MATLAB files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gift.data.images import ImageFiles
from gift.data.readers import matlab
from gift.data.readers.reading import Reading, image_files


def read(root: Path, wanted: tuple[str, ...]) -> Reading:
    """Read ``devkit/cars_meta.mat``, both annotation files, ``cars_train/`` and ``cars_test/``."""
    (listed,) = matlab.load(root / "devkit" / "cars_meta.mat", "class_names")
    names = tuple(str(name).strip() for name in np.atleast_1d(listed))
    train, test = root / "devkit/cars_train_annos.mat", root / "cars_test_annos_withlabels.mat"
    parts = {
        "train": _images(root, "cars_train", train, len(names)),
        "test": _images(root, "cars_test", test, len(names)),
    }
    return Reading(str(root), names, parts)


def _images(root: Path, folder: str, listing: Path, classes: int) -> ImageFiles:
    (annotations,) = matlab.load(listing, "annotations")
    fields = annotations.dtype.names or ()
    if not {"class", "fname"} <= set(fields):
        raise ValueError(f"{listing} has no 'class' and 'fname' for every image")
    annotations = np.atleast_1d(annotations)
    labels = [int(label) - 1 for label in annotations["class"]]
    if wrong := [label for label in labels if not 0 <= label < classes]:
        raise ValueError(f"{listing} has the class {wrong[0] + 1}, not 1 to {classes}")
    files = [f"{folder}/{name}" for name in annotations["fname"]]
    return image_files(root, zip(files, labels, strict=True), listing)
