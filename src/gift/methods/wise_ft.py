"""WiSE-FT: the weights after a task are mixed with earlier ones.

Wortsman et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022; as a continual method in Zheng
et al., "Preventing Zero-Shot Transfer Degradation in Continual Learning of Vision-Language Models",
ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor

from gift import weights
from gift.methods.base import (
    Backward,
    Batches,
    LabelSpaces,
    Losses,
    Method,
    MethodSettings,
    Predictor,
    TaskContext,
    ZeroShotPredictor,
)
from gift.methods.objectives import TaskLoss
from gift.settings import Fixed
from gift.vlm import VisionLanguageModel


class WiseFtSettings(MethodSettings):
    """WiSE-FT as in the continual comparisons."""

    weight: float = Field(0.8, ge=0, le=1, description="coefficient a of the fine-tuned weights")
    partner: Literal["previous", "initial"] = Fixed(
        "previous", description="mixed with the weights before the task, or the pre-trained ones"
    )
    merge: Literal["task_end", "evaluation"] = Fixed(
        "task_end", description="the next task starts from the mixture; or it only predicts"
    )


class WiseFt(Method):
    """Fine-tuning, then a mixture with the weights before the task.

    ``a * theta + (1 - a) * partner`` by parameter.
    """

    # Deviation: WiSE-FT proper mixes with the pre-trained model, the continual comparisons with
    # the model before the task. See docs/methods/wise_ft.md.

    Settings = WiseFtSettings
    settings: WiseFtSettings
    shards = True

    def __init__(self, settings: WiseFtSettings | None = None) -> None:
        super().__init__(settings)
        self._partner: dict[str, Tensor] = {}

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._task_loss = TaskLoss(model, task)
        if self.settings.partner == "previous" or not self._partner:
            self._partner = weights.snapshot(model.trainable_parameters())

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        loss = self._task_loss(model, batch["task"])
        backward(loss)
        return {"task": loss}

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Mix the weights, unless prediction does."""
        if self.settings.merge == "task_end":
            weights.assign(model.trainable_parameters(), self._mixture(model))

    def predictor(self, model: VisionLanguageModel, learned: LabelSpaces = ()) -> Predictor:
        return ZeroShotPredictor(self.classifier(model, None))

    @property
    def plain_model(self) -> str:
        """The mixture, or what it is made of where prediction mixes."""
        if self.settings.merge == "task_end":
            return super().plain_model
        return "the fine-tuned model before mixing"

    def classifier(self, model: VisionLanguageModel, task: str | None) -> VisionLanguageModel:
        """The mixture."""
        if self.settings.merge == "task_end" or not self._partner:
            return model
        mixed = model.frozen_copy()
        weights.assign(mixed.trainable_parameters(), self._mixture(model))
        return mixed

    def state_dict(self) -> dict[str, Tensor]:
        """The partner by parameter name, where it will be needed again."""
        settings = self.settings
        passing = settings.partner == "previous" and settings.merge == "task_end"
        return {} if passing else dict(self._partner)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._partner = dict(state)

    def _mixture(self, model: VisionLanguageModel) -> dict[str, Tensor]:
        return weights.interpolate(
            model.trainable_parameters(), self._partner, self.settings.weight
        )
