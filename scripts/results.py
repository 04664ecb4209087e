"""Make every run behind the tables of the docs, in order of weight, and keep its small files.

Each line of PLAN is one ``gift experiment`` command. Finished runs are not made again, so it may be
stopped and started as often as needed; run it in a clean checkout, since results name the commit.

    python scripts/results.py [--jobs N] [NAME ...]     all experiments, or those named
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from gift.studies import Workers, compare, keep

ROOT = Path(__file__).parents[1]
RUNS, RESULTS = ROOT / "runs", ROOT / "results"


@dataclass(frozen=True)
class Line:
    """An experiment on a benchmark; every seed from 0 on is also the data seed."""

    experiment: str
    benchmark: str
    seeds: int


PLAN = (
    Line("comparison", "micro-1", 3),
    Line("consolidation", "micro-1", 5),
    Line("table5", "micro-1", 5),
    Line("one-rate", "micro-1", 1),
    Line("comparison", "micro-2", 3),
    Line("table3", "micro-1", 3),
    Line("table4a", "micro-1", 3),
    Line("table4b", "micro-1", 3),
    Line("table4c", "micro-1", 3),
    Line("table6", "micro-1", 3),
    Line("table7", "micro-cil", 3),
    Line("condu-settings", "micro-1-agnostic", 3),
    Line("condu-settings", "micro-1-fewshot", 3),
    Line("condu-settings", "micro-1-agnostic-union", 3),
    Line("table11", "micro-1", 1),
    Line("table12", "micro-1", 1),
    Line("figure3", "micro-1", 1),
    Line("figure4", "micro-1", 3),
    Line("figure5", "micro-1", 1),
    Line("figure6", "micro-1", 3),
    Line("figure7", "micro-1", 1),
    Line("figure8", "micro-1", 1),
    Line("figure9", "micro-1", 1),
    Line("abstract-domains", "micro-abstract", 3),
    Line("long-sequence", "micro-long", 1),
    Line("foreign-generator", "micro-1", 1),
)
"""``foreign-generator`` needs the generators of ``gift micro generator``; ``cost`` needs an
idle machine and is run apart: see docs/questions.md."""


def main() -> int:
    """Make what is missing; the exit status says whether a run failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("experiments", nargs="*", help="names; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    chosen = parser.parse_args()
    failed = 0
    for line in PLAN:
        if chosen.experiments and line.experiment not in chosen.experiments:
            continue
        result = compare(
            line.experiment,
            benchmark=line.benchmark,
            seeds=range(line.seeds),
            redraw=True,
            runs=RUNS,
            workers=Workers(chosen.jobs),
        )
        kept = keep(result, RESULTS)
        print(f"{line}: {len(kept)} kept, {len(result.failures)} failed", flush=True)
        for folder, reason in result.failures.items():
            print(f"failed: {folder}: {reason}", flush=True)
        failed += len(result.failures)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
