"""Choose the settings of the micro recipe on validation images, and write them into it.

First guidance, number of images and denoising steps of GIFT, one after the other (more than 800
images in four steps would take a run longer than five minutes on one core). Then for every
method its learning rate and, where it has one, the weight of its regularisation towards earlier
weights: the same number of trials on the whole of micro-1 for each, with a seed that is none of the
results'. Test images are never opened. It may be stopped and resumed, and started several times at
once.

    python scripts/search.py [NAME ...]      searches, all by default; outcomes go to results/search
    python scripts/search.py --write         puts the best settings into the recipe
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from gift.settings import merge, nest
from gift.studies import Interval, Space, search

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "src" / "gift_micro" / "recipes" / "micro.yaml"
OUTCOMES = ROOT / "results" / "search"
TRIALS = 8
BASE = {"seed": 100}
RATE = {"training.learning_rate": Interval(1e-5, 2e-3)}
PENALTY = {"method_settings.penalty_weight": Interval(0.03, 30)}
PLAIN = {"method_settings": {"consolidation": "l2"}}

SEARCHES: dict[str, tuple[str, Space, dict[str, Any]]] = {
    "gift-guidance": ("gift", {"synthesis.guidance": [1.0, 1.25, 1.5, 2.0, 3.0]}, {}),
    "gift-images": ("gift", {"synthesis.images": [100, 200, 400, 800]}, {}),
    "gift-steps": ("gift", {"synthesis.steps": [2, 4, 8, 16]}, {}),
    "gift": ("gift", RATE | PENALTY, {}),
    "zscl": ("zscl", RATE | PENALTY, {}),
    "l2": ("l2", RATE | PENALTY, {}),
    "finetune": ("finetune", RATE, {}),
    "lwf": ("lwf", RATE, {}),
    "lwf_vr": ("lwf_vr", RATE, {}),
    "icarl": ("icarl", RATE, {}),
    "wise_ft": ("wise_ft", RATE | {"method_settings.weight": Interval(0.1, 0.95)}, {}),
    "ewc": ("ewc", RATE | PENALTY, {}),
    "ewc_v": ("ewc_v", RATE | PENALTY, {}),
    "gift-l2": ("gift", RATE | PENALTY, PLAIN),
    "condu": ("condu", RATE, {}),
    "condu_lora": ("condu_lora", {"training.learning_rate": Interval(2e-4, 4e-2)}, {}),
    "finetune_individual": ("finetune_individual", RATE, {}),
}
"""Method, space and settings of each search, in order. Factors of adapters start near zero, hence
the other range of their rate."""


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
    OUTCOMES.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "search.json", OUTCOMES / f"{name}.json")
    return outcome


def write() -> None:
    """Put what was chosen into the recipe: settings of the images, and those of each method.

    Searches of variants of a method are left out; their settings stand in the experiments.
    """
    text = RECIPE.read_text(encoding="utf-8")
    comments = [line for line in text.splitlines(keepends=True) if line.startswith("#")]
    recipe = yaml.safe_load(text)
    for path in sorted(OUTCOMES.glob("*.json")):
        outcome = json.loads(path.read_text(encoding="utf-8"))
        for key, value in outcome["best"]["values"].items():
            if key.startswith("synthesis."):
                recipe = merge(recipe, nest(key.split("."), value))
            elif path.stem == outcome["method"]:
                recipe = merge(recipe, nest(["methods", path.stem, *key.split(".")], value))
    dumped = yaml.safe_dump(recipe, sort_keys=False, width=100)
    RECIPE.write_text("".join(comments) + dumped, encoding="utf-8")


def main() -> None:
    """Run the searches that are named, or all; or write the recipe."""
    torch.set_num_threads(1)
    if sys.argv[1:] == ["--write"]:
        write()
        return
    for name in sys.argv[1:] or SEARCHES:
        print(name, run(name)["best"], flush=True)


if __name__ == "__main__":
    main()
