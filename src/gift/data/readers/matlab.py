"""Values of the ``.mat`` files that some data sets come with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gift.data.readers.reading import existing


def load(path: Path, *names: str) -> list[Any]:
    """Variables of a MATLAB file, without their dimensions of length one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged or has no such variable.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(existing(path), squeeze_me=True, variable_names=names)
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy raises nearly every type on damaged files
        raise ValueError(f"{path} cannot be read ({error})") from error
    if missing := [name for name in names if name not in content]:
        raise ValueError(f"{path} has no variable {missing[0]!r}")
    return [content[name] for name in names]
