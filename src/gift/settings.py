"""What all settings are made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Base of every settings model: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def Free(default: Any, **options: Any) -> Any:
    """A field that does not bear on results: a run may go on with another value."""
    return Field(default, json_schema_extra={"free": True}, **options)


def deciding(settings: Settings) -> dict[str, Any]:
    """The values that bear on results, nested as JSON; those of :func:`Free` are left out."""
    found: dict[str, Any] = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value, extra = getattr(settings, name), field.json_schema_extra
        if isinstance(value, Settings):
            found[name] = deciding(value)
        elif isinstance(extra, dict) and extra.get("free"):
            del found[name]
    return found
