"""Food-101: lists of images per dish as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gift.data.readers import Splits, existing, in_order


def read(root: Path, wanted: Sequence[str]) -> Splits:
    """Read ``meta/train.json``, ``meta/test.json`` and ``images/<class>/<number>.jpg``."""
    splits: Splits = {}
    for split in ("train", "test"):
        listing = root / "meta" / f"{split}.json"
        try:
            content = json.loads(existing(listing).read_bytes())
        except ValueError as error:
            raise ValueError(f"{listing} cannot be read ({error})") from error
        if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
            raise ValueError(f"{listing} must hold a list of images for every dish")
        images = ((f"{name}.jpg", dish) for dish, names in content.items() for name in names)
        splits[split] = in_order(root / "images", images)
    return splits
