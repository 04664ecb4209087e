"""Finding unreadable images before training starts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gift.data.cache import in_threads, writing_cache
from gift.data.images import Images
from gift.progress import report

_SHOWN = 20


def check_images(*parts: Images, cache: Path) -> None:
    """Decode every image once; parts that passed are remembered in ``cache`` and skipped.

    Args:
        parts: Images of a task, for instance its training and its test images.
        cache: Folder of the stamps; made when it is missing.

    Raises:
        ValueError: images that cannot be read, all in one message (the first 20 by name).
        OSError: the cache cannot be written.
    """
    stamps = {cache / f"{part.fingerprint[:32]}.checked": part for part in parts}
    todo = {stamp: part for stamp, part in stamps.items() if not stamp.exists()}
    total, done = sum(map(len, todo.values())), 0
    problems: list[str] = []
    for part in todo.values():
        for block in in_threads(partial(_problem, part), len(part)):
            problems += filter(None, block)
            done += len(block)
            report("check", done, total)
    if problems:
        more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ValueError(
            f"{len(problems)} unreadable images:\n" + "\n".join(problems[:_SHOWN]) + more
        )
    with writing_cache(cache):
        for stamp in todo:
            stamp.touch()


def _problem(images: Images, index: int) -> str:
    """What is wrong with an image; empty if nothing is."""
    try:
        images[index]
    except OSError as error:
        return str(error)
    return ""
