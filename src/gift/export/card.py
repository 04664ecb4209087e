"""The model card of an export: README.md with the hub's front matter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from gift.config import LearnerConfig
from gift.evaluate import AMONG, Accuracy
from gift.export.labels import PipelineLabels
from gift.export.licence import licence_of
from gift.export.source import Source
from gift.methods import method_class
from gift.runs.environment import package_version
from gift.settings import identity
from gift.text import MARKDOWN, one_line

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_LINKS = re.compile(r"www\.|://|@|^[#+-]|^(?=\d+[.)])", re.MULTILINE)
"""Of what GitHub makes links, mentions, headings and lists, beside Markdown's own markup."""


def model_card(
    source: Source,
    config: LearnerConfig,
    differences: Mapping[str, float],
    accuracies: Sequence[Accuracy] = (),
) -> str:
    """The text of README.md.

    Args:
        source: what is exported.
        config: the learner's.
        differences: of each format, the largest difference from the learner.
        accuracies: measured ones; those of other tasks than the exported one are left out.
    """
    names = {labels.name for labels in source.spaces}
    base = config.model
    is_id = _HUB_ID.fullmatch(base) is not None and not Path(base).exists()
    licence = licence_of(base)
    method = method_class(config.method)
    front = {
        "license": licence,
        **({"library_name": "transformers"} if "transformers" in differences else {}),
        "pipeline_tag": "zero-shot-image-classification",
        **({"base_model": base} if is_id else {}),
        "tags": ["clip", "continual-learning", "gift-cl"],
    }
    labels = PipelineLabels.of(source.model, source.spaces)
    return (
        _environment()
        .get_template("card.md.j2")
        .render(
            front=yaml.safe_dump(front, allow_unicode=True, sort_keys=False),
            base=Path(base).name if Path(base).is_absolute() else base,
            licence=licence,
            method=config.method,
            summary=(method.__doc__ or "").strip().splitlines()[0],
            settings=_settings(config, generates="synthetic" in method.streams),
            version=package_version("gift-cl"),
            source=source,
            differences=differences,
            size=source.model.preprocess.size,
            among=AMONG,
            accuracies=[one for one in accuracies if one.task in names or source.task is None],
            are_prompts=labels.template == "{}",
            several_templates=any(len(own.templates) > 1 for own in source.spaces),
            is_sigmoid=not source.model.has_causal_text_tower,
        )
    )


_EMPTY: tuple[Any, ...] = (None, {}, [], ())


def escaped(value: object) -> str:
    """A name as text of a Markdown document: no markup, link, mention or line break.

    >>> print(escaped("<b>*x*</b> https://a.example"))
    \\<b\\>\\*x\\*\\</b\\> https\\://a.example
    """
    text = one_line(value).translate(MARKDOWN)
    return _LINKS.sub(lambda match: _unlinked(match[0]), text)


def _unlinked(mark: str) -> str:
    return "www\\." if mark == "www." else f"\\{mark}" if mark else "\u200b"


def _settings(config: LearnerConfig, *, generates: bool) -> str:
    """The settings that bear on results, as YAML; of folders the names alone."""
    chosen = [
        "method",
        "method_settings",
        "training",
        *(["synthesis"] if generates else []),
        "seed",
    ]
    values = identity(config)
    return yaml.safe_dump(
        {name: found for name in chosen if (found := _plain(values[name])) not in _EMPTY},
        allow_unicode=True,
        sort_keys=False,
    )


def _plain(value: Any) -> Any:
    """Without folders' paths and what is not set."""
    if isinstance(value, dict):
        inner = {key: _plain(found) for key, found in value.items()}
        return {key: found for key, found in inner.items() if found not in _EMPTY}
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _fenced(text: str, language: str) -> str:
    """A block of code that nothing in it can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gift.export"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"md": escaped, "fenced": _fenced}
    return environment
