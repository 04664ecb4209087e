"""What is wrong with settings, in whole sentences: pydantic's errors as people should read them.

A sentence names the setting with its full path, what was given, what is allowed, and for a value of
another kind an example of what to write.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gift.text import did_you_mean, nearest, shortened, unknown


def explain(
    error: ValidationError,
    model: type[BaseModel],
    prefix: str = "",
    parts: Mapping[str, type[BaseModel]] | None = None,
) -> str:
    """One line for every wrong setting.

    Args:
        error: what validating values as the model raised.
        model: the settings model.
        prefix: of the settings' paths, such as ``method_settings.``.
        parts: models of fields whose model depends on other values, by the fields' names.
    """
    lines: dict[str, str] = {}
    paths = list(setting_paths(model, prefix, parts or {}))
    for detail in error.errors(include_url=False):
        place = _place(model, detail["loc"])
        line = _sentence(place, detail, prefix, paths)
        lines.setdefault(place.path if place.is_union else f"{place.path}: {line}", line)
    return "\n".join(lines.values())


@dataclass(frozen=True)
class _Place:
    """Where in a settings model an error is.

    Attributes:
        path: dotted, as in ``training.learning_rates.pets``; entries of lists by number.
        annotation: what the value there must be.
        owner: the settings model that it belongs to.
        rest: what is left of pydantic's location.
        is_union: whether the value may be of several kinds, each of which has errors of its own.
    """

    path: str
    annotation: Any
    owner: type[BaseModel]
    rest: tuple[int | str, ...]
    is_union: bool = False
    metadata: tuple[Any, ...] = ()


def _place(model: type[BaseModel], location: Sequence[int | str]) -> _Place:
    path, owner = "", model
    annotation: Any = model
    metadata: tuple[Any, ...] = ()
    for number, part in enumerate(location):
        annotation, inner = _plain(annotation)
        metadata = inner or metadata
        rest, kinds = tuple(location[number:]), _kinds(annotation)
        if len(kinds) > 1:
            tagged = _of_kind(kinds, part)
            if tagged is None:
                return _Place(path, annotation, owner, rest, is_union=True)
            annotation = owner = tagged
            continue
        kind, metadata = _plain(kinds[0])[0], ()
        if _is_settings(kind):
            owner = kind
            field = _field(kind, part)
            if field is None:
                return _Place(path, kind, owner, rest)
            annotation, metadata = field.annotation, tuple(field.metadata)
            path = f"{path}.{part}" if path else str(part)
        elif get_origin(kind) is dict and part != "[key]":
            if number + 1 < len(location) and location[number + 1] == "[key]":
                return _Place(path, kind, owner, rest)
            annotation = get_args(kind)[1]
            path += f".{part}"
        elif get_origin(kind) in (tuple, list) and isinstance(part, int):
            annotation = get_args(kind)[0]
            path += f"[{part}]"
        else:
            return _Place(path, annotation, owner, rest)
    annotation, inner = _plain(annotation)
    kinds = _kinds(annotation)
    return _Place(path, annotation, owner, (), len(kinds) > 1, inner or metadata)


def _of_kind(kinds: Sequence[Any], tag: int | str) -> type[BaseModel] | None:
    """The one of several settings models whose ``kind`` is a tag."""
    models = [kind for kind in (_plain(kind)[0] for kind in kinds) if _is_settings(kind)]
    for model in models:
        field = model.model_fields.get("kind")
        if field is not None and tag in get_args(field.annotation):
            return model
    return None


def _field(model: type[BaseModel], name: int | str) -> FieldInfo | None:
    return model.model_fields.get(str(name))


def _plain(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """An annotation without ``Annotated``, and what stood in that."""
    metadata: tuple[Any, ...] = ()
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        for one in more:
            metadata += tuple(one.metadata) if isinstance(one, FieldInfo) else (one,)
    return annotation, metadata


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The kinds that a value may be of, but for null; each may be ``Annotated``."""
    plain = _plain(annotation)[0]
    if get_origin(plain) in (Union, types.UnionType):
        inner = (kind for kind in get_args(plain) if kind is not type(None))
        return tuple(kind for one in inner for kind in _kinds(one))
    return (annotation,)


def _sentence(
    place: _Place, detail: ErrorDetails, prefix: str, paths: Sequence[tuple[str, str]]
) -> str:
    path, kind, value = f"{prefix}{place.path}", detail["type"], detail["input"]
    if kind in {"extra_forbidden", "invalid_key"}:
        where = f"{path.rstrip('.')}: " if path else ""
        return where + _unknown_setting(
            place.owner, path.rstrip("."), str(detail["loc"][-1]), paths
        )
    if kind == "missing":
        missing = f"{path}.{place.rest[0]}" if place.rest else path
        wanted = _wanted(place.annotation if not place.rest else str, place.metadata)
        return f"{missing.lstrip('.')} is missing; give {wanted}."
    if kind == "value_error" and isinstance(detail.get("ctx", {}).get("error"), Exception):
        reason = str(detail["ctx"]["error"])
        reason += "" if reason.endswith((".", "?")) else "."
        if isinstance(value, Mapping | BaseModel) and not place.rest and _is_model(place):
            return reason  # two settings that contradict each other, which it names
        return f"{path} = {shortened(value)} is not allowed: {reason}"
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        given = value.get("kind") if isinstance(value, Mapping) else value
        kinds = [
            tag
            for model in (_plain(each)[0] for each in _kinds(place.annotation))
            for tag in get_args(model.model_fields["kind"].annotation)
        ]
        wanted = ", ".join(map(repr, kinds))
        return f"{path}.kind = {shortened(given)} is not allowed; give one of {wanted}."
    if place.is_union and place.rest and isinstance(place.rest[-1], int):
        path += f"[{place.rest[-1]}]"
    given = f"{path or 'the settings'} = {shortened(value)} is not allowed"
    if place.rest and place.rest[-1] == "[key]":
        given = f"{path}: the key {shortened(value)} is not allowed"
        return f"{given}; give {_wanted(get_args(place.annotation)[0])}."
    wanted = _wanted(place.annotation, place.metadata)
    if kind == "string_pattern_mismatch":
        wanted = _wanted_form(place, detail)
    hint = ""
    if kind == "literal_error" and isinstance(value, str):
        hint = did_you_mean(value, [v for v in _literals(place.annotation) if v])
    if kind == "string_type" and isinstance(value, bool | int | float):
        hint = f" To YAML it is no text without quotes: write '\"{value}\"' in quotes."
    return f"{given}; give {wanted}.{hint}"


