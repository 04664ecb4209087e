"""ConDU on low-rank adapters: the factors of every task are tuned from one start and merged.

"Enhanced Continual Learning of Vision-Language Models with Model Fusion" (ConDU).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gift import weights
from gift.methods.base import Backward, Batches, LabelSpaces, Losses, Method, Predictor, TaskContext
from gift.methods.merged_models import MergedModels, MergedModelSettings, difference
from gift.methods.objectives import TaskLoss
from gift.settings import Fixed
from gift.vlm import (
    VisionLanguageModel,
    add_adapters,
    check_modules,
    fold_adapters,
    remove_adapters,
)


class ConduLoraSettings(MergedModelSettings):
    """ConDU with low-rank adapters (LoRA)."""

    rank: int = Fixed(64, ge=1, description="of the adapters")
    modules: tuple[str, ...] = Fixed(
        ("fc1", "fc2"), min_length=1, description="matrices that get adapters, by their names"
    )


class ConduLora(Method):
    """As ``condu``, but a task tunes adapters beside the matrices of the two towers.

    The factors A and B are merged as tensors of their own.
    """

    # Deviation: all tasks start from the same factors, with B = 0, so the pre-trained model is
    # exactly itself. See docs/methods/condu_lora.md, "Deviations".

    Settings = ConduLoraSettings
    settings: ConduLoraSettings
    sets = ("current",)
    one_per_task = True

    def __init__(self, settings: ConduLoraSettings | None = None) -> None:
        super().__init__(settings)
        self.merged = MergedModels(self.settings)
        self._initial: dict[str, Tensor] = {}

    def check(self, model: VisionLanguageModel) -> None:
        """Refuse matrices that the model does not have."""
        check_modules(model, self.settings.modules)

    def begin_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        self._adapt(model, task.seed)
        self._initial = weights.snapshot(model.trainable_parameters())
        self._task_loss = TaskLoss(model, task)

    def step(self, model: VisionLanguageModel, batch: Batches, backward: Backward) -> Losses:
        loss = self._task_loss(model, batch["task"])
        backward(loss)
        return {"task": loss}

    def end_task(self, model: VisionLanguageModel, task: TaskContext) -> None:
        """Merge the task's adapters, and take them away."""
        tuned = weights.snapshot(model.trainable_parameters())
        remove_adapters(model)
        self.merged.add(task, model, difference(tuned, self._initial))

    def predictor(self, model: VisionLanguageModel, learned: LabelSpaces = ()) -> Predictor:
        if model.has_additions:  # of an interrupted training
            model = model.frozen_copy()
            remove_adapters(model)
        host = model.frozen_copy()
        if self._initial:
            self._adapt(host)
        return self.merged.predictor(model, host.requires_grad_(False).eval())

    def classifier(self, model: VisionLanguageModel, task: str | None) -> VisionLanguageModel:
        """The model with the task's rebuilt adapters added to its matrices."""
        host = model.frozen_copy()
        remove_adapters(host)  # of an interrupted training
        if self._initial:
            self._adapt(host)
            self.merged.rebuild(task, host)
            fold_adapters(host)
        return host.requires_grad_(False).eval()

    def extra_parameters(self) -> int:
        """The merged vector, its scales, the factors at the start and the prototypes."""
        start = (tensor for name, tensor in self._initial.items() if ".lora_A." in name)
        return self.merged.extra_parameters() + sum(tensor.numel() for tensor in start)

    def state_dict(self) -> dict[str, Tensor]:
        """See :meth:`MergedModels.state_dict`; and ``initial/<name>``, the factors A at the start.

        All tasks share them; the factors B are zero there.
        """
        state = self.merged.state_dict()
        start = {name: tensor for name, tensor in self._initial.items() if ".lora_A." in name}
        return state | weights.with_prefix("initial", start) if state else {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.merged.load_state_dict(state)
        self._initial = weights.without_prefix("initial", state)

    def _adapt(self, model: VisionLanguageModel, seed: int = 0) -> None:
        """Give a model the adapters that all tasks start from; the first task draws them."""
        settings = self.settings
        add_adapters(model, rank=settings.rank, modules=settings.modules, seed=seed)
        own = model.trainable_parameters()
        weights.assign({name: own[name] for name in self._initial}, self._initial)
