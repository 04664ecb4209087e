"""Finding unreadable images before training starts."""

from __future__ import annotations

from functools import partial

from gift.data.cache import in_threads, writing_cache
from gift.data.images import Images
from gift.data.paths import Paths
from gift.progress import report

_SHOWN = 20


def check_images(*splits: Images, paths: Paths) -> None:
    """Decode every image once; splits that passed are remembered in the cache and skipped.

    Args:
        splits: Images of a task, for instance its training and its test images.
        paths: has the directory of the marks; made when it is missing.

    Raises:
        ValueError: images that cannot be read, all in one message (the first 20 by name).
        OSError: the cache cannot be written.
    """
    stamps = {paths.checked / f"{part.fingerprint[:32]}.checked": part for part in splits}
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
    with writing_cache(paths.checked):
        for stamp in todo:
            stamp.touch()


def _problem(images: Images, index: int) -> str:
    """What is wrong with an image; empty if nothing is."""
    try:
        images[index]
    except OSError as error:
        return str(error)
    return ""
