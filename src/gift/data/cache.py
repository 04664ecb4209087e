"""The cache directory: decoded pixels, and marks of checked images."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
from filelock import FileLock
from numpy.typing import NDArray
from PIL.Image import Image

from gift.data.images import Images
from gift.data.paths import Paths
from gift.files import (
    read_json,
    remove_unfinished,
    replacing_file,
    write_json,
    write_text,
    writing_to,
)
from gift.progress import report

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]

_NAMES: dict[str, str] = {
    "pixels": r"[0-9a-f]{32}\.(npy|lock)|\.[0-9a-f]{32}\.npy\..*\.tmp",
    "checked": r"[0-9a-f]{32}\.(checked|unreadable)"
    r"|\.[0-9a-f]{32}\.(checked|unreadable)\..*\.tmp",
    "images": r"[0-9a-f]{16}",
}
"""Names of what is made, regular expressions."""

TAG = "CACHEDIR.TAG"
"""The file by which a folder of the cache is known, and which backups look for."""

_SIGNATURE = """Signature: 8a477f597d28d172789f06886806bc55
# This folder was made by gift. See https://bford.info/cachedir/
"""

T = TypeVar("T")
_BLOCK = 256
_SHOWN = 20
_DIGEST_SIZE = hashlib.sha256().digest_size
_VERSION = 2
"""Raised when the same image and transform give other pixels than before."""


def pixels(images: Images, transform: Callable[[Image], Pixels], key: str, paths: Paths) -> Pixels:
    """Transform all images once and keep the result on disk.

    The file's name holds all that decides its content: the images' fingerprint, the transform's
    key, a version of our own and Pillow's. A second process that asks for the same file waits
    until the first has made it. The file ends with its SHA-256, which each process looks at once;
    a damaged file is made again.

    Args:
        images: N images, not empty.
        transform: RGB image -> uint8 [H, W, 3], the same size for every image; must be thread-safe.
        key: identifies the transform.
        paths: has the directory of the cached files.

    Returns:
        Read-only memory map, uint8 [N, H, W, 3]. Indexing it with an index array copies.

    Raises:
        OSError: an image cannot be decoded, or the cache cannot be written.
    """
    assert len(images) > 0, "no images to decode"
    parts = (fingerprint_of(images, paths), key, str(_VERSION), PIL.__version__)
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    path = paths.pixels / f"{name}.npy"
    if (array := _load(path)) is not None:
        log.debug("%d decoded images are in %s", len(images), path)
    else:
        _make(path, lambda index: transform(images[index]), len(images))
        array = _load(path)
    assert array is not None
    assert array.ndim == 4
    assert len(array) == len(images)
    return array


def fingerprint_of(images: Images, paths: Paths) -> str:
    """The images' fingerprint, which files that were checked and not written to since still have.

    So large data sets are read once, and not at every start.
    """
    with suppress(OSError, UnicodeDecodeError):
        known = _mark(images, paths).read_text(encoding="ascii")
        if re.fullmatch("[0-9a-f]{64}", known):
            return known
    return images.fingerprint


def _mark(images: Images, paths: Paths) -> Path:
    return paths.checked / f"{images.stamp[:32]}.checked"


SKIP_HINT = "Or skip such images: on_bad_image='skip' (--on-bad-image skip)."
"""What else can be done where images of a task cannot be read."""


def check_images(*splits: Images, paths: Paths, hint: str = "") -> None:
    """Decode every image once; splits that passed are remembered in the cache and skipped.

    Args:
        *splits: the images.
        paths: has the directory of what is remembered.
        hint: last line of the message about images that cannot be read.

    Raises:
        ValueError: images that cannot be read, all in one message (the first 20 by name).
        OSError: the cache cannot be written.
    """
    marks = {_mark(images, paths): images for images in splits}
    todo = {mark: images for mark, images in marks.items() if not mark.exists()}
    problems = [problem for found in _decode_all(list(todo.values())) for problem in found.values()]
    if problems:
        shown = [f"{len(problems)} unreadable images:", *problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            shown.append(f"... and {len(problems) - _SHOWN} more")
        raise ValueError("\n".join([*shown, hint] if hint else shown))
    for images in todo.values():
        remember_checked(images, paths)


def unreadable(*splits: Images, paths: Paths) -> list[dict[int, str]]:
    """The positions of the images that cannot be read, with the reason, of each split.

    Every image is decoded once; what is found is remembered in the cache.

    Raises:
        OSError: the cache cannot be written.
    """
    known = [_known_unreadable(images, paths) for images in splits]
    todo = [images for images, found in zip(splits, known, strict=True) if found is None]
    new = iter(_decode_all(todo))
    for number, images in enumerate(splits):
        if known[number] is None:
            known[number] = found = next(new)
            if found:
                with _writing(paths.checked):
                    write_json(_mark(images, paths).with_suffix(".unreadable"), list(found))
            else:
                remember_checked(images, paths)
    return [found or {} for found in known]


def remember_checked(images: Images, paths: Paths) -> None:
    """Remember that all of these images can be decoded.

    Raises:
        OSError: the cache cannot be written.
    """
    mark = _mark(images, paths)
    if not mark.exists():
        with _writing(paths.checked):
            write_text(mark, images.fingerprint)


def _known_unreadable(images: Images, paths: Paths) -> dict[int, str] | None:
    """What is remembered of images; None where they are to be decoded."""
    mark = _mark(images, paths)
    if mark.exists():
        return {}
    try:
        found = read_json(mark.with_suffix(".unreadable"))
    except (OSError, ValueError):
        return None
    # Decoded again: the files may be elsewhere by now, or their format may have become known.
    problems = {index: _problem(images, index) for index in found if index in range(len(images))}
    return {index: problem for index, problem in problems.items() if problem}


def _decode_all(splits: Sequence[Images]) -> list[dict[int, str]]:
    """The problems of all images, by position."""
    total, done = sum(map(len, splits)), 0
    found: list[dict[int, str]] = []
    for images in splits:
        problems: list[str] = []
        for block in _in_threads(partial(_problem, images), len(images)):
            problems += block
            done += len(block)
            report("check", done, total)
        found.append({index: problem for index, problem in enumerate(problems) if problem})
    return found


def _problem(images: Images, index: int) -> str:
    """What is wrong with an image; empty if nothing is."""
    try:
        images[index]
    except OSError as error:
        return str(error)
    return ""


def _in_threads(function: Callable[[int], T], count: int) -> Iterator[list[T]]:
    """``function(0)`` ... ``function(count - 1)`` in order, in blocks that bound the memory."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, count, _BLOCK):
            yield list(pool.map(function, range(start, min(start + _BLOCK, count))))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Make a folder of the cache directory, and tag it unless it holds what is not ours.

    Only folders with a tag are cleared, and backups skip them (https://bford.info/cachedir).
    """
    hint = "free some space there, or set GIFT_HOME to another folder"
    with writing_to(folder, "the cache folder", hint):
        tag = folder / TAG
        if not tag.exists() and all(is_ours(path) for path in folder.iterdir()):
            write_text(tag, _SIGNATURE)
        yield


def tagged(folder: Path) -> Path:
    """A folder of the cache directory, which is made and tagged as such.

    Raises:
        OSError: it cannot be written.
    """
    with _writing(folder):
        return folder


def is_ours(path: Path) -> bool:
    """Whether something in a folder of the cache directory is called like what is made there."""
    names = [pattern for kind, pattern in _NAMES.items() if kind == path.parent.name]
    return path.name == TAG or any(re.fullmatch(pattern, path.name) for pattern in names)


def _make(path: Path, array: Callable[[int], Pixels], count: int) -> None:
    """Write the file of so many arrays, unless another process has done so meanwhile."""
    lock = path.with_suffix(".lock")
    with _writing(path.parent), FileLock(lock):
        try:
            if _load(path) is not None:
                return
            if path.exists():
                log.warning("%s is not as it was written; it is made again.", path)
            remove_unfinished(path.parent, path.name)
            # Plain writes, not a writable map: a full disk is then an error and no dead process.
            with replacing_file(path) as file:
                done, digest = 0, hashlib.sha256()
                for block in _in_threads(array, count):
                    stack = np.stack(block)
                    assert stack.dtype == np.uint8
                    content = (b"" if done else _header(count, *stack.shape[1:])) + stack.tobytes()
                    file.write(content)
                    digest.update(content)
                    done += len(block)
                    report("decode", done, count)
                file.write(digest.digest())
        finally:
            lock.unlink(missing_ok=True)  # whoever waits for it will find the array made


def _header(*shape: int) -> bytes:
    header = io.BytesIO()
    values = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, values)
    return header.getvalue()


def _load(path: Path) -> Pixels | None:
    """The cached array, or None when it is missing or damaged."""
    try:
        stat = path.stat()
    except OSError:  # it is not there, nor perhaps its folder
        return None
    is_whole = _is_whole(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return np.load(path, mmap_mode="r") if is_whole else None


@cache
def _is_whole(path: Path, size: int, changed: int, inode: int) -> bool:
    """Whether a file ends with its checksum; looked at once, unless the file changes."""
    if size <= _DIGEST_SIZE:
        return False
    content = np.memmap(path, np.uint8, "r")
    found = hashlib.sha256(content[:-_DIGEST_SIZE].data).digest()
    return found == content[-_DIGEST_SIZE:].tobytes()
