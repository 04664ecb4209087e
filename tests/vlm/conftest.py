"""The families' folders, for all tests of this room."""

from pathlib import Path

import pytest
from vlm import families


@pytest.fixture(scope="session")
def folders(tmp_path_factory, save_clip) -> dict[str, Path]:
    """One folder per family. Do not write into them."""
    return families.save_all(tmp_path_factory.mktemp("families"), save_clip)
