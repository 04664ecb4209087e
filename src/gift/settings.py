"""Settings: base model, identity, validation, YAML layers, overrides and recipes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gift.explain import explain
from gift.plugins import buildable_models, shipped_files, shipped_models
from gift.text import check_name, shortened, unknown, user_path
from gift.textfiles import parse_yaml, read_text

_BUILTIN = "builtin:"

Values = dict[str, Any]
"""Plain nested values as YAML and JSON have them, before they are validated."""


class Settings(BaseModel):
    """Base of every settings model: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def models_of(cls, values: Mapping[str, object]) -> dict[str, type[Settings]]:
        """The models of fields whose model depends on other values, by the fields' names."""
        return {}

    def lasting(self) -> Values:
        """The values that a folder which was begun with these settings holds on to, as JSON."""
        return identity(self)


class MethodSettings(Settings):
    """Base of every method's settings."""


Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A seed that every library takes."""


def Free(default: Any, **options: Any) -> Any:
    """A field that does not bear on results: a run may be resumed with another value."""
    return Field(default, json_schema_extra={"free": True}, **options)


def Fixed(default: Any, **options: Any) -> Any:
    """A field that the state kept between tasks depends on: a learner keeps its first value."""
    return Field(default, json_schema_extra={"fixed": True}, **options)


def identity(settings: Settings) -> Values:
    """The values that bear on results, nested as JSON; those of :func:`Free` are excluded.

    Validated settings with equal identities are the same settings, however they were written.
    """
    return _dumped(settings, lambda marks: "free" not in marks)


def fixed(settings: Settings) -> Values:
    """The values of the fields that are :func:`Fixed`, nested as JSON."""
    return _dumped(settings, lambda marks: "fixed" in marks)


def _dumped(settings: Settings, wanted: Callable[[Mapping[str, Any]], bool]) -> Values:
    """The values of the fields whose marks are wanted; nested settings by their own fields."""
    found: Values = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value, extra = getattr(settings, name), field.json_schema_extra
        marks = extra if isinstance(extra, dict) else {}
        if isinstance(value, Settings) and "free" not in marks:
            found[name] = _dumped(value, wanted)
        elif not wanted(marks):
            del found[name]
    return found


def fingerprint(settings: Settings, *, without: Collection[str] = ()) -> str:
    """The SHA-256 checksum of the identity, for names and look-ups.

    Args:
        settings: validated settings.
        without: top-level settings that do not count.
    """
    values = {key: value for key, value in identity(settings).items() if key not in without}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def described(model: type[Settings], prefix: str = "") -> dict[str, tuple[Any, str]]:
    """The settings of a model by dotted path: the default and what it means.

    Those whose model depends on other values (:meth:`Settings.models_of`) are not looked into.
    """
    found: dict[str, tuple[Any, str]] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Settings) and kind is not MethodSettings:
            found |= described(kind, f"{prefix}{name}.")
        elif kind is not MethodSettings:
            value = None if field.is_required() else field.get_default()
            found[f"{prefix}{name}"] = value, field.description or ""
    return found


S = TypeVar("S", bound=Settings)


def validate(
    model: type[S], values: Mapping[str, object], *, where: str = "configuration", prefix: str = ""
) -> S:
    """Build a settings model from plain values.

    Args:
        model: the settings model.
        values: plain values, nested.
        where: what holds them, the beginning of a message.
        prefix: of the settings' paths in messages, such as ``method_settings.``.

    Raises:
        ValueError: one line per wrong value, with the nearest valid key for an unknown one.
    """
    if problem := _too_large(values, prefix):
        raise ValueError(f"{where}: {problem}" if where else problem)
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        told = explain(error, model, prefix, model.models_of(values))
        raise ValueError(f"{where}: {told}" if where else told) from None


def _too_large(values: Mapping[str, object], prefix: str = "") -> str | None:
    """Names a whole number that no library takes; None where there is none."""
    for key, value in values.items():
        found = None
        if isinstance(value, Mapping):
            found = _too_large(value, f"{prefix}{key}.")
        elif isinstance(value, int) and abs(value) >= 2**63:
            found = f"{prefix}{key} = {shortened(value)} is too large a number."
        if found:
            return found
    return None


def merge(*layers: Mapping[str, object]) -> Values:
    """Nested mappings laid over each other; later layers win, key by key."""
    merged: Values = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
                merged[key] = merge(merged[key], value)
            else:
                merged[key] = value
    return merged


def parse_override(text: str) -> Values:
    """Turn ``training.iterations=80`` into ``{"training": {"iterations": 80}}``.

    Raises:
        ValueError: no ``=``, an empty key, or a value that is not YAML.
    """
    path, equals, value = text.partition("=")
    if not equals or not all(path.split(".")):
        raise ValueError(
            f"{shortened(text)} is not key=value; write for instance training.iterations=500."
        )
    check_name("the setting", path)
    return nest(path.split("."), parse_yaml(value, f"the value of {shortened(path)}"))


def nest(path: Sequence[str], value: Any) -> Values:
    """A value below the keys of a path.

    >>> nest(["training", "warmup"], 3)
    {'training': {'warmup': 3}}
    """
    for key in reversed(path):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def flat(values: Mapping[str, object], prefix: str = "") -> Values:
    """Nested values by their dotted paths.

    >>> flat({"seed": 0, "training": {"warmup": 3}})
    {'seed': 0, 'training.warmup': 3}
    """
    found: Values = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def read_yaml(path: Path) -> Values:
    """Read a mapping from a YAML file, see :func:`gift.textfiles.parse_yaml`.

    Raises:
        ValueError: the file is not there, not YAML in UTF-8, or not a mapping of names.
    """
    return mapping_of(parse_yaml(read_text(path), str(path)), str(path))


def mapping_of(value: Any, where: str) -> Values:
    """The mapping that a file holds; an empty one for an empty file.

    Raises:
        ValueError: something else; the message begins with ``where``.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        kinds = {list: "a list", str: "text", bool: "a truth value", int: "a number"}
        raise ValueError(
            f"{where} must hold a mapping (key: value), not {kinds.get(type(value), 'a value')}."
        )
    if wrong := [key for key in value if not isinstance(key, str)]:
        raise ValueError(f"{where}: the key {shortened(wrong[0])} is no name; put it in quotes.")
    return value


