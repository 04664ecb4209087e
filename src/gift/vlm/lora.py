"""Low-rank adapters beside a model's matrices (LoRA, Hu et al., ICLR 2022), through peft.

While a model has adapters, they are what :meth:`VisionLanguageModel.trainable_parameters` gives;
its own weights do not move.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from gift.vlm.model import VisionLanguageModel

log = logging.getLogger(__name__)

Scaling = Literal["rsqrt", "reciprocal"]
"""How the product of the factors is scaled: 1 / sqrt(rank) or 1 / rank."""


def add_adapters(
    model: VisionLanguageModel,
    *,
    rank: int,
    modules: Sequence[str],
    seed: int,
    scaling: Scaling = "rsqrt",
    train: Sequence[Literal["A", "B"]] = ("A", "B"),
) -> None:
    """Put adapters beside matrices of both towers: ``W x`` becomes ``W x + s B A x``.

    B is zero, so nothing changes until they are trained; A is drawn from N(0, 0.01**2). Adapters
    that are there are replaced.

    Args:
        model: whose embeddings stay the same.
        rank: r, columns of B, rows of A; at least 1.
        modules: what the matrices are called, such as ``fc1``, the last part of their names.
        seed: of A.
        scaling: s = 1 / sqrt(r) ("rsqrt", rank-stabilised) or 1 / r ("reciprocal").
        train: the factors that are trained; the other one is frozen.

    Raises:
        ValueError: the model has no matrix of such a name.
    """
    remove_adapters(model)
    check_modules(model, modules)
    own = _matrices(model)
    config = LoraConfig(
        r=rank,
        lora_alpha=1,
        use_rslora=scaling == "rsqrt",
        target_modules=[name for name in own if name.rpartition(".")[2] in modules],
    )
    inject_adapter_in_model(config, model.towers)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.towers.named_parameters():
            if ".lora_A." in name:
                parameter.copy_(0.01 * torch.randn(parameter.shape, generator=generator))
    model.mark_added(rf"\.lora_[{''.join(train)}]\.")


def check_modules(model: VisionLanguageModel, modules: Sequence[str]) -> None:
    """Refuse names that no matrix of the model has, and say which matrices get no adapters.

    Raises:
        ValueError: with those that there are.
    """
    own = _matrices(model)
    found = {name.rpartition(".")[2] for name in own}
    if unknown := sorted(set(modules) - found):
        raise ValueError(
            f"the model has no matrix called {', '.join(unknown)}; its matrices are "
            f"{', '.join(sorted(found))}."
        )
    if without := [name for name in _uncalled(model) if name.rpartition(".")[2] in modules]:
        log.warning(
            "No adapters for %s: its layer uses the matrix without calling it, so they would get "
            "no gradient. It stays as it is.",
            ", ".join(without),
        )


def _matrices(model: VisionLanguageModel) -> list[str]:
    """The matrices that adapters beside them act on, by their names in the towers."""
    uncalled = set(_uncalled(model))
    return [
        name
        for name, module in model.towers.named_modules()
        if isinstance(module, nn.Linear) and name not in uncalled
    ]


def _uncalled(model: VisionLanguageModel) -> list[str]:
    """Matrices whose numbers are read and which are never called: those of a pooling head."""
    return [
        f"{name}.{part}"
        for name, module in model.towers.named_modules()
        if isinstance(module, nn.MultiheadAttention)
        for part, inner in module.named_children()
        if isinstance(inner, nn.Linear)
    ]


@torch.no_grad()
def fold_adapters(model: VisionLanguageModel) -> None:
    """Add all adapters to their matrices and take them away: embeddings stay, to rounding."""
    for module in model.towers.modules():
        if isinstance(module, LoraLayer):
            module.merge()
    remove_adapters(model)


def remove_adapters(model: VisionLanguageModel) -> None:
    """Take all adapters away; the model is what it was before they came."""
    adapters = [(n, m) for n, m in model.towers.named_modules() if isinstance(m, LoraLayer)]
    if not adapters:
        return
    for name, module in adapters:
        model.towers.set_submodule(name, module.get_base_layer())
    del model.towers.peft_config
    model.mark_added(None)
