"""Image files that somebody names: one by one, by their folder, or in a list."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from gift.data.images import image_problem
from gift.text import one_line, user_path
from gift.textfiles import decoded

log = logging.getLogger(__name__)

_SYSTEM_FILES = {"Thumbs.db", "desktop.ini", "__MACOSX", "@eaDir"}
"""What file managers leave behind."""


def image_files(paths: Iterable[Path]) -> list[Path]:
    """The files, and of every folder the images in it and below, each once.

    What lies in a folder is sorted by name, and is looked at by its name alone unless it has no
    suffix. Hidden files and those of file managers are ignored; how many other files are no images
    is logged. Links to files are followed, links to folders are not, unless they are named
    themselves.

    Args:
        paths: files, which need not be there, and folders.

    Raises:
        ValueError: a folder without an image; all of them are named.
        OSError: a folder that cannot be read.
    """
    found: list[Path] = []
    empty: list[str] = []
    for path in paths:
        if path.is_dir():
            images = _images_below(path)
            found += images
            empty += () if images else [one_line(path)]
        else:
            found.append(path)
    if empty:
        raise ValueError(
            f"no images in {', '.join(empty)} or below; give files or folders of images."
        )
    return list(dict.fromkeys(found))


def _images_below(folder: Path) -> list[Path]:
    """The images in a folder and its sub-folders; logs what else there is."""
    images, others = [], []
    for file in _files_below(folder):
        if (problem := image_problem(file)) is None:
            images.append(file)
        else:
            others.append(f"{one_line(file.relative_to(folder))}: {problem}")
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        log.warning(
            "%s: skipped what is no image: %s%s.", one_line(folder), "; ".join(others[:3]), more
        )
    return images


def _files_below(folder: Path) -> Iterator[Path]:
    """The visible files in a folder and its sub-folders, in byte order of their names."""

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(filter(_is_visible, folders), key=os.fsencode)
        for name in sorted(filter(_is_visible, files), key=os.fsencode):
            yield Path(place, name)


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name not in _SYSTEM_FILES


def listed_paths(content: bytes, name: str) -> list[Path]:
    """The paths in a list: one a line, or each ended by a zero byte, as of ``find -print0``.

    White space around a line and empty lines are skipped. Bytes that are no UTF-8 stay as they are,
    as in file names.

    Args:
        content: of the list.
        name: what it is, for messages.

    Raises:
        ValueError: it is UTF-16 text, or names no file.

    >>> [path.name for path in listed_paths(b"a b.jpg\\r\\n\\nc.jpg", "the list")]
    ['a b.jpg', 'c.jpg']
    """
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        decoded(content, name)  # says what to do
    content = content.removeprefix(b"\xef\xbb\xbf")
    lines = content.split(b"\0") if b"\0" in content else map(bytes.strip, content.split(b"\n"))
    if not (paths := [user_path(os.fsdecode(line)) for line in lines if line]):
        raise ValueError(f"{name} names no file; write one path a line.")
    return paths
