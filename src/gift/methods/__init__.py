"""The methods: one module each in this package, or classes of other packages.

Other packages offer methods in the entry point group ``gift.methods``; any class can be named as
``package.module:Class``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from gift.settings import MethodSettings, validate
from gift.text import unknown

if TYPE_CHECKING:
    from gift.methods.base import Method, Predictor, TaskContext

__all__ = [
    "Method",
    "MethodSettings",
    "Predictor",
    "TaskContext",
    "create_method",
    "method_class",
    "method_names",
]

_SHARED = {"base", "merged_models", "objectives", "selectors"}
"""Modules of this package that are no methods."""


def __getattr__(name: str) -> Any:
    """Import the contract when it is first used: names and settings of methods need no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("gift.methods.base"), name)


def method_names() -> list[str]:
    """All methods by name: this package's, found by their files, and those of entry points."""
    return sorted({*_own(), *_offered()})


def method_class(name: str) -> type[Method]:
    """The class of a method.

    Args:
        name: of a module here, of an entry point, or ``package.module:Class``.

    Raises:
        ValueError: unknown name, or a class that cannot be imported or is no method.
    """
    from gift.methods.base import Method

    if name in _own():
        module = importlib.import_module(f"gift.methods.{name}")
        classes = (cls for _, cls in inspect.getmembers(module, inspect.isclass))
        found = [c for c in classes if issubclass(c, Method) and c.__module__ == module.__name__]
        assert len(found) == 1, f"{module.__name__} must define exactly one Method"
        return found[0]
    point = _offered().get(name)
    if point is None and ":" in name:
        point = EntryPoint(name, name, _GROUP)
    if point is None:
        raise ValueError(unknown("method", name, method_names()))
    try:
        cls = point.load()
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"method {name!r}: {point.value} cannot be imported ({error}); install its package, or "
            "correct package.module:Class."
        ) from error
    if not (inspect.isclass(cls) and issubclass(cls, Method)):
        raise ValueError(f"method {name!r}: {point.value} is no subclass of gift.methods.Method.")
    return cls


def create_method(name: str, settings: MethodSettings | Mapping[str, Any] | None = None) -> Method:
    """A method with its settings checked.

    Raises:
        ValueError: unknown method, unknown or wrong setting.
    """
    cls = method_class(name)
    if isinstance(settings, MethodSettings):
        return cls(settings)
    return cls(validate(cls.Settings, settings or {}, where=f"settings of {name}"))


_GROUP = "gift.methods"


def _own() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__)} - _SHARED


def _offered() -> dict[str, EntryPoint]:
    """The entry points of other packages by method name."""
    return {point.name: point for point in entry_points(group=_GROUP)}
