"""Choose the learning rates and penalty weights of the micro recipe, on validation images.

Every method gets nine trials on the same five tasks with the same seed, which is none of the
results'; test images are never opened. It may be stopped and resumed, and started several times at
once.

    python scripts/search.py [NAME ...]
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gift.settings import merge
from gift.studies import search

ROOT = Path(__file__).parents[1]
TRIALS = 9
BASE = {
    "seed": 100,
    "tasks": [
        "micro-aircraft",
        "micro-dtd",
        "micro-flowers",
        "micro-mnist",
        "micro-stanfordcars",
    ],
}
RATE, PENALTY = "training.learning_rate", "method_settings.penalty_weight"
RATES = [1e-4, 2e-4, 5e-5]
WIDER = {RATE: [2e-4], PENALTY: [0.1, 10.0]}
WITH_PENALTY = {RATE: RATES, PENALTY: [1.0, 3.0, 0.3]}
RATE_ALONE = {RATE: [5e-5, 1e-4, 2e-5, 2e-4, 1e-5, 1.5e-4, 3e-4, 5e-4, 1e-3]}
FAST_RATES = {RATE: [5e-4, 1e-3, 2e-4, 2e-3, 1e-4, 5e-3, 3e-3, 7e-4, 1e-2]}
WITH_MIXTURE = {RATE: RATES, "method_settings.weight": [0.8, 0.65, 0.5]}

SEARCHES: dict[str, tuple[str, dict[str, list[float]], dict[str, Any]]] = {
    "gift": ("gift", WITH_PENALTY, {}),
    "gift-l2": ("gift", WITH_PENALTY, {"method_settings": {"consolidation": "l2"}}),
    "ewc_v": ("ewc_v", WITH_PENALTY, {}),
    "l2": ("l2", WITH_PENALTY, {}),
    "zscl": ("zscl", WITH_PENALTY, {}),
    "ewc": ("ewc", WITH_PENALTY, {}),
    "wise_ft": ("wise_ft", WITH_MIXTURE, {}),
    "finetune": ("finetune", RATE_ALONE, {}),
    "lwf": ("lwf", RATE_ALONE, {}),
    "lwf_vr": ("lwf_vr", RATE_ALONE, {}),
    "icarl": ("icarl", RATE_ALONE, {}),
    "condu": ("condu", RATE_ALONE, {}),
    "condu_lora": ("condu_lora", FAST_RATES, {}),
    # For the question which consolidation is best: more penalty weights at the rate of gift.
    "gift-wide": ("gift", WIDER, {}),
    "gift-l2-wide": ("gift", WIDER, {"method_settings": {"consolidation": "l2"}}),
    "ewc_v-wide": ("ewc_v", WIDER, {}),
}


def run(name: str) -> Mapping[str, Any]:
    """One search; its outcome goes to results/search."""
    method, space, settings = SEARCHES[name]
    folder = ROOT / "runs" / "search" / name
    outcome = search(
        "micro-1",
        method,
        space=space,
        trials=TRIALS,
        folder=folder,
        settings=merge(BASE, settings),
    )
    target = ROOT / "results" / "search"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "search.json", target / f"{name}.json")
    return outcome


def main() -> None:
    """Run the searches that are named, or all."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or SEARCHES:
        print(name, run(name)["best"], flush=True)


if __name__ == "__main__":
    main()
