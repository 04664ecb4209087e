"""Run as one of several processes: learn with every method and store what came out.

python two_processes.py FOLDER MODEL [shard]
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from methods.learning import SETTINGS, TASKS, learn, scores, weights
from methods.test_contract import TRAINED, Killed
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor
from vlm.families import save_siglip2

from gift import distributed
from gift.methods import create_method
from gift.progress import Progress, listening
from gift.runs.checkpoint import Checkpoints
from gift.train import training_device
from gift.vlm import VisionLanguageModel

SHARDED = {
    "finetune": {},
    "finetune_individual": {},
    "l2": {},
    "wise_ft": {},
    "wise_ft at evaluation": {"partner": "initial", "merge": "evaluation"},
    "gift": {},
    "gift with l2": {"consolidation": "l2"},
    "gift of the initial model": {"teacher": "wise:0.5"},
    "gift on captions alone": {"distillation": "text", "beta": 0},
}
"""Methods and settings that work on spread weights, by a name that begins with the method's."""


def learned(
    name: str, model_folder: str, own: dict | None = None, tasks=range(len(TASKS)), **changes
) -> dict[str, torch.Tensor]:
    """Weights and scores in double precision after two tasks with uneven batches.

    With settings of the method's own, also what it keeps.
    """
    model = VisionLanguageModel.from_pretrained(model_folder, dtype=torch.float64)
    method = create_method(name.split()[0], own)
    settings = SETTINGS.model_copy(update=changes)
    for task in tasks:
        learn(model, method, task, settings=settings)
    kept = {} if own is None else method.state_dict()
    state = {f"method/{key}": value for key, value in kept.items()}
    return {**weights(model), **state, "scores": scores(model, method)}


def first_task(model_folder: str, folder: Path, *, kill: bool) -> dict[str, torch.Tensor]:
    """GIFT's first task on sharded weights: interrupted in its last step, or resumed from there."""
    model = VisionLanguageModel.from_pretrained(model_folder, dtype=torch.float64)
    shares = []

    def watch(now: Progress) -> None:
        parameters = model.trainable_parameters().values()
        assert all(isinstance(p, DTensor) and isinstance(p.grad, DTensor) for p in parameters)
        shares.append(sum(p.to_local().numel() for p in parameters))
        if kill and now.done == now.total:
            raise Killed

    with suppress(Killed), listening(watch):
        learn(
            model,
            create_method("gift"),
            0,
            settings=SETTINGS.model_copy(update={"shard": True}),
            checkpoints=Checkpoints(folder, every_steps=int(kill)),
        )
    return {**weights(model), "shares": torch.tensor(shares)}


def together(folder: Path, model_folder: Path, *arguments: str) -> Path:
    """The folder with what two processes running this file stored."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = Path(__file__)
    result = subprocess.run(
        [*launcher, "--nproc_per_node=2", str(script), str(folder), str(model_folder), *arguments],
        env={**os.environ, "PYTHONPATH": str(script.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return folder


def main() -> None:
    folder, model_folder, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    torch.set_num_threads(1)
    training_device()
    assert distributed.world_size() == 2

    def keep(name: str, found: dict[str, torch.Tensor]) -> None:
        save_file(found, folder / f"{name}-{distributed.rank()}.safetensors")

    if what != ["shard"]:
        for name in TRAINED:
            keep(name, learned(name, model_folder))
        keep("balanced", learned("finetune", model_folder, balanced=True))
        return
    warnings.simplefilter("error")
    siglip = str(folder / "siglip2")
    distributed.on_main(lambda: save_siglip2(Path(siglip)))
    keep("siglip2", learned("gift", siglip, shard=True))
    for name, own in SHARDED.items():
        keep(name, learned(name, model_folder, own, shard=True))
    keep("checkpointing", learned("gift", model_folder, shard=True, gradient_checkpointing=True))
    keep("killed", first_task(model_folder, folder / "checkpoint", kill=True))
    distributed.barrier()
    keep("resumed", first_task(model_folder, folder / "checkpoint", kill=False))


if __name__ == "__main__":
    main()
