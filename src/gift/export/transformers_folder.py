"""A model folder of the transformers library, as its zero-shot pipeline opens it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from gift.export.agreement import difference
from gift.export.labels import PADDED_LENGTH, PipelineLabels
from gift.export.source import Source
from gift.files import read_json, write_json
from gift.progress import silenced


def write(source: Source, folder: Path) -> float:
    """Write the model folder, and compare it through transformers' own classes.

    Prompts are made, tokenised and encoded in the pipeline's way, so its class list is compared,
    too.

    Returns:
        The largest difference, see :func:`gift.export.agreement.difference`.

    Raises:
        ValueError: a prompt is too long for the pipeline.
    """
    labels = PipelineLabels.of(source.model, source.spaces)
    labels.check(source.model)
    source.model.save_pretrained(folder)
    is_causal = source.model.has_causal_text_tower
    if not is_causal:  # it was trained to see the padding, so no mask may hide that
        path = folder / "tokenizer_config.json"
        write_json(path, read_json(path) | {"model_input_names": ["input_ids"]})
    with silenced(logging.CRITICAL, transformers_logging):
        model = AutoModel.from_pretrained(folder, use_safetensors=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    padding: dict[str, Any] = {"padding": True}
    if not is_causal:
        padding = {"padding": "max_length", "max_length": PADDED_LENGTH, "truncation": True}
    texts = tokenizer(labels.prompts, return_tensors="pt", **padding)
    images = processor(images=source.images, return_tensors="pt")
    with torch.no_grad():
        found = model(**texts, **images).logits_per_image
        if not is_causal:
            found = found - model.logit_bias  # the same for all classes; the learner drops it
    original = source.scores(source.with_first_templates())[:, list(labels.positions)]
    return difference(found, original, source.scale)
