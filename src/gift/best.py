"""The weights of a training that were best on validation images."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gift import weights
from gift.vlm import VisionLanguageModel

log = logging.getLogger(__name__)


class Best:
    """The weights with the highest accuracy on validation images so far, the first of equal ones.

    Args:
        validate: measures the accuracy in percent.
        model: whose weights are measured.
    """

    def __init__(self, validate: Callable[[], float], model: VisionLanguageModel) -> None:
        self._validate = validate
        self._model = model
        self._weights: dict[str, Tensor] = {}
        self.step, self.accuracy = 0, -math.inf

    def measure(self, step: int) -> None:
        """Measure the weights after so many steps, and remember them if they are the best."""
        self._model.eval()
        accuracy = self._validate()
        self._model.train()
        log.info("%d steps: %.1f %% of the validation images.", step, accuracy)
        if accuracy > self.accuracy:
            self.step, self.accuracy = step, accuracy
            self._weights = weights.snapshot(self._model.trainable_parameters())

    def restore(self) -> None:
        """Give the model its best weights."""
        weights.assign(self._model.trainable_parameters(), self._weights)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        measured = torch.tensor([self.step, self.accuracy], dtype=torch.float64)
        return {"measured": measured, **weights.with_prefix("weights", self._weights)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave; the tensors are copied."""
        step, self.accuracy = state["measured"].tolist()
        self.step = int(step)
        device = self._model.device
        kept = weights.without_prefix("weights", state)
        self._weights = {name: tensor.to(device, copy=True) for name, tensor in kept.items()}