def recipe_names() -> list[str]:
    """The recipes of all catalogues."""
    return list(shipped_files("recipes", ".yaml"))


def read_recipe(name: str) -> Values:
    """A recipe as it is written.

    Raises:
        ValueError: unknown name, with the nearest.
    """
    recipes = shipped_files("recipes", ".yaml")
    if name not in recipes:
        raise ValueError(unknown("recipe", name, recipes))
    return read_yaml(recipes[name])


def load_recipe(name: str, method: str) -> Values:
    """The settings that a recipe gives to a method: its common part under the method's own.

    Both lie over those of the recipe that it ``extends``.
    """
    recipe = read_recipe(name)
    recipe.pop("search", None)
    below = recipe.pop("extends", None)
    own: Values = recipe.pop("methods", {}).get(method) or {}
    return merge(load_recipe(below, method) if below else {}, recipe, own)


def absolute(reference: str) -> str:
    """The path of an existing file or folder in full, so that it holds from anywhere.

    Other references (hub ids, names of the package) stay as they are.
    """
    path = user_path(reference)
    return (
        str(path.resolve()) if path.exists() else str(path) if reference[:1] == "~" else reference
    )


def name_or_path(reference: str) -> str:
    """A path in full; what has neither a separator nor the ending ``.txt`` is a name.

    So a folder that happens to be called like a shipped list is not taken for it.
    """
    path = Path(reference)
    looks_like_path = len(path.parts) > 1 or path.suffix == ".txt" or reference[:1] in {".", "~"}
    return absolute(reference) if looks_like_path else reference


def is_hub_id(reference: str) -> bool:
    """Whether a reference is the name of a repository: no catalogue's model and no path."""
    path = user_path(reference)
    is_path = path.exists() or path.is_absolute() or reference[:1] == "." or len(path.parts) > 2
    return not reference.startswith(_BUILTIN) and not is_path


def locate(reference: str, built: Path | None = None) -> str:
    """The folder of a catalogue's model, ``builtin:<catalogue>/<model>``; others as given.

    Args:
        reference: a folder, a hub id or a catalogue's model.
        built: where models are that a catalogue does not ship: ``built/<catalogue>/<model>``.

    Raises:
        ValueError: no catalogue has such a model, or it is still to be built.
    """
    if not reference.startswith(_BUILTIN):
        return reference
    name, models = reference.removeprefix(_BUILTIN), shipped_models()
    if name in models:
        return str(models[name])
    commands = buildable_models()
    if name not in commands:
        raise ValueError(unknown("built-in model", name, [*models, *commands]))
    if built is None or not (built / name).is_dir():
        place = f" and not in {built}" if built else ""
        raise ValueError(
            f"{reference} is not shipped{place}; build it with '{commands[name]}', once."
        )
    return str(built / name)


def differences(old: Values, new: Values, prefix: str = "") -> list[str]:
    """What differs between two nested configurations, a phrase each."""
    lines: list[str] = []
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key} is {before!r} there and {after!r} here")
    return lines
