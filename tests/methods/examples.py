"""Small methods of every kind that the contract must carry, as a third party would write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gift import weights
from gift.data.labels import LabelSpace
from gift.data.loader import Batch
from gift.methods.base import (
    Backward,
    Method,
    MethodSettings,
    TaskContext,
    ZeroShotPredictor,
)
from gift.methods.objectives import TaskLoss
from gift.methods.selectors import PrototypeSelector, class_prototypes
from gift.vlm import (
    VisionLanguageModel,
    add_adapters,
    add_branches,
    encode_all_images,
    remove_adapters,
    remove_branches,
)


class ClassMeans(Method):
    """Closed form and per-class state: scores gain from the similarity to a class's mean image."""

    sets = ("current",)

    def __init__(self, settings: MethodSettings | None = None) -> None:
        super().__init__(settings)
        self._means: dict[str, Tensor] = {}

    def steps(self, iterations: int) -> int:
        return 0

    @torch.no_grad()
    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        features = encode_all_images(model, task.sets["current"].pixels)
        for name, prompt in zip(task.labels.classnames, task.labels.prompts, strict=True):
            own = [i for i, text in enumerate(task.sets["current"].texts) if text == prompt]
            self._means[name] = F.normalize(features[own].mean(dim=0), dim=-1)

    def predictor(self, model, learned: Sequence[LabelSpace] = ()):
        return _WithMeans(model, self._means, {n for space in learned for n in space.classnames})

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._means)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._means = dict(state)


class _WithMeans(ZeroShotPredictor):
    def __init__(self, model, means, learned) -> None:
        super().__init__(model)
        self._means = {name: mean for name, mean in means.items() if name in learned}

    def scores(self, pixels, candidates, task=None):
        scores = super().scores(pixels, candidates, task)
        features = self.features(pixels)
        for column, name in enumerate(n for space in candidates for n in space.classnames):
            if name in self._means:
                scores[:, column] += 10 * features @ self._means[name]
        return scores


class _Bottleneck(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, 2, bias=False), nn.Linear(2, width, bias=False)
        generator = torch.Generator().manual_seed(width)
        nn.init.normal_(self.down.weight, std=0.1, generator=generator)
        nn.init.zeros_(self.up.weight)

    def forward(self, states: Tensor) -> Tensor:
        return self.up(self.down(states).relu())


class Branches(Method):
    """Modules in both towers, everything else frozen; a selector guesses the task of an image."""

    sets = ("current",)

    def __init__(self, settings: MethodSettings | None = None) -> None:
        super().__init__(settings)
        self._branches: dict[str, dict[str, Tensor]] = {}
        self._selector = PrototypeSelector()

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        remove_branches(model)  # of an interrupted training
        self._prototypes = class_prototypes(model, task)
        add_branches(model, _Bottleneck)
        self._task_loss = TaskLoss(model, task)

    def step(self, model, batch: Mapping[str, Batch], backward: Backward) -> dict[str, Tensor]:
        loss = self._task_loss(model, batch["task"])
        backward(loss)
        return {"task": loss}

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._branches[task.labels.name] = weights.snapshot(model.trainable_parameters())
        remove_branches(model)
        self._selector.prototypes[task.labels.name] = self._prototypes

    def predictor(self, model, learned: Sequence[LabelSpace] = ()):
        plain = model.frozen_copy()
        remove_branches(plain)
        return _Routed(plain, self._branches, self._selector)

    def state_dict(self) -> dict[str, Tensor]:
        state = self._selector.state_dict()
        for task, branches in self._branches.items():
            state |= weights.with_prefix(f"branches/{task}", branches)
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._selector.load_state_dict(state)
        self._branches = {
            task: weights.without_prefix(f"branches/{task}", state) for task in self._selector.tasks
        }


