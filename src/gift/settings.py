"""Settings: base model, identity, validation, YAML layers, overrides and recipes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from gift.plugins import buildable_models, shipped_files, shipped_models
from gift.text import unknown

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is many times faster
_BUILTIN = "builtin:"

Values = dict[str, Any]
"""Plain nested values as YAML and JSON have them, before they are validated."""


class Settings(BaseModel):
    """Base of every settings model: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def Free(default: Any, **options: Any) -> Any:
    """A field that does not bear on results: a run may be resumed with another value."""
    return Field(default, json_schema_extra={"free": True}, **options)


def identity(settings: Settings) -> Values:
    """The values that bear on results, nested as JSON; those of :func:`Free` are excluded.

    Validated settings with equal identities are the same settings, however they were written.
    """
    found: Values = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value, extra = getattr(settings, name), field.json_schema_extra
        if isinstance(value, Settings):
            found[name] = identity(value)
        elif isinstance(extra, dict) and extra.get("free"):
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


S = TypeVar("S", bound=Settings)


def validate(model: type[S], values: Mapping[str, object], *, where: str = "configuration") -> S:
    """Build a settings model from plain values.

    Raises:
        ValueError: one line per wrong value, with the nearest valid key for an unknown one.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(model, detail) for detail in error.errors(include_url=False)]
        raise ValueError(f"{where}: " + "\n".join(lines)) from None


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
        raise ValueError(f"{text!r} is not key=value; write for instance training.iterations=500.")
    try:
        nested: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(f"{text!r}: the value is not valid YAML.") from None
    return nest(path.split("."), nested)


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
    """Read a mapping from a YAML file.

    Raises:
        ValueError: the file is not there, not YAML or not a mapping.
    """
    try:
        value = _LOADER(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; give the path of a YAML file.") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a mapping (key: value), not a {type(value).__name__}.")
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
    path = Path(reference).expanduser()
    return str(path.resolve()) if path.exists() else reference


def name_or_path(reference: str) -> str:
    """A path in full; what has neither a separator nor the ending ``.txt`` is a name.

    So a folder that happens to be called like a shipped list is not taken for it.
    """
    path = Path(reference)
    looks_like_path = len(path.parts) > 1 or path.suffix == ".txt" or reference[:1] in {".", "~"}
    return absolute(reference) if looks_like_path else reference


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


def _settings_in(annotation: Any) -> list[type[Settings]]:
    """The settings models in an annotation: ``Part``, ``Part | None``, ``tuple[Part, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _settings_in(inner)]


def _explain(model: type[Settings], detail: ErrorDetails) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        owners = [model]
        for part in detail["loc"][:-1]:
            if part in owners[0].model_fields:  # else an index into a list, or a kind
                owners = _settings_in(owners[0].model_fields[str(part)].annotation)
            elif len(owners) > 1:
                owners = [m for m in owners if part in get_args(m.model_fields["kind"].annotation)]
        return unknown("setting", str(detail["loc"][-1]), owners[0].model_fields)
    if detail["type"] == "missing":
        return f"{path} is missing."
    reason = detail["msg"].removeprefix("Value error, ")
    if isinstance(detail["input"], Mapping):  # two settings that contradict each other
        return f"{reason.removesuffix('.')}."
    return f"{path} = {detail['input']!r} is not allowed: {reason}."


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
