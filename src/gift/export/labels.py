"""The class list of an export, as transformers' zero-shot pipeline takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gift.data.labels import LabelSpace
from gift.text import fill, shortened
from gift.vlm import VisionLanguageModel

PADDED_LENGTH = 64
"""Tokens to which the pipeline pads and cuts the texts of SigLIP models, whatever they read."""


@dataclass(frozen=True)
class PipelineLabels:
    """Labels and template of ``pipeline("zero-shot-image-classification")``, which fills them.

    Attributes:
        labels: what is given as ``candidate_labels``.
        template: what is given as ``hypothesis_template``; ``str.format`` is called on it.
        classes: the class name that each label stands for.
        positions: of each label's class among all classes of the label spaces.
    """

    labels: tuple[str, ...]
    template: str
    classes: tuple[str, ...]
    positions: tuple[int, ...]

    @classmethod
    def of(cls, model: VisionLanguageModel, spaces: Sequence[LabelSpace]) -> PipelineLabels:
        """The labels of all classes of label spaces, with the first template of each.

        They are the class names where one template serves all; else they are whole prompts. The
        pipeline has one template, and does not write texts in lower case, as some models need.
        """
        pairs = [(labels.templates[0], name) for labels in spaces for name in labels.classnames]
        is_lower = all(text == text.lower() for pair in pairs for text in pair)
        is_plain = len({template for template, _ in pairs}) == 1
        if is_plain and (model.has_causal_text_tower or is_lower):
            template = _for_format(pairs[0][0])
            labels = [name for _, name in pairs]
        else:
            template = "{}"
            labels = [fill(template, name) for template, name in pairs]
            if not model.has_causal_text_tower:
                labels = [label.lower() for label in labels]
        first = {label: number for number, label in reversed(list(enumerate(labels)))}
        positions = sorted(first.values())
        return cls(
            tuple(labels[number] for number in positions),
            template,
            tuple(pairs[number][1] for number in positions),
            tuple(positions),
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """What is given to the pipeline beside the image."""
        return {"candidate_labels": list(self.labels), "hypothesis_template": self.template}

    @property
    def prompts(self) -> list[str]:
        """The texts that the pipeline makes of them."""
        return [self.template.format(label) for label in self.labels]

    def check(self, model: VisionLanguageModel) -> None:
        """Refuse what the pipeline would read otherwise than the learner does.

        Raises:
            ValueError: a prompt that it would not cut to the model's context, or a context to which
                it would not pad.
        """
        context = model.towers.config.text_config.max_position_embeddings
        if not model.has_causal_text_tower:
            if context != PADDED_LENGTH:
                raise ValueError(
                    f"the model reads texts of {context} tokens, but transformers' pipeline makes "
                    f"{PADDED_LENGTH} of this kind of model; export another format (--format onnx, "
                    "torch or head)."
                )
            return
        lengths = map(len, model.tokenizer(self.prompts).input_ids)
        for name, length in zip(self.classes, lengths, strict=True):
            if length > context:
                raise ValueError(
                    f"the prompt of the class {shortened(name)} has {length} tokens, but the model "
                    f"reads {context}, and transformers' pipeline does not cut it; export another "
                    "format (--format onnx, torch or head)."
                )


def _for_format(template: str) -> str:
    """A template, in which ``{}`` is the name's place and nothing else, for ``str.format``.

    >>> _for_format("a photo of a {}."), _for_format("{a} {}, {}")
    ('a photo of a {}.', '{{a}} {0}, {0}')
    """
    place = "{}" if template.count("{}") == 1 else "{0}"
    parts = template.split("{}")
    return place.join(part.replace("{", "{{").replace("}", "}}") for part in parts)
