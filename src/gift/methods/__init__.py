"""The methods, one module each, found by their files."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

from gift.methods.base import Loss, Method, MethodSettings, Predictor, TaskContext
from gift.settings import validate
from gift.text import unknown

__all__ = [
    "Loss",
    "Method",
    "MethodSettings",
    "Predictor",
    "TaskContext",
    "create_method",
    "method_class",
    "method_names",
]


def method_names() -> list[str]:
    """All methods, found by their files."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _SHARED)


_SHARED = {"base", "task_models", "terms"}


def method_class(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        ValueError: unknown name.
    """
    if name not in method_names():
        raise ValueError(unknown("method", name, method_names()))
    module = importlib.import_module(f"gift.methods.{name}")
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
    ]
    assert len(found) == 1, f"{module.__name__} must define exactly one Method, not {len(found)}"
    return found[0]


def create_method(name: str, settings: MethodSettings | Mapping[str, Any] | None = None) -> Method:
    """A method with its settings checked.

    Raises:
        ValueError: unknown method, unknown or wrong setting.
    """
    cls = method_class(name)
    if isinstance(settings, MethodSettings):
        return cls(settings)
    return cls(validate(cls.Settings, settings or {}, where=f"settings of {name}"))
