"""What the two forms of ConDU share: a model per task, kept merged, and their vote on an image."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from gift.data.labels import LabelSpace
from gift.losses import similarity
from gift.methods.base import MethodSettings, TaskContext, ZeroShotPredictor
from gift.vlm import VisionLanguageModel, encode_all_images, mean_class_embeddings
from gift.weights import Rescaler, UnifiedVectors


class TaskModelSettings(MethodSettings):
    """How task models are merged, and how they vote."""

    rescaler: Rescaler = Field(
        "tensor_mean",
        description="what a rebuilt task vector has of its own: tensor_mean, the mean absolute "
        "value of each tensor, added up (official code); global_sum, the sum of absolute values",
    )
    voters: int = Field(
        4, ge=1, description="K: models of the nearest tasks that vote where no task is given"
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


class TaskModels:
    """The merged models of the tasks learned so far.

    All start from one set of weights, which does not change. A task adds the vector from there to
    its own weights, and a prototype per class from what the pre-trained model makes of its images
    and its prompts.

    Args:
        settings: how they are merged, and how they vote.
    """

    def __init__(self, settings: TaskModelSettings) -> None:
        self._settings = settings
        self.vectors = UnifiedVectors(settings.rescaler)
        self.prototypes: dict[str, Tensor] = {}

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
        self.prototypes[task.labels.name] = prototypes

    def predictor(
        self, pretrained: VisionLanguageModel, host: VisionLanguageModel
    ) -> TaskModelPredictor:
        """Predicts with the task models.

        Args:
            pretrained: the model that all tasks start from.
            host: a frozen copy of it, whose trainable parameters become those of task after task.
        """
        return TaskModelPredictor(
            pretrained, RebuiltModels(host, self.vectors, self._settings.cache_mb * 2**20), self
        )

    @property
    def settings(self) -> TaskModelSettings:
        return self._settings

    def extra_parameters(self) -> int:
        """The merged vector, its scales and the prototypes; the masks are bits."""
        tensors = (*self.vectors.unified.values(), *self.prototypes.values())
        return sum(tensor.numel() for tensor in tensors) + len(self.prototypes)

    def state_dict(self) -> dict[str, Tensor]:
        """The merged vectors, and ``prototypes/<number>/<task>`` [C, D]."""
        if not self.prototypes:
            return {}
        return {
            **self.vectors.state_dict(),
            **{
                f"prototypes/{number:04}/{name}": tensor
                for number, (name, tensor) in enumerate(self.prototypes.items())
            },
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self.vectors, self.prototypes = UnifiedVectors(self._settings.rescaler), {}
        if not state:
            return
        self.vectors.load_state_dict(state)
        numbered = sorted(key for key in state if key.startswith("prototypes/"))
        self.prototypes = {key.split("/", 2)[2]: state[key] for key in numbered}


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


class RebuiltModels:
    """The models of single tasks, rebuilt when they are needed; the latest ones are kept.

    Args:
        host: its trainable parameters become those of the task in use.
        vectors: of all tasks, from the host's weights as they are now.
        budget: bytes that the weights of rebuilt models may take; one is kept at least.
    """

    def __init__(self, host: VisionLanguageModel, vectors: UnifiedVectors, budget: int) -> None:
        self._host = host
        self._vectors = vectors
        self._start = {name: p.data for name, p in host.trainable_parameters().items()}
        size = sum(tensor.nbytes for tensor in self._start.values())
        self._most = max(1, budget // size)
        self._kept: OrderedDict[int, dict[str, Tensor]] = OrderedDict()
        self._predictors: dict[int, ZeroShotPredictor] = {}

    def at_hand_first(self, tasks: Iterable[int]) -> list[int]:
        """The tasks in an order that rebuilds few of their models."""
        return sorted(tasks, key=lambda task: (task not in self._kept, task))

    def use(self, task: int) -> ZeroShotPredictor:
        """The zero-shot rule of a task's model; it holds until another task's is used."""
        if task not in self._kept:
            while len(self._kept) >= self._most:
                self._kept.popitem(last=False)
            rebuilt = self._vectors.rebuilt(task)
            self._kept[task] = {n: start + rebuilt[n] for n, start in self._start.items()}
        self._kept.move_to_end(task)
        for name, parameter in self._host.trainable_parameters().items():
            parameter.data = self._kept[task][name]
        return self._predictors.setdefault(task, ZeroShotPredictor(self._host))


class TaskModelPredictor:
    """Predicts with the model of the image's task, or with those of the nearest tasks.

    Args:
        pretrained: the model that all tasks start from.
        rebuilt: the models of the tasks.
        tasks: how near they are, and how they vote.
    """

    def __init__(
        self, pretrained: VisionLanguageModel, rebuilt: RebuiltModels, tasks: TaskModels
    ) -> None:
        self._model = pretrained
        self._pretrained = ZeroShotPredictor(pretrained)
        self._rebuilt = rebuilt
        self._prototypes = tasks.prototypes
        self._settings = tasks.settings

    @torch.no_grad()
    def scores(
        self, pixels: Tensor, candidates: Sequence[LabelSpace], task: str | None = None
    ) -> Tensor:
        """Scaled cosine similarities [B, C]; means of them where the task is hidden or new."""
        if task in self._prototypes:
            number = list(self._prototypes).index(task)
            return self._rebuilt.use(number).scores(pixels, candidates)
        features = self._model.encode_images(pixels)
        nearest, shares, rest = self._votes(features)
        classes = self._pretrained.classes(candidates)
        fused = rest * similarity(features, classes, self._model.logit_scale)
        for number in self._rebuilt.at_hand_first(nearest.unique().tolist()):
            rows, place = (nearest == number).nonzero(as_tuple=True)
            voted = self._rebuilt.use(number).scores(pixels[rows], candidates)
            fused[rows] += shares[rows, place, None] * voted
        return fused

    @torch.no_grad()
    def features(self, pixels: Tensor, task: str | None = None) -> Tensor:
        """Embeddings of the task's model, unit rows [B, D].

        Where the task is hidden or new: the mean of the voters' by their shares, of length 1.
        """
        if task in self._prototypes:
            number = list(self._prototypes).index(task)
            return self._rebuilt.use(number).features(pixels)
        features = self._model.encode_images(pixels)
        nearest, shares, rest = self._votes(features)
        mean = rest * features
        for number in self._rebuilt.at_hand_first(nearest.unique().tolist()):
            rows, place = (nearest == number).nonzero(as_tuple=True)
            voted = self._rebuilt.use(number).features(pixels[rows])
            mean[rows] += shares[rows, place, None] * voted
        return F.normalize(mean, dim=-1)

    def _votes(self, features: Tensor) -> tuple[Tensor, Tensor, float]:
        """Who votes on images with these features [B, D] of the pre-trained model.

        Returns:
            The nearest tasks [B, K] and their shares of the vote [B, K], and the pre-trained
            model's share.
        """
        settings = self._settings
        if not self._prototypes:
            none = features.new_zeros(len(features), 0)
            return none.long(), none, 1.0
        nearness = torch.stack(
            [(features @ rows.T).amax(dim=1) for rows in self._prototypes.values()], dim=1
        )
        found, nearest = nearness.topk(min(settings.voters, nearness.shape[1]), dim=1)
        rest = 1 / (found.shape[1] + 1) if settings.include_pretrained else 0.0
        if settings.fusion == "mean":
            weights = torch.ones_like(found)
        elif settings.fusion_temperature is None:
            weights = found.clamp(min=1e-6)  # a task may be nearest and still look away
        else:
            weights = (found / settings.fusion_temperature).softmax(dim=1)
        return nearest, (1 - rest) * weights / weights.sum(dim=1, keepdim=True), rest


def difference(
    after: Mapping[str, Tensor], before: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """A task vector, one parameter at a time."""
    for name, tensor in after.items():
        yield name, tensor.detach() - before[name]
