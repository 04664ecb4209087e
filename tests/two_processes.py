"""Run as one of several processes: learn with every method and store what came out.

python two_processes.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from methods.test_contract import TASKS, TRAINED, learn, scores, weights
from safetensors.torch import save_file

from gift import parallel
from gift.methods import create_method
from gift.train import accelerator
from gift.vlm import VisionLanguageModel


def learned(name: str, model_folder: str) -> dict[str, torch.Tensor]:
    """Weights and scores in double precision after two tasks with uneven batches."""
    model = VisionLanguageModel.from_pretrained(model_folder, dtype=torch.float64)
    method = create_method(name)
    for task in range(len(TASKS)):
        learn(model, method, task)
    return {**weights(model), "scores": scores(model, method)}


def main() -> None:
    folder, model_folder = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    accelerator()
    assert parallel.processes() == 2
    for name in TRAINED:
        found = learned(name, model_folder)
        save_file(found, folder / f"{name}-{parallel.rank()}.safetensors")


if __name__ == "__main__":
    main()
