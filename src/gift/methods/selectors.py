"""Task selectors: guess which learned task an image belongs to, shared by methods."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from gift import weights
from gift.methods.base import TaskContext
from gift.vlm import VisionLanguageModel, encode_all_images, mean_class_embeddings


class PrototypeSelector:
    """Scores the tasks learned so far by the most similar of their class prototypes (ConDU).

    Attributes:
        prototypes: by task, unit rows [C, D] in the feature space of the pre-trained model.
    """

    def __init__(self) -> None:
        self.prototypes: dict[str, Tensor] = {}

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the learned tasks, in order."""
        return tuple(self.prototypes)

    def scores(self, features: Tensor) -> Tensor:
        """How well each of T tasks fits images with unit features [B, D]: [B, T].

        It is the largest cosine similarity to one of the task's prototypes.
        """
        nearest = [(features @ rows.T).amax(dim=1) for rows in self.prototypes.values()]
        return torch.stack(nearest, dim=1)

    def numel(self) -> int:
        """Numbers in all prototypes."""
        return sum(tensor.numel() for tensor in self.prototypes.values())

    def state_dict(self) -> dict[str, Tensor]:
        """``prototypes/<number>/<task>`` [C, D]."""
        numbered = enumerate(self.prototypes.items())
        return {f"prototypes/{number:04}/{task}": rows for number, (task, rows) in numbered}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave; other keys are ignored."""
        found = weights.without_prefix("prototypes", state)
        self.prototypes = {key.partition("/")[2]: found[key] for key in sorted(found)}


@torch.no_grad()
def class_prototypes(pretrained: VisionLanguageModel, task: TaskContext) -> Tensor:
    """Where the classes of a task lie in the feature space of the pre-trained model.

    ``normalise((mean of the class's unit image features + mean of its unit prompt features) / 2)``
    with the prompts of all templates; a class without images has its prompts alone.

    Args:
        pretrained: the model.
        task: with its ``current`` images.

    Returns:
        Unit rows [C, D].
    """
    texts = mean_class_embeddings(pretrained, task.labels)
    current = task.sets["current"]
    images = encode_all_images(pretrained, current.pixels)
    number = {prompt: label for label, prompt in enumerate(task.labels.prompts)}
    labels = torch.tensor([number[text] for text in current.texts], device=images.device)
    counts = labels.bincount(minlength=len(texts)).to(images.dtype)
    sums = torch.zeros_like(texts).index_add_(0, labels, images)
    return F.normalize(sums / counts.clamp(min=1)[:, None] + texts, dim=-1)
