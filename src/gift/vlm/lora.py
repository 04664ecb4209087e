"""Low-rank adapters beside a model's matrices (LoRA, Hu et al., ICLR 2022), through peft.

While a model has adapters, they are what :meth:`VisionLanguageModel.trainable_parameters` gives;
its own weights do not move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from gift.vlm.model import VisionLanguageModel

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
    config = LoraConfig(
        r=rank, lora_alpha=1, use_rslora=scaling == "rsqrt", target_modules=list(modules)
    )
    inject_adapter_in_model(config, model.towers)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.towers.named_parameters():
            if ".lora_A." in name:
                parameter.copy_(0.01 * torch.randn(parameter.shape, generator=generator))
    model.mark_added(rf"\.lora_[{''.join(train)}]\.")


def check_modules(model: VisionLanguageModel, modules: Sequence[str]) -> None:
    """Refuse names that no matrix of the model has.

    Raises:
        ValueError: with those that there are.
    """
    found = {
        name.rpartition(".")[2]
        for name, module in model.towers.named_modules()
        if isinstance(module, nn.Linear)
    }
    if unknown := sorted(set(modules) - found):
        raise ValueError(
            f"the model has no matrix called {', '.join(unknown)}; its matrices are "
            f"{', '.join(sorted(found))}."
        )


def remove_adapters(model: VisionLanguageModel) -> None:
    """Take all adapters away; the model is what it was before they came."""
    adapters = [(n, m) for n, m in model.towers.named_modules() if isinstance(m, LoraLayer)]
    if not adapters:
        return
    for name, module in adapters:
        model.towers.set_submodule(name, module.get_base_layer())
    del model.towers.peft_config
    model.mark_added(None)
