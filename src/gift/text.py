"""Text that people give or read: templates, names and messages."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


def fill(template: str, classname: str) -> str:
    """Put a class name into a template's ``{}``.

    The name is data, never a format string: braces inside it stay as they are.

    >>> fill("a photo of a {}.", "curly {brace}")
    'a photo of a curly {brace}.'
    """
    return template.replace("{}", classname)


def one_line(text: object) -> str:
    """The text with line breaks, other control characters and broken letters spelled out.

    For names of files and the like in messages: they can neither begin a line nor move the cursor.

    >>> print(one_line("a\\nb\\x1b[31m"))
    a\\nb\\x1b[31m
    """
    return "".join(
        char.encode("unicode_escape").decode() if _breaks_out(char) else char for char in str(text)
    )


def nfc(text: str) -> str:
    """The text with its accents composed: some systems write e and an accent for é."""
    return unicodedata.normalize("NFC", text)


def check_name(what: str, name: str) -> None:
    """Refuse a name that is not one line of text; anything else is data and may stand in it.

    Args:
        what: what it names, for the message.
        name: the name.

    Raises:
        ValueError: it holds a line break, another control character (NUL, tab, escape) or letters
            that are no Unicode text.
    """
    if wrong := [char for char in name if _breaks_out(char)]:
        raise ValueError(
            f"{what} '{one_line(name)}' holds '{one_line(wrong[0])}': a name is one line of text "
            "without control characters; rename it."
        )


def _breaks_out(char: str) -> bool:
    """Whether a character is a control character, a line break or half of a broken letter."""
    return unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with the known name nearest to a wrong one; empty if none is near."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for an unknown name: the nearest valid one, then all of them."""
    names = sorted(known)
    return f"unknown {kind} {name!r}.{did_you_mean(name, names)} Known: {', '.join(names)}."
