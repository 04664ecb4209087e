"""Branches: modules beside parts of both towers, trained while everything else is frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from gift.vlm.model import VisionLanguageModel


class Branched(nn.Module):
    """A frozen part of a tower with a branch beside it: ``x -> part(x) + branch(x)``."""

    def __init__(self, part: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.part, self.branch = part, branch

    def forward(self, states: Tensor) -> Tensor:
        """The sum of both outputs."""
        summed: Tensor = self.part(states) + self.branch(states)
        return summed


def add_branches(
    model: VisionLanguageModel, make: Callable[[int], nn.Module], *, beside: str = "mlp"
) -> dict[str, nn.Module]:
    """Put a branch beside a part of every layer of both towers, and freeze all else.

    The towers are then computed by transformers' own code: the fast path takes plain towers only.

    Args:
        model: without added modules.
        make: makes a branch for states of this width: [.., D] to [.., D].
        beside: the part of a layer that gets it, such as ``mlp``.

    Returns:
        The branches by the name of the module that each stands beside.

    Raises:
        ValueError: the model has added modules already, or no layer has such a part.
    """
    if model.has_additions:
        raise ValueError("the model has added modules already; take them away first.")
    config = model.towers.config
    found = [name for name, _ in model.towers.named_modules() if name.endswith(f".{beside}")]
    if not found:
        raise ValueError(f"no layer of the model has a part called {beside!r}, such as 'mlp'.")
    branches = {}
    for name in found:
        tower = config.vision_config if name.startswith("vision_model.") else config.text_config
        branches[name] = make(tower.hidden_size).to(model.device)
        part = model.towers.get_submodule(name)
        model.towers.set_submodule(name, Branched(part, branches[name]))
    model.mark_added(r"\.branch\.")
    return branches


def remove_branches(model: VisionLanguageModel) -> Mapping[str, nn.Module]:
    """Take all branches away and return them; the model is what it was before they came."""
    branched = [(n, m) for n, m in model.towers.named_modules() if isinstance(m, Branched)]
    for name, module in branched:
        model.towers.set_submodule(name, module.part)
    if branched:
        model.mark_added(None)
    return {name: module.branch for name, module in branched}
