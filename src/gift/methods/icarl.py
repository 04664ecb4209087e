"""iCaRL: distillation on exemplars of the earlier tasks, chosen by herding.

Rebuffi et al., "iCaRL: Incremental Classifier and Representation Learning", CVPR 2017; for CLIP as
in the comparisons of ZSCL (Zheng et al., ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from gift import weights
from gift.data.loader import ImageTexts, Pixels
from gift.methods.base import Backward, Batches, Losses, Method, TaskContext
from gift.methods.objectives import DistillationSettings, ReferenceDistillation, TaskLoss
from gift.settings import Fixed
from gift.vlm import VisionLanguageModel, encode_all_images


class IcarlSettings(DistillationSettings):
    """iCaRL as in ZSCL's comparisons."""

    memory: int = Field(10_000, ge=1, description="exemplars of all tasks together")
    herding_images: int = Field(
        30_000, ge=1, description="training images of a task, drawn, that can become exemplars"
    )
    teacher: Literal["last", "initial"] = Fixed(
        "last", description="the model before the task, or the pre-trained one"
    )


class Icarl(Method):
    """Distilled on exemplars of earlier tasks against the current task's class prompts.

    The exemplars keep their pixels between tasks; the memory is divided equally among tasks.
    """

    # Deviation: as in the official code of ZSCL there is no nearest-mean classifier and no
    # cross-entropy on exemplars; unlike there, herding is right, the memory is never exceeded and
    # the teacher is the previous model. See docs/methods/icarl.md.

    Settings = IcarlSettings
    settings: IcarlSettings
    streams = ("exemplar",)
    sets = ("current",)

    def __init__(self, settings: IcarlSettings | None = None) -> None:
        super().__init__(settings)
        self._pixels: Pixels = np.zeros((0, 0, 0, 3), dtype=np.uint8)
        self._counts: list[int] = []
        self._initial: dict[str, Tensor] = {}

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """The teacher, unless no exemplar is there."""
        self._task_loss = TaskLoss(model, task)
        if self.settings.teacher == "initial" and not self._initial:
            self._initial = weights.snapshot(model.trainable_parameters())
        if "exemplar" not in task.sets:
            return
        teacher = model.frozen_copy()
        if self.settings.teacher == "initial":
            weights.assign(teacher.trainable_parameters(), self._initial)
        self._distillation = ReferenceDistillation(
            teacher, task.sets["exemplar"], teacher.tokenize(task.prompts), self.settings
        )

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        """The distillation from the second task on, then the task's cross-entropy."""
        logged: dict[str, Tensor] = {}
        if "exemplar" in batch:
            logged = self._distillation(model, batch["exemplar"])
            backward(logged["distillation"])
        logged["task"] = self._task_loss(model, batch["task"])
        backward(logged["task"])
        return logged

    def training_state(self) -> dict[str, Tensor]:
        """The teacher's exemplar features so far; nothing in the first task."""
        return self._distillation.training_state() if self._counts else {}

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        if state:
            self._distillation.load_training_state(state)

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Shorten every task's exemplars to the new quota, and choose this task's by herding."""
        quota = self.settings.memory // (len(self._counts) + 1)
        starts = np.cumsum([0, *self._counts])
        kept = [
            self._pixels[start : start + min(count, quota)]
            for start, count in zip(starts, self._counts, strict=False)
        ]
        current = task.sets["current"].pixels
        rng = np.random.default_rng([task.seed, *b"herding of", *task.labels.name.encode()])
        drawn = np.sort(rng.permutation(len(current))[: self.settings.herding_images]).tolist()
        chosen = herding(encode_all_images(model, current, positions=drawn), quota)
        side = model.preprocess.size
        new = np.array([current[drawn[i]] for i in chosen], np.uint8).reshape(-1, side, side, 3)
        self._pixels = np.concatenate([*kept, new])
        self._counts = [*map(len, kept), len(new)]

    def exemplars(self) -> ImageTexts | None:
        """All exemplars, one task after the other; None where there are none."""
        return ImageTexts(self._pixels) if len(self._pixels) else None

    def state_dict(self) -> dict[str, Tensor]:
        """The exemplars, their number per task and, where it teaches, the pre-trained model.

        ``pixels``: uint8 [N, S, S, 3], ``counts``: int64 [tasks], ``initial/<parameter>``.
        """
        if not self._counts:
            return {}
        return {
            "pixels": torch.from_numpy(self._pixels),
            "counts": torch.tensor(self._counts),
            **weights.with_prefix("initial", self._initial),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if not state:
            return
        self._pixels = state["pixels"].cpu().numpy()
        self._counts = state["counts"].tolist()
        self._initial = weights.without_prefix("initial", state)


@torch.no_grad()
def herding(features: Tensor, count: int) -> list[int]:
    """Images whose running mean stays near the mean of all (iCaRL, Alg. 4).

    One after the other, the image is taken that minimises
    ``|| mean - (sum of taken + image) / (number taken + 1) ||``; for unit features that is the
    largest product with ``(number taken + 1) * mean - sum of taken``. O(count * N * D).

    Args:
        features: [N, D] unit rows.
        count: how many to take; all N where it is larger.

    Returns:
        Distinct positions, the first taken first.
    """
    features = features.double()
    mean = features.mean(dim=0)
    direction = mean.clone()
    blocked = torch.zeros(len(features), dtype=features.dtype, device=features.device)
    taken: list[int] = []
    for _ in range(min(count, len(features))):
        best = int((features @ direction + blocked).argmax())
        taken.append(best)
        blocked[best] = -torch.inf
        direction += mean - features[best]
    return taken
