"""Merged task models, shared by the two forms of ConDU: storage, rebuilding and voting."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from gift.losses import similarity
from gift.methods.base import LabelSpaces, MethodSettings, TaskContext, ZeroShotPredictor
from gift.methods.selectors import PrototypeSelector, class_prototypes
from gift.settings import Fixed
from gift.vlm import VisionLanguageModel
from gift.weights import Rescaler, UnifiedVectors


class MergedModelSettings(MethodSettings):
    """How task models are merged, and how they vote on an image of an unknown task.

    The defaults are the official code's.
    """

    rescaler: Rescaler = Fixed(
        "tensor_mean",
        description="what a rebuilt task vector has of its own: tensor_mean, the mean absolute "
        "value of each tensor (query, key and value are one), added up (official code); "
        "global_sum, the sum of absolute values",
    )
    voters: int = Field(
        4, ge=1, description="K: models of the nearest tasks that vote where the task is unknown"
    )
    include_pretrained: bool = Field(
        True, description="the pre-trained model votes, too (official code)"
    )
    fusion: Literal["mean", "weighted"] = Field(
        "mean",
        description="logits of the K task models: their mean (official code), or weighted by how "
        "near the tasks are",
    )
    fusion_temperature: float | None = Field(
        1.0,
        gt=0,
        description="of weighted fusion: weights are softmax(similarity / temperature), or the "
        "similarities themselves where it is null",
    )
    cache_mb: int = Field(
        4096, ge=0, description="MiB for rebuilt models between two uses; one is always kept"
    )


class MergedModels:
    """The merged models of the tasks learned so far.

    All start from one set of weights, which does not change. A task adds the vector from there to
    its own weights, and its class prototypes to the selector.

    Args:
        settings: how they are merged, and how they vote.
    """

    def __init__(self, settings: MergedModelSettings) -> None:
        self.settings = settings
        self.vectors = UnifiedVectors(settings.rescaler)
        self.selector = PrototypeSelector()

    def add(
        self,
        task: TaskContext,
        pretrained: VisionLanguageModel,
        vector: Iterable[tuple[str, Tensor]],
    ) -> None:
        """Merge one more task.

        Args:
            task: with its ``current`` images.
            pretrained: the model that all tasks start from.
            vector: the task's weights minus those, by name, see :meth:`UnifiedVectors.add`.
        """
        prototypes = class_prototypes(pretrained, task)  # first, as it may fail
        self.vectors.add(vector)
        self.selector.prototypes[task.labels.name] = prototypes

    def predictor(
        self, pretrained: VisionLanguageModel, host: VisionLanguageModel
    ) -> MergedPredictor:
        """Predicts with the task models, rebuilt in ``host``, a frozen copy of the pre-trained."""
        return MergedPredictor(self, pretrained, host)

    def rebuild(self, task: str | None, host: VisionLanguageModel) -> None:
        """Give a copy of the pre-trained model the trainable parameters of a learned task."""
        if task in self.selector.tasks:
            rebuilt = self.vectors.rebuilt(self.selector.tasks.index(task))
            for name, parameter in host.trainable_parameters().items():
                parameter.data = parameter.data + rebuilt[name]

    def extra_parameters(self) -> int:
        """The merged vector, its scales and the prototypes; the masks are bits."""
        merged = sum(tensor.numel() for tensor in self.vectors.unified.values())
        return merged + self.selector.numel() + len(self.vectors)

    def state_dict(self) -> dict[str, Tensor]:
        """The merged vectors and the class prototypes; nothing before the first task."""
        if not self.selector.tasks:
            return {}
        return self.vectors.state_dict() | self.selector.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self.vectors = UnifiedVectors(self.settings.rescaler)
        if state:
            self.vectors.load_state_dict(state)
        self.selector.load_state_dict(state)


class MergedPredictor:
    """Predicts with the model of the image's task, or fuses those of the nearest tasks.

    The tasks' models are rebuilt on demand; the latest ones are cached.

    Args:
        merged: the tasks' vectors, from the weights as they are now, and how the models vote.
        pretrained: the model that all tasks start from.
        host: a copy of it, whose trainable parameters become those of the task in use.
    """

    def __init__(
        self, merged: MergedModels, pretrained: VisionLanguageModel, host: VisionLanguageModel
    ) -> None:
        self._settings, self._vectors = merged.settings, merged.vectors
        self._selector = merged.selector
        self._model, self._host = pretrained, host
        self._pretrained = ZeroShotPredictor(pretrained)
        self._start = {name: p.data for name, p in host.trainable_parameters().items()}
        size = sum(tensor.nbytes for tensor in self._start.values())
        self._most = max(1, self._settings.cache_mb * 2**20 // size)
        self._cached: OrderedDict[int, dict[str, Tensor]] = OrderedDict()
        self._predictors: dict[int, ZeroShotPredictor] = {}

    def scores(self, pixels: Tensor, candidates: LabelSpaces, task: str | None = None) -> Tensor:
        """Scaled cosine similarities [B, C]; their weighted mean where the task is unknown."""

        def own(features: Tensor) -> Tensor:
            classes = self._pretrained.classes(candidates)
            return similarity(features, classes, self._model.logit_scale)

        return self._fused(pixels, task, own, lambda rule, p: rule.scores(p, candidates))

    def features(self, pixels: Tensor, task: str | None = None) -> Tensor:
        """Embeddings of the task's model, unit rows [B, D].

        Where the task is unknown: the weighted mean of the voters', of length 1.
        """
        mean = self._fused(pixels, task, lambda own: own, lambda rule, p: rule.features(p))
        return mean if task in self._selector.tasks else F.normalize(mean, dim=-1)

    @torch.no_grad()
    def _fused(
        self,
        pixels: Tensor,
        task: str | None,
        pretrained: Callable[[Tensor], Tensor],
        of_task: Callable[[ZeroShotPredictor, Tensor], Tensor],
    ) -> Tensor:
        """What the models give for images, fused by their weights in the vote.

        Of a learned task its model alone counts. ``pretrained`` says what the pre-trained model
        gives for its features [B, D], ``of_task`` what a task's model gives for images.
        """
        if task in self._selector.tasks:
            return of_task(self._rule_of(self._selector.tasks.index(task)), pixels)
        features = self._model.encode_images(pixels)
        nearest, weights, rest = self._votes(features)
        fused = rest * pretrained(features)
        voters = nearest.unique().tolist()
        # Cached ones first: so few of the models are rebuilt.
        for number in sorted(voters, key=lambda task: (task not in self._cached, task)):
            rows, place = (nearest == number).nonzero(as_tuple=True)
            voted = of_task(self._rule_of(number), pixels[rows])
            fused[rows] += weights[rows, place, None] * voted
        return fused

    def _rule_of(self, task: int) -> ZeroShotPredictor:
        """The zero-shot rule of a task's model; valid until another task's is asked for."""
        if task not in self._cached:
            while len(self._cached) >= self._most:
                self._cached.popitem(last=False)
            rebuilt = self._vectors.rebuilt(task)
            self._cached[task] = {n: start + rebuilt[n] for n, start in self._start.items()}
        self._cached.move_to_end(task)
        for name, parameter in self._host.trainable_parameters().items():
            parameter.data = self._cached[task][name]
        return self._predictors.setdefault(task, ZeroShotPredictor(self._host))

    def _votes(self, features: Tensor) -> tuple[Tensor, Tensor, float]:
        """Which models vote on images with these features [B, D] of the pre-trained model.

        Returns:
            The nearest tasks [B, K], their weights in the vote [B, K], and the pre-trained model's
            weight.
        """
        settings = self._settings
        if not self._selector.tasks:
            none = features.new_zeros(len(features), 0)
            return none.long(), none, 1.0
        nearness = self._selector.scores(features)
        found, nearest = nearness.topk(min(settings.voters, nearness.shape[1]), dim=1)
        rest = 1 / (found.shape[1] + 1) if settings.include_pretrained else 0.0
        if settings.fusion == "mean":
            weights = torch.ones_like(found)
        elif settings.fusion_temperature is None:
            weights = found.clamp(min=1e-6)  # the nearest task may still be dissimilar
        else:
            weights = (found / settings.fusion_temperature).softmax(dim=1)
        return nearest, (1 - rest) * weights / weights.sum(dim=1, keepdim=True), rest


def difference(
    after: Mapping[str, Tensor], before: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """A task vector, one parameter at a time."""
    for name, tensor in after.items():
        yield name, tensor.detach() - before[name]
