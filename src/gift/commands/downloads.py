"""What a command would fetch from the Hugging Face hub, said before it is fetched."""

from __future__ import annotations

import logging

from huggingface_hub import HfApi, try_to_load_from_cache

from gift.settings import is_hub_id
from gift.text import one_line

log = logging.getLogger(__name__)

_READ = (".safetensors", ".json", ".txt", ".model")
"""Ends of the names of files that may be read."""


def announce_download(reference: str, file: str) -> None:
    """Log that something will be downloaded, before it is; see :func:`missing_download`."""
    for download in missing_download(reference, file):
        log.info("Download: %s", download)


def missing_download(reference: str, file: str) -> tuple[str, ...]:
    """What would be fetched from the Hugging Face hub for a reference, in words; or nothing.

    Args:
        reference: a folder, a catalogue's model or a hub id.
        file: one that its repository has.
    """
    if not is_hub_id(reference) or isinstance(try_to_load_from_cache(reference, file), str):
        return ()
    return (f"{one_line(reference)} from the Hugging Face hub ({_size(reference)})",)


def _size(repository: str) -> str:
    """The size of a repository's files in the layouts that are read."""
    try:
        info = HfApi().model_info(repository, files_metadata=True, timeout=5)
    except Exception:  # what the HTTP library of that version raises
        return "size unknown, the hub does not answer"
    sizes = [file.size or 0 for file in info.siblings or () if file.rfilename.endswith(_READ)]
    return f"{sum(sizes) / 1e9:.1f} GB at most"
