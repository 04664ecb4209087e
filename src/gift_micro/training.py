"""A small training loop for the micro benchmark's models, exact after a resume."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from gift.files import replacing_file
from gift.progress import report


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a model is trained.

    Attributes:
        steps: optimiser steps.
        batch: samples per step.
        learning_rate: peak of AdamW's rate; linear warm-up, then a half cosine down to zero.
        warmup: steps of the warm-up.
        weight_decay: for matrices and kernels; vectors (biases, norms) are never decayed.
        betas: AdamW's two averages.
        clip_norm: largest norm of the gradient of all parameters together.
        average: decay per step of the weight average that training ends with; 0 keeps the last
            weights.
        checkpoint_every: steps between checkpoints.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 200
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    average: float = 0.0
    checkpoint_every: int = 500

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def training_device() -> torch.device:
    """A GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run torch's CPU kernels on ``count`` threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
    model: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    schedule: Schedule,
    *,
    seed: int,
    checkpoint: Path,
    stage: str,
) -> None:
    """Train in place, resuming from ``checkpoint`` where it exists.

    The randomness of a step depends on the seed and the step's number alone, so an interrupted and
    resumed training ends with the very weights of an uninterrupted one.

    Args:
        model: its trainable parameters are trained, on the device where they are; afterwards they
            hold the result.
        loss: the scalar loss of one fresh batch, sampled with the given generator.
        schedule: length, rate and the rest.
        seed: of the whole training.
        checkpoint: a safetensors file to write now and then; the last one is of the last step.
        stage: the name that is reported.
    """
    parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=schedule.learning_rate,
        betas=schedule.betas,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    averages = [p.detach().clone() for p in parameters]
    start = _load(checkpoint, model, optimizer, averages) if checkpoint.exists() else 0
    model.train()
    for step in range(start, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        optimizer.zero_grad()
        loss(torch.Generator().manual_seed(seed * 1_000_003 + step)).backward()
        nn.utils.clip_grad_norm_(parameters, schedule.clip_norm)
        optimizer.step()
        with torch.no_grad():
            # A young average forgets faster, so that it does not carry the random start along.
            decay = min(schedule.average, (1 + step) / (10 + step))
            torch._foreach_lerp_(averages, parameters, 1 - decay)
        done = step + 1
        if done % schedule.checkpoint_every == 0 or done == schedule.steps:
            _save(checkpoint, model, optimizer, averages, done)
        if done % max(1, schedule.steps // 20) == 0:
            report(stage, done, schedule.steps)
    with torch.no_grad():
        for parameter, average in zip(parameters, averages, strict=True):
            parameter.copy_(average)
    model.eval()


def _save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    averages: list[Tensor],
    step: int,
) -> None:
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average/{i}": value for i, value in enumerate(averages)}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{i}/{name}": value for name, value in state.items()}
    copies = {n: value.detach().cpu().contiguous().clone() for n, value in tensors.items()}
    with replacing_file(path) as file:
        file.write(save(copies, metadata={"step": json.dumps(step)}))


def _load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, averages: list[Tensor]
) -> int:
    weights: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    with safe_open(path, framework="pt") as file:
        step = int(json.loads(file.metadata()["step"]))
        for key in file.keys():  # noqa: SIM118 (not a dictionary)
            kind, name = key.split("/", 1)
            if kind == "model":
                weights[name] = file.get_tensor(key)
            elif kind == "average":
                averages[int(name)].copy_(file.get_tensor(key))
            else:
                index, field = name.split("/")
                state.setdefault(int(index), {})[field] = file.get_tensor(key)
    model.load_state_dict(weights)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return step
