"""LwF-VR: LwF against random token sequences, a replayed vocabulary.

Ding et al., "Don't Stop Learning: Towards Continual Learning for the CLIP Model", 2022; as in the
official code of ZSCL (Zheng et al., ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from gift.methods.base import Backward, Batches, Losses, Method, TaskContext
from gift.methods.objectives import DistillationSettings, ReferenceDistillation, TaskLoss
from gift.vlm import VisionLanguageModel


class LwfVrSettings(DistillationSettings):
    """LwF-VR as in ZSCL's comparisons."""

    sentences: int = Field(1000, ge=1, description="random token sequences per task")
    words: int = Field(10, ge=1, description="random tokens in each; fewer in a short context")


class LwfVr(Method):
    """Distilled on the task's own images against random token sequences."""

    Settings = LwfVrSettings
    settings: LwfVrSettings
    streams = ("current",)

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """The model before the task is the teacher; draw random token sequences."""
        self._task_loss = TaskLoss(model, task)
        teacher = model.frozen_copy()
        rng = np.random.default_rng([task.seed, *b"sentences for", *task.labels.name.encode()])
        tokens = random_sentences(teacher, self.settings.sentences, self.settings.words, rng)
        self._distillation = ReferenceDistillation(
            teacher, task.sets["current"], tokens, self.settings
        )

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        """The distillation, then the task's cross-entropy."""
        logged = self._distillation(model, batch["current"])
        backward(logged["distillation"])
        logged["task"] = self._task_loss(model, batch["task"])
        backward(logged["task"])
        return logged

    def training_state(self) -> dict[str, Tensor]:
        """The teacher's image features so far."""
        return self._distillation.training_state()

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        self._distillation.load_training_state(state)


def random_sentences(
    model: VisionLanguageModel, count: int, words: int, rng: np.random.Generator
) -> Tensor:
    """Start token, tokens drawn uniformly from the whole vocabulary, end token, padding.

    Start and end are what the tokenizer puts around a text; some have no start token. A sentence
    ends early where the end token itself is drawn.

    Args:
        model: whose vocabulary and context length count.
        count: T, the number of sentences.
        words: sampled per sentence; no more than the context has room for.
        rng: where they are sampled from.

    Returns:
        int64 [T, context length] on the model's device.
    """
    text, tokenizer = model.towers.config.text_config, model.tokenizer
    *start, end = tokenizer("").input_ids
    first, context = len(start), text.max_position_embeddings
    words = min(words, context - first - 1)
    tokens = torch.full((count, context), tokenizer.pad_token_id)
    tokens[:, :first] = torch.tensor(start, dtype=torch.int64)
    drawn = rng.integers(text.vocab_size, size=(count, words))
    tokens[:, first : first + words] = torch.from_numpy(drawn)
    tokens[:, first + words] = end
    return tokens.to(model.device)