def _wanted_form(place: _Place, detail: ErrorDetails) -> str:
    """What text a setting with a pattern takes: a name, or what the setting's description lists."""
    pattern = str(detail["ctx"]["pattern"])
    if pattern.startswith("^[A-Za-z0-9]"):
        return "a name of letters, digits, '.', '_' and '-'"
    field = _field(place.owner, detail["loc"][-1])
    return (field.description if field else None) or f"text that matches {pattern}"


def _is_model(place: _Place) -> bool:
    kinds = _kinds(place.annotation)
    return any(_is_settings(_plain(kind)[0]) for kind in kinds)


def _is_settings(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _literals(annotation: Any) -> Iterator[str]:
    for kind in (_plain(kind)[0] for kind in _kinds(annotation)):
        if get_origin(kind) is Literal:
            yield from (value for value in get_args(kind) if isinstance(value, str))


def _unknown_setting(
    owner: type[BaseModel], section: str, name: str, paths: Sequence[tuple[str, str]]
) -> str:
    """The message for an unknown setting of a section, which may be one of another section."""
    message = unknown("setting", name, owner.model_fields)
    names = {last for _, last in paths}
    close = name if name in names else nearest(name, names)
    likely = sorted(path for path, own in paths if own == close)
    if close != name and (own := nearest(name, owner.model_fields)):
        likely = [path for path in likely if path == f"{section}.{own}"] or [own]
    if not likely:
        return message
    known = message.partition("Known: ")[2]
    hint = " or ".join(map(repr, likely))
    return f"unknown setting {shortened(name)}. Did you mean {hint}? Known: {known}"


def setting_paths(
    model: type[BaseModel], prefix: str = "", parts: Mapping[str, type[BaseModel]] | None = None
) -> Iterator[tuple[str, str]]:
    """The dotted path and the last name of every setting of a model."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", name
        own = (parts or {}).get(name) or field.annotation
        for kind in (_plain(k)[0] for k in _kinds(own)):
            if _is_settings(kind):
                yield from setting_paths(kind, f"{prefix}{name}.")


def _wanted(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """What to write, with an example."""
    annotation, inner = _plain(annotation)
    pairs = map(_plain, _kinds(annotation))
    words = [_wanted_of(kind, (*metadata, *inner, *more)) for kind, more in pairs]
    if get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation):
        words.append("null")
    *first, last = dict.fromkeys(words)
    return f"{', '.join(first)}, or {last}" if first else last


def _wanted_of(kind: Any, metadata: Sequence[Any]) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(_written(value) for value in inner)}"
    if origin in (tuple, list):
        return f"a list, such as [{_example(inner[0])}, {_example(inner[0], second=True)}]"
    if origin is dict:
        return f"a mapping, such as {{{_example(inner[0])}: {_example(inner[1])}}}"
    if _is_settings(kind):
        return f"a mapping of settings, such as {_example(kind)}"
    limits = _range(metadata)
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        name = "a whole number" if kind is int else "a finite number"
        return f"{name} {limits}" if limits else f"{name}, such as {_example(kind)}"
    return "text"


def _range(metadata: Sequence[Any]) -> str:
    """The allowed range of a number in words."""
    words = []
    for limit in metadata:
        match limit:
            case Ge(ge=low):
                words.append(f"of at least {low:g}")
            case Gt(gt=low):
                words.append(f"above {low:g}")
            case Le(le=high):
                words.append(f"of at most {high}" if not words else f"at most {high}")
            case Lt(lt=high):
                words.append(f"below {high:g}")
            case MultipleOf(multiple_of=step):
                words.append(f"a multiple of {step:g}")
    return " and ".join(words)


def _example(annotation: Any, *, second: bool = False) -> str:
    kind = _plain(_kinds(_plain(annotation)[0])[0])[0]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _written(inner[-1] if second else inner[0])
    if origin in (tuple, list):
        return f"[{_example(inner[0])}, {_example(inner[0], second=True)}]"
    if origin is dict:
        return f"{{{_example(inner[0])}: {_example(inner[1])}}}"
    if _is_settings(kind):
        name, field = next(iter(kind.model_fields.items()), ("key", None))
        return f"{{{name}: {_example(field.annotation if field else str)}}}"
    if kind is bool:
        return "true"
    if kind is int:
        return "2" if second else "1"
    if kind is float:
        return "0.5" if second else "0.1"
    return "b" if second else "a"


def _written(value: object) -> str:
    """A value as it is written in YAML."""
    return str(value).lower() if isinstance(value, bool) else repr(value)
