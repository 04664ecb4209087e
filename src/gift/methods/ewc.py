"""EWC: weights that mattered for earlier tasks are held near their values.

Kirkpatrick et al., "Overcoming Catastrophic Forgetting in Neural Networks", PNAS 2017.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from gift import distributed, weights
from gift.data.loader import ImageTexts
from gift.losses import classification, similarity
from gift.methods.base import Backward, Batches, Losses, Method, MethodSettings, TaskContext
from gift.methods.objectives import TaskLoss
from gift.settings import Fixed
from gift.vlm import VisionLanguageModel, pixel_batch
from gift.weights import Normalization


class EwcSettings(MethodSettings):
    """EWC with the Fisher information of all earlier tasks in one sum."""

    penalty_weight: float = Field(1.0, ge=0, description="lambda of the consolidation")
    fisher_images: int = Field(256, ge=1, description="training images per task that give F")
    fisher_normalization: Normalization = Fixed(
        "fused", description="F divided by its mean per tensor of the fused layout, tensor, none"
    )
    decay: float = Field(
        1.0, ge=0, le=1, description="F <- decay * F + F of the task; below 1 is online EWC"
    )


class Ewc(Method):
    """Cross-entropy with a penalty weighted by the Fisher information of all earlier tasks.

    The penalty is ``lambda * sum(F * (theta - theta_before)**2)``. F is the diagonal empirical
    Fisher information on training images of the earlier tasks, measured at the end of each; the
    first task is learned without a penalty.
    """

    # Deviation: the paper keeps one penalty per earlier task, each around that task's weights, and
    # does not normalise F. See docs/methods/ewc.md.

    Settings = EwcSettings
    settings: EwcSettings
    sets = ("current",)

    def __init__(self, settings: EwcSettings | None = None) -> None:
        super().__init__(settings)
        self._fisher: dict[str, Tensor] = {}

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._task_loss = TaskLoss(model, task)
        self._anchor = weights.snapshot(model.trainable_parameters())

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        """The task's cross-entropy; from the second task on, the penalty's gradient in place."""
        logged = {"task": self._task_loss(model, batch["task"])}
        backward(logged["task"])
        if self._fisher:
            logged["consolidation"] = weights.add_weighted_gradient(
                model.trainable_parameters(),
                self._anchor,
                self._fisher,
                weight=self.settings.penalty_weight,
            )
        return logged

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Add the task's Fisher information to the sum."""
        images = task.sets["current"]
        rng = np.random.default_rng([task.seed, *b"fisher of", *task.labels.name.encode()])
        drawn = rng.permutation(len(images))[: self.settings.fisher_images].tolist()
        kind, parameters = self.settings.fisher_normalization, model.trainable_parameters()
        gradients = image_gradients(model, images, drawn, task.prompts)
        fisher = weights.empirical_fisher(gradients, weights.normalization_groups(parameters, kind))
        for name, earlier in self._fisher.items():
            fisher[name].add_(earlier, alpha=self.settings.decay)
        self._fisher = fisher

    def state_dict(self) -> dict[str, Tensor]:
        """The sum of Fisher weights by parameter name."""
        return dict(self._fisher)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._fisher = dict(state)


def image_gradients(
    model: VisionLanguageModel, images: ImageTexts, positions: Sequence[int], prompts: Sequence[str]
) -> Iterator[dict[str, Tensor]]:
    """Each image's gradient of the cross-entropy of its class among the task's classes.

    Args:
        model: where the gradients are taken.
        images: a task's training images, each with its class prompt.
        positions: of the images in that set.
        prompts: of the classes that compete, the task's among them.

    Yields:
        Gradients by parameter name.
    """
    parameters = model.trainable_parameters()
    texts = model.encode_texts(model.tokenize(prompts))
    for position in positions:
        image = model.encode_images(pixel_batch(model, images.pixels, [position]))
        label = torch.tensor([prompts.index(images.texts[position])], device=model.device)
        loss = classification(similarity(image, texts, model.logit_scale), label, smoothing=0.0)
        # The graph below the texts serves every image.
        gradients = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
        distributed.all_reduce(gradients)
        yield dict(zip(parameters, gradients, strict=True))
