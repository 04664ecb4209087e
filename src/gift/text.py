"""Text that people give or read: templates, names and messages."""

from __future__ import annotations

import difflib
import os
import reprlib
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path


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


def no_formula(text: str) -> str:
    """The text for a cell of CSV: what a spreadsheet would run as a formula begins with '.

    >>> no_formula("=1+1"), no_formula("a=1")
    ("'=1+1", 'a=1')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def shortened(value: object) -> str:
    """A value as it is written, on one line and short enough for a message.

    >>> print(shortened("x" * 100), shortened([1, "a"]))
    'xxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxx' [1, 'a']
    """
    return one_line(_short.repr(value))


MARKDOWN = str.maketrans({char: f"\\{char}" for char in r"\`*_[]<>|&$~"})
"""What Markdown takes for markup, a table's cells included, to be used by ``str.translate``."""


def count_of(number: int, one: str, several: str | None = None) -> str:
    """A number of things in words.

    >>> count_of(1, "class", "classes"), count_of(1200, "image")
    ('1 class', '1,200 images')
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def some_of(names: Sequence[str], limit: int = 5) -> str:
    """The first of many names, on one line.

    >>> some_of(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return one_line(", ".join(names[:limit])) + more


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path as people write it: ``~`` is the home directory, where there is one."""
    return Path(os.path.expanduser(path))


def is_path(reference: str, *suffixes: str) -> bool:
    """Whether a reference is a path and not the name of something that is shipped."""
    return os.sep in reference or reference.endswith(suffixes)


def split_order(reference: str) -> tuple[str, str | None]:
    """A benchmark's name or path, and the order that is named after it.

    >>> split_order("my.yaml@II"), split_order("me@home/my.yaml")
    (('my.yaml', 'II'), ('me@home/my.yaml', None))
    """
    benchmark, at, order = reference.rpartition("@")
    if not at or is_path(order, ".yaml", ".yml"):
        return reference, None
    return benchmark, order


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


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest to a wrong one; None if none is near."""
    close = difflib.get_close_matches(name[:200], sorted(known), n=1)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` with the known name nearest to a wrong one; empty if none is near."""
    close = nearest(name, known)
    return "" if close is None else f" Did you mean {close!r}?"


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for an unknown name: the nearest valid one, then all of them."""
    names = sorted(known)
    listed = f"Known: {', '.join(names)}." if names else "There is none."
    return f"unknown {kind} {shortened(name)}.{did_you_mean(name, names)} {listed}"


def check_list(what: str, value: object, example: str) -> None:
    """Refuse one text where a list of them is expected; its letters would be taken for them.

    Args:
        what: what the list is, for the message.
        value: what was given.
        example: such a list.

    Raises:
        ValueError: it is a text.
    """
    if isinstance(value, str | bytes):
        raise ValueError(
            f"{what} = {shortened(value)} is one text; give a list, for instance {example}."
        )


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(0.25), duration(42), duration(600), duration(9000)
    ('0.25 s', '42.0 s', '10.0 min', '2.5 h')
    """
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
