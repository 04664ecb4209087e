"""A model folder of the transformers library, as its zero-shot pipeline opens it."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from gift.export.agreement import difference
from gift.export.labels import PipelineLabels
from gift.export.source import Source
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
    with silenced(logging.CRITICAL, transformers_logging):
        model = AutoModel.from_pretrained(folder, use_safetensors=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    context = source.model.towers.config.text_config.max_position_embeddings
    is_causal = source.model.has_causal_text_tower
    options = {} if is_causal else {"max_length": context, "truncation": True}
    padding = "longest" if is_causal else "max_length"
    texts = tokenizer(labels.prompts, return_tensors="pt", padding=padding, **options)
    images = processor(images=source.images, return_tensors="pt")
    with torch.no_grad():
        found = model(**texts, **images).logits_per_image
    if not is_causal:
        found = found - model.logit_bias  # the same for all classes; the learner drops it
    original = source.scores(source.with_first_templates())[:, list(labels.positions)]
    return difference(found, original, source.scale)
