"""Where things are kept between runs, and decoded pixels among them."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache as remembered
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
from filelock import FileLock
from numpy.typing import NDArray
from PIL.Image import Image

from gift.data.images import Images
from gift.data.paths import Paths
from gift.files import remove_unfinished, replacing_file, writing_to
from gift.progress import report

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]

T = TypeVar("T")
_BLOCK = 256
_VERSION = 1
"""Raised when the same image and transform give other pixels than before."""


def pixels(
    images: Images,
    transform: Callable[[Image], Pixels],
    key: str,
    paths: Paths,
) -> Pixels:
    """Transform all images once and keep the result on disk.

    The file's name holds all that decides its content: the images' fingerprint, the transform's
    key, a version of our own and Pillow's. A second process that asks for the same file waits
    until the first has made it. The file ends with its SHA-256, which each process looks at once;
    a damaged file is made again.

    Args:
        images: N images, not empty.
        transform: RGB image -> uint8 [H, W, 3], the same size for every image; must be thread-safe.
        key: Identifies the transform.
        paths: has the directory of the cached files; made when it is missing.

    Returns:
        Read-only memory map, uint8 [N, H, W, 3]. Indexing it with an index array copies.

    Raises:
        OSError: an image cannot be decoded, or the cache cannot be written.
    """
    assert len(images) > 0, "no images to decode"
    parts = (images.fingerprint, key, str(_VERSION), PIL.__version__)
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    path = paths.pixels / f"{name}.npy"
    array = _load(path, len(images))
    if array is None:
        with _making(path):
            if _load(path, len(images)) is None:  # another process may have had the lock before
                if path.exists():
                    log.warning("%s is not as it was written; it is made again.", path)
                _make(path, lambda index: transform(images[index]), len(images))
        array = _load(path, len(images))
        assert array is not None
    return array


def in_threads(function: Callable[[int], T], count: int) -> Iterator[list[T]]:
    """``function(0)`` ... ``function(count - 1)`` in order, in blocks that bound the memory."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, count, _BLOCK):
            yield list(pool.map(function, range(start, min(start + _BLOCK, count))))


def writing_cache(cache: Path) -> AbstractContextManager[None]:
    """Make the folder, and turn a failed write into a message that says what to do."""
    cure = "free some space there, or set GIFT_HOME to another folder"
    return writing_to(cache, "the cache folder", cure)


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """Keep other processes from making the same file while the block runs."""
    lock = path.with_suffix(".lock")
    with writing_cache(path.parent):
        held = FileLock(lock).acquire()
    with held:
        try:
            remove_unfinished(path.parent, path.name)
            yield
        finally:
            lock.unlink(missing_ok=True)  # whoever waits for it will find the array made


def _make(path: Path, array: Callable[[int], Pixels], count: int) -> None:
    # Plain writes, not a writable map: a full disk is then an error and not a dead process.
    with writing_cache(path.parent), replacing_file(path) as file:
        done, digest = 0, hashlib.sha256()
        for block in in_threads(array, count):
            stack = np.stack(block)
            assert stack.dtype == np.uint8
            content = (
                stack.tobytes() if done else _header((count, *stack.shape[1:])) + stack.tobytes()
            )
            file.write(content)
            digest.update(content)
            done += len(block)
            report("decode", done, count)
        file.write(digest.digest())


def _header(shape: tuple[int, ...]) -> bytes:
    """The beginning of a .npy file of bytes."""
    header = io.BytesIO()
    values = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, values)
    return header.getvalue()


def _load(path: Path, count: int) -> Pixels | None:
    """The cached array, or None when it is missing or damaged."""
    try:
        stat = path.stat()
    except OSError:  # it is not there, nor perhaps its folder
        return None
    if not _is_whole(path, stat.st_size, stat.st_mtime_ns, stat.st_ino):
        return None
    array: Pixels = np.load(path, mmap_mode="r")
    assert array.ndim == 4
    assert len(array) == count
    return array


@remembered
def _is_whole(path: Path, size: int, changed: int, inode: int) -> bool:
    """Whether a file ends with its checksum; looked at once, unless the file changes."""
    if size <= _DIGEST_SIZE:
        return False
    content = np.memmap(path, np.uint8, "r")
    found = hashlib.sha256(content[:-_DIGEST_SIZE].data).digest()
    return found == content[-_DIGEST_SIZE:].tobytes()


_DIGEST_SIZE = hashlib.sha256().digest_size
