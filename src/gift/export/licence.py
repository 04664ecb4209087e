"""The licence of a base model, as far as the model's own card says it."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from gift.textfiles import parse_yaml

_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}")
_LARGEST = 2**20

UNKNOWN = "unknown"


def licence_of(reference: str) -> str:
    """The licence that the card of a model names, or ``unknown``.

    Args:
        reference: a folder, or a hub id, of which the copy in the hub's cache counts.
    """
    card = Path(reference) / "README.md"
    if not card.parent.is_dir():
        try:
            cached = try_to_load_from_cache(reference, card.name)
        except ValueError:  # neither a folder nor the form of a hub id
            return UNKNOWN
        if not isinstance(cached, str):
            return UNKNOWN
        card = Path(cached)
    try:
        with card.open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8-sig", errors="replace")
    except OSError:
        return UNKNOWN
    return licence_in(text)


def licence_in(card: str) -> str:
    """The licence in the front matter of a model card.

    >>> licence_in("---\\nlicense: mit\\n---\\n# My model"), licence_in("# My model")
    ('mit', 'unknown')
    """
    match = _FRONT_MATTER.match(card)
    try:
        values = parse_yaml(match[1], "the model card") if match else None
    except ValueError:
        return UNKNOWN
    found = values.get("license") if isinstance(values, dict) else None
    is_name = isinstance(found, str) and _IDENTIFIER.fullmatch(found)
    return str(found) if is_name else UNKNOWN
