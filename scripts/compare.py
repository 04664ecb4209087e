"""Run methods and seeds on a benchmark and keep each run's summary and matrix under results/.

Finished runs are not run again, unfinished ones go on, so it may be stopped at any time.

    python scripts/compare.py micro-1 --jobs 2
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from joblib import Parallel, delayed

ROOT = Path(__file__).parents[1]
METHODS = ("gift", "l2", "finetune", "finetune_individual")


def run(benchmark: str, method: str, seed: int) -> None:
    """One run, through the same function as ``gift run``."""
    from gift import experiment

    folder = ROOT / "runs" / benchmark / f"{method}-seed{seed}"
    config = experiment.resolve(benchmark, method, {"seed": seed})
    command = f"gift run {benchmark} --method {method} --seed {seed}"
    experiment.run(config, folder, command=command)


def keep(benchmark: str, out: Path) -> None:
    """Copy what is worth committing of every finished run."""
    for folder in sorted(path.parent for path in (ROOT / "runs" / benchmark).glob("*/DONE")):
        target = out / benchmark / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for file in ("summary.json", "matrix.json", "env.json"):
            shutil.copyfile(folder / file, target / file)


def main() -> None:
    """Run all that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    arguments = parser.parse_args()
    Parallel(arguments.jobs)(
        delayed(run)(arguments.benchmark, method, seed)
        for seed in arguments.seeds
        for method in arguments.methods
    )
    keep(arguments.benchmark, arguments.out)


if __name__ == "__main__":
    main()
