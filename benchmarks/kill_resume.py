"""Kill runs of the micro benchmark again and again, resume them, and compare.

One run is not interrupted. Others with the same settings are killed (SIGKILL) and resumed with the
same command until they are done. The kills are aimed in turns at: generation, training, evaluation,
writing, and any time at all. The outcome must be that of the first run: the same weights to the
last bit, the same accuracies; and no finished task may be learned again.

    python benchmarks/kill_resume.py --kills 50 --out results/bench/kill_resume.json

``python scripts/docs.py`` then brings the figures into docs/reliability.md.
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
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from gift.files import read_json, write_json
from gift.runs import RunFolder

TASKS = ("micro-dtd", "micro-mnist")
SETTINGS = {
    "tasks": TASKS,
    "training.iterations": 40,
    "training.batch_size": 32,
    "training.checkpoint_steps": 5,
    "synthesis.images": 64,
    "synthesis.steps": 4,
}
AIMS = ("generation", "training", "evaluation", "writing", "any time")
LONGEST = {"generation": 1.0, "training": 2.0, "evaluation": 0.1, "writing": 0.0}
"""Seconds that a kill comes at most after its stage began."""


def command(method: str, folder: Path, home: Path) -> list[str]:
    """A run that takes some seconds beside the start of the program."""
    words = [sys.executable, "-m", "gift", "run", "micro-1", "--method", method]
    for key, value in SETTINGS.items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    return [*words, "--out", str(folder), "--home", str(home)]


def finished_tasks(folder: Path) -> int:
    """Tasks that a run would resume after, whenever it was killed."""
    run = RunFolder(folder)
    try:
        return len(read_json(run.whole_learner() / "memory.json")) if run.has_learner else 0
    except ValueError:  # the first learner was on its way
        return 0


def stage(folder: Path, before: int) -> str:
    """What a run is doing, from its files.

    Args:
        folder: the run folder.
        before: the size that ``events.jsonl`` had when the process was started.
    """
    if (folder / "DONE").exists():
        return "ending"
    if any(folder.glob("*.new")) or any(folder.glob("tasks/*/checkpoint/*.new")):
        return "writing"
    if any(folder.glob(".*.tmp")):
        return "writing"
    log = folder / "events.jsonl"
    if not log.exists() or log.stat().st_size <= before:
        return "starting"
    last = RunFolder(folder).events()[-1]
    try:
        learned = len(read_json(folder / "learner" / "memory.json"))
    except FileNotFoundError:
        learned = 0
    matrix = folder / "matrix.json"
    measured = len(read_json(matrix)["accuracy"]) if matrix.exists() else -1
    match last.stage:
        case "prepare" | "evaluate" | "matrix" if measured == len(TASKS):
            return "writing"
        case "prepare" | "evaluate" | "matrix":
            return "generation" if learned == measured else "evaluation"
        case "train" if last.seconds is not None:
            return "evaluation" if learned > measured else "writing"
    return "training"


@dataclass
class Tally:
    """What came out of the kills so far."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    divergences: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Attempts:
    """Starts of one run.

    Attributes:
        words: the command.
        folder: its run folder.
        whole: seconds that it takes when it is not interrupted.
        chance: decides on the times.
    """

    words: list[str]
    folder: Path
    whole: float
    chance: random.Random

    def killed(self, aim: str) -> str | None:
        """Start the command and kill it near an aim.

        Returns:
            What it was doing; None where it came to its end before.

        Raises:
            RuntimeError: it failed by itself.
        """
        log = self.folder / "events.jsonl"
        before = log.stat().st_size if log.exists() else 0
        process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        started = time.monotonic()
        deadline = started + self.chance.uniform(0.05, 1.0) * self.whole
        reached = aim == "any time"
        while process.poll() is None and not (reached and time.monotonic() >= deadline):
            if not reached and stage(self.folder, before) == aim:
                reached = True
                deadline = time.monotonic() + self.chance.uniform(0, LONGEST[aim])
            time.sleep(0.001)
        if process.returncode is None:
            found = stage(self.folder, before)
            process.kill()
        _, errors = process.communicate()
        if process.returncode == -9:
            return found
        if process.returncode:
            raise RuntimeError(errors.decode())
        return None


def until_done(attempts: Attempts, aims: cycle[str], tally: Tally, kills: int) -> None:
    """Start a run and kill it until it is done or all kills are used up, then let it end."""
    while not (attempts.folder / "DONE").exists():
        learned = finished_tasks(attempts.folder)
        if tally.kills.total() < kills:
            found = attempts.killed(next(aims))
            if found is not None:
                tally.kills[found] += 1
        else:
            subprocess.run(attempts.words, check=True, capture_output=True)
        tally.lost += max(0, learned - finished_tasks(attempts.folder))


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
    parser.add_argument("--seed", type=int, default=0, help="of the times")
    parser.add_argument("--out", type=Path, help="a JSON file for the outcome")
    options = parser.parse_args()
    chance, aims, tally = random.Random(options.seed), cycle(AIMS), Tally()
    with tempfile.TemporaryDirectory(prefix="gift-kill-") as scratch:
        root = Path(scratch)
        alone = root / "alone"
        started = time.perf_counter()
        subprocess.run(
            command(options.method, alone, root / "home"), check=True, capture_output=True
        )
        whole = time.perf_counter() - started
        while tally.kills.total() < options.kills:
            tally.runs += 1
            folder, home = root / f"killed-{tally.runs}", root / f"home-{tally.runs}"
            words = command(options.method, folder, home)
            until_done(Attempts(words, folder, whole, chance), aims, tally, options.kills)
            tally.divergences += not same(alone, folder)
            print(
                f"{tally.kills.total()} kills, {tally.divergences} divergences, "
                f"{tally.lost} finished tasks lost",
                flush=True,
            )
            shutil.rmtree(folder)
            shutil.rmtree(home)
    outcome: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "method": options.method,
        "runs": tally.runs,
        "kills": tally.kills.total(),
        "kills_by_stage": dict(sorted(tally.kills.items())),
        "divergences": tally.divergences,
        "lost_finished_tasks": tally.lost,
        "seconds_of_a_run_left_alone": round(whole, 1),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    print(json.dumps(outcome, indent=2))
    if options.out:
        write_json(options.out, outcome)
    return int(tally.divergences > 0 or tally.lost > 0)


if __name__ == "__main__":
    raise SystemExit(main())
