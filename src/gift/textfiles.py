"""Text and YAML files as people save them: any editor's byte order mark, one encoding, no traps."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from gift.text import shortened, user_path

_MOST_DEPTH = 100
_MOST_NODES = 1_000_000
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is many times faster


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Raises:
        ValueError: the file is none, or holds no UTF-8 text.
        OSError: it cannot be read.
    """
    path = user_path(path)
    if not path.exists():
        raise ValueError(f"{path} does not exist; give the path of a UTF-8 text file.")
    if not path.is_file():
        raise ValueError(f"{path} is no ordinary file; give a text file.")
    return decoded(path.read_bytes(), str(path))


def decoded(content: bytes, where: str) -> str:
    """The text of UTF-8 bytes, without a byte order mark.

    Raises:
        ValueError: they are no UTF-8 text; the message begins with ``where``.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = "UTF-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "another encoding"
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{where} is not UTF-8 text (line {line}; it looks like {found}); save it as UTF-8."
        ) from None


def lines_of(path: Path) -> list[str]:
    """The lines of a UTF-8 file without surrounding white space; empty ones are skipped.

    Raises:
        ValueError: see :func:`read_text`.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


class _Loader(_Base):  # type: ignore[misc]
    """YAML whose plain words stay words: of ``yes``, ``07``, ``1:30`` and dates nothing is made.

    A key that stands twice is an error, as in YAML itself.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping; an error where a key stands twice."""
        first: dict[Hashable, yaml.Node] = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(
                    problem="a list or mapping is no key", problem_mark=key_node.start_mark
                )
            if key in first:
                line = first[key].start_mark.line + 1
                raise yaml.MarkedYAMLError(
                    problem=f"the key {shortened(key)} stands twice, first on line {line}, again",
                    problem_mark=key_node.start_mark,
                )
            first[key] = key_node
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


_PLAIN = {  # what unquoted words may mean, fewer than in YAML 1.1; and the letters they begin with
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9][0-9]{0,99})", "-+0123456789"),
    "float": (
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
        r"|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "merge": (r"<<", "<"),
}
_Loader.yaml_implicit_resolvers = {}
_Loader.yaml_constructors = {
    tag: make
    for tag, make in _Base.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in {*_PLAIN, "seq", "map", "str"}
}
for _kind, (_pattern, _letters) in _PLAIN.items():
    _tag = f"tag:yaml.org,2002:{_kind}"
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), list(_letters))


def parse_yaml(text: str | bytes, where: str) -> Any:
    """The value of a YAML document; None for an empty one.

    Plain ``true`` and ``false``, decimal numbers and ``null`` have types; every other plain word is
    text, so class names such as ``no``, ``07`` or ``2020-01-01`` need no quotes.

    Args:
        text: the document, UTF-8 where it is bytes.
        where: what it is, the beginning of messages.

    Raises:
        ValueError: no YAML, a key that stands twice, or a document that is nested too deeply or
            that aliases make huge.
    """
    text = decoded(text, where) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):  # the parser itself does not recurse
            begins = isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent)
            ends = isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent)
            depth += begins - ends
            if depth > _MOST_DEPTH:
                raise ValueError(f"{where} is nested more than {_MOST_DEPTH} levels deep.")
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _refuse_huge(node, where)
            try:
                return loader.construct_document(node)
            except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
                raise ValueError(f"{where} holds a value that is not what its tag says.") from None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" on line {mark.line + 1}, column {mark.column + 1}"
        raise ValueError(f"{where} is not valid YAML: {error.problem}{place}.") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{where} is not valid YAML: {reason}.") from None


def parse_json(text: str | bytes, where: str = "the text") -> Any:
    """The value of a JSON document.

    Raises:
        ValueError: no JSON in UTF-8, or nested too deeply; the message begins with ``where``.
    """
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}: {error.msg}"
        raise ValueError(f"{where} is damaged, it is no JSON ({reason}).") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{where} is damaged, it is no JSON that can be read.") from None


def _refuse_huge(node: yaml.Node, where: str) -> None:
    """Refuse a document that has too many values when its aliases are written out, or no end."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(one: yaml.Node) -> int:
        if id(one) in open_:
            raise ValueError(f"{where} holds an alias of what it stands in; write the value.")
        if id(one) not in sizes:
            open_.add(id(one))
            inner = one.value if isinstance(one, yaml.CollectionNode) else ()
            pairs = (part if isinstance(part, tuple) else (part,) for part in inner)
            sizes[id(one)] = 1 + sum(size(child) for pair in pairs for child in pair)
            open_.remove(id(one))
        return sizes[id(one)]

    if size(node) > _MOST_NODES:
        raise ValueError(
            f"{where} holds more than {_MOST_NODES:,} values when its aliases are written out."
        )
