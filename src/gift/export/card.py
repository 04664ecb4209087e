"""The model card of an export: README.md with the hub's front matter."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from gift.calibration import Calibration
from gift.config import LearnerConfig
from gift.evaluate import AMONG, Accuracy
from gift.export.labels import PipelineLabels
from gift.export.licence import licence_of
from gift.export.source import Source
from gift.history import TaskRecord
from gift.methods import method_class
from gift.runs.environment import package_version
from gift.settings import differences as setting_differences
from gift.settings import identity
from gift.text import MARKDOWN, one_line

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_LINKS = re.compile(r"www\.|://|@|^[#+-]|^(?=\d+[.)])", re.MULTILINE)
"""Of what GitHub makes links, mentions, headings and lists, beside Markdown's own markup."""


@dataclass(frozen=True)
class Facts:
    """What is known of a learner beside its classifier.

    Attributes:
        config: its settings as they are now.
        history: how its tasks were learned.
        accuracies: measured ones.
        calibration: of predictions among all classes seen; None where there is none.
    """

    config: LearnerConfig
    history: Sequence[TaskRecord] = ()
    accuracies: Sequence[Accuracy] = ()
    calibration: Calibration | None = None


def model_card(source: Source, facts: Facts, differences: Mapping[str, float]) -> str:
    """The text of README.md.

    Args:
        source: what is exported.
        facts: of the learner; what is about other tasks than the exported one is omitted.
        differences: of each format, the largest difference from the learner.
    """
    names, config = {labels.name for labels in source.spaces}, facts.config
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
    chosen = ["method", "method_settings", "training", "seed"]
    chosen += ["synthesis"] if "synthetic" in method.streams else []
    now = _chosen(identity(config), chosen)
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
            settings=yaml.safe_dump(now, allow_unicode=True, sort_keys=False),
            earlier=_earlier(facts.history, names, chosen, now),
            records={record.name: record for record in facts.history},
            calibration=facts.calibration if source.task is None else None,
            version=package_version("gift-cl"),
            source=source,
            differences=differences,
            size=source.model.preprocess.size,
            among=AMONG,
            accuracies=[
                one for one in facts.accuracies if one.task in names or source.task is None
            ],
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


def _chosen(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The settings of these names that are set; of folders the names alone."""
    plain = {name: _plain(settings.get(name)) for name in names}
    return {name: found for name, found in plain.items() if found not in _EMPTY}


def _earlier(
    history: Sequence[TaskRecord], tasks: Collection[str], names: Sequence[str], now: dict[str, Any]
) -> dict[str, list[str]]:
    """By task, the settings that it was learned with and that are others now, a phrase each."""
    found = {
        record.name: setting_differences(_chosen(record.settings, names), now)
        for record in history
        if record.settings is not None and record.name in tasks
    }
    return {name: phrases for name, phrases in found.items() if phrases}


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