class _Routed:
    """Every image through the branches of its task, given or guessed; of no task, through none."""

    def __init__(self, plain, branches, selector) -> None:
        self._plain, self._selector = plain, selector
        self._models = {}
        for task, own in branches.items():
            model = plain.frozen_copy()
            add_branches(model, _Bottleneck)
            weights.assign(model.trainable_parameters(), own)
            self._models[task] = model.requires_grad_(False).eval()

    @torch.no_grad()
    def scores(self, pixels, candidates, task=None):
        if task in self._models:
            return ZeroShotPredictor(self._models[task]).scores(pixels, candidates)
        if task is not None or not self._models:
            return ZeroShotPredictor(self._plain).scores(pixels, candidates)
        guessed = self._selector.scores(self._plain.encode_images(pixels)).argmax(dim=1)
        rows = [
            self.scores(image[None], candidates, self._selector.tasks[int(number)])
            for image, number in zip(pixels, guessed, strict=True)
        ]
        return torch.cat(rows)

    def features(self, pixels, task=None):
        return ZeroShotPredictor(self._models.get(task, self._plain)).features(pixels)


class ProjectedSettings(MethodSettings):
    """Two parameter groups and a projection."""

    text_factor: float = Field(0.1, ge=0, description="peak rate of the text tower, relative")


class Projected(Method):
    """An optimiser with groups, a constant schedule, and a projection around its step.

    The gradient of each matrix loses its component along the matrix itself.
    """

    Settings = ProjectedSettings
    settings: ProjectedSettings

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._task_loss = TaskLoss(model, task)

    def optimizer(self, model, *, learning_rate: float, weight_decay: float):
        towers = {"text": [], "vision": []}
        for name, parameter in model.trainable_parameters().items():
            towers["text" if name.startswith("text") else "vision"].append(parameter)
        text = {"params": towers["text"], "lr": self.settings.text_factor * learning_rate}
        return torch.optim.SGD([{"params": towers["vision"]}, text], lr=learning_rate, momentum=0.9)

    def learning_rate(self, step: int, *, peak: float, warmup: int, iterations: int) -> float:
        return peak

    def step(self, model, batch: Mapping[str, Batch], backward: Backward) -> dict[str, Tensor]:
        loss = self._task_loss(model, batch["task"])
        backward(loss)
        return {"task": loss}

    @torch.no_grad()
    def update(self, model: VisionLanguageModel, optimizer: torch.optim.Optimizer) -> None:
        for parameter in model.trainable_parameters().values():
            if parameter.ndim == 2 and parameter.grad is not None:
                along = (parameter.grad * parameter).sum() / parameter.square().sum()
                parameter.grad.sub_(along * parameter)
        optimizer.step()


class HalfLora(Method):
    """LoRA with a scale of 1/r whose factors A are frozen; merged into nothing, kept per task."""

    def __init__(self, settings: MethodSettings | None = None) -> None:
        super().__init__(settings)
        self._factors: dict[str, dict[str, Tensor]] = {}

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        _half(model)
        self._task_loss = TaskLoss(model, task)

    def step(self, model, batch: Mapping[str, Batch], backward: Backward) -> dict[str, Tensor]:
        loss = self._task_loss(model, batch["task"])
        backward(loss)
        return {"task": loss}

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._factors[task.labels.name] = weights.snapshot(model.trainable_parameters())
        remove_adapters(model)

    def predictor(self, model, learned: Sequence[LabelSpace] = ()):
        model = model.frozen_copy()
        remove_adapters(model)
        if self._factors:
            _half(model)
            weights.assign(model.trainable_parameters(), next(reversed(self._factors.values())))
        return ZeroShotPredictor(model.requires_grad_(False).eval())

    def state_dict(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for number, (task, factors) in enumerate(self._factors.items()):
            found |= weights.with_prefix(f"{number}/{task}", factors)
        return found

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._factors = {}
        for key, tensor in state.items():
            _, task, name = key.split("/", 2)
            self._factors.setdefault(task, {})[name] = tensor


def _half(model: VisionLanguageModel) -> None:
    add_adapters(
        model, rank=3, modules=["fc1", "q_proj"], seed=1, scaling="reciprocal", train=["B"]
    )


EXAMPLES = tuple(
    f"methods.examples:{cls.__name__}" for cls in (ClassMeans, Branches, Projected, HalfLora)
)
