"""Kill runs of the tiny world at random moments, start them again, and compare.

One run is left alone. Others with the same settings are killed (SIGKILL) again and again, in
painting, training, evaluation and writing, and started anew with the same command until they are
done. What must come out is what came out of the first: the same weights to the last bit, the same
accuracies; and no task that was finished may be learned again.

    python benchmarks/kill_resume.py --kills 50 --out results/bench/kill_resume.json
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from gift.files import read_json, write_json

SETTINGS = {
    "tasks": ["micro-dtd", "micro-mnist"],
    "training.iterations": 40,
    "training.batch_size": 32,
    "training.checkpoint_steps": 5,
    "synthesis.images": 64,
    "synthesis.steps": 4,
}


def command(method: str, folder: Path, home: Path) -> list[str]:
    """A run that takes some seconds beside the start of the program."""
    words = [sys.executable, "-m", "gift", "run", "micro-1", "--method", method]
    for key, value in SETTINGS.items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    return [*words, "--out", str(folder), "--home", str(home)]


def finished_tasks(folder: Path) -> int:
    """Tasks that a folder says are learned."""
    memory = folder / "learner" / "memory.json"
    return len(read_json(memory)) if memory.exists() else 0


def stage(folder: Path) -> str:
    """What the run was last seen doing, for the statistics."""
    if (folder / "DONE").exists():
        return "ending"
    if list(folder.glob("tasks/*/checkpoint/step-*")):
        return "training, after a checkpoint"
    if not (folder / "matrix.json").exists():
        return "starting"
    return "painting, training or evaluation"


def until_done(
    method: str, folder: Path, home: Path, whole: float, kills: int, chance: random.Random
) -> Counter[str]:
    """Start a run and kill it until it is done or ``kills`` are used up, then let it end.

    Returns:
        How many kills fell into which stage, and under "lost" how many finished tasks were gone.
    """
    counts: Counter[str] = Counter()
    while not (folder / "DONE").exists():
        before = finished_tasks(folder)
        process = subprocess.Popen(
            command(method, folder, home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        patience = chance.uniform(0.05, 1.0) * whole if sum(counts.values()) < kills else None
        try:
            _, errors = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            counts[stage(folder)] += 1
        else:
            if process.returncode:
                raise RuntimeError(errors.decode())
        counts["lost"] += max(0, before - finished_tasks(folder))
    return counts


def same(first: Path, second: Path) -> bool:
    """Whether two runs ended with the same weights, method state and accuracies."""
    for name in ("learner/model/model.safetensors", "learner/method.safetensors"):
        one, two = load_file(first / name), load_file(second / name)
        if one.keys() != two.keys() or not all(torch.equal(one[key], two[key]) for key in one):
            return False
    return bool(read_json(first / "matrix.json") == read_json(second / "matrix.json"))


def main() -> int:
    """Print and perhaps write the outcome; 1 where anything was lost or differed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--method", default="gift")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, help="a JSON file for the outcome")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    counts: Counter[str] = Counter()
    runs = divergences = 0
    with tempfile.TemporaryDirectory(prefix="gift-kill-") as scratch:
        root = Path(scratch)
        alone, home = root / "alone", root / "home"
        started = time.perf_counter()
        subprocess.run(command(options.method, alone, home), check=True, capture_output=True)
        whole = time.perf_counter() - started
        while (done := sum(counts.values()) - counts["lost"]) < options.kills:
            runs += 1
            killed, fresh = root / f"killed-{runs}", root / f"home-{runs}"
            left = options.kills - done
            counts += until_done(options.method, killed, fresh, whole, left, chance)
            divergences += not same(alone, killed)
            print(f"{sum(counts.values()) - counts['lost']} kills, {divergences} divergences")
            shutil.rmtree(killed)
            shutil.rmtree(fresh)
    lost = counts.pop("lost", 0)
    outcome: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "method": options.method,
        "runs": runs,
        "kills": sum(counts.values()),
        "kills_by_stage": dict(sorted(counts.items())),
        "divergences": divergences,
        "lost_finished_tasks": lost,
        "seconds_of_a_run_left_alone": round(whole, 1),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    print(json.dumps(outcome, indent=2))
    if options.out:
        write_json(options.out, outcome)
    return int(divergences > 0 or lost > 0)


if __name__ == "__main__":
    raise SystemExit(main())
