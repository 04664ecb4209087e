"""Keep the demo's result and its picture for the README, after ``gift demo`` has run.

gift demo && python scripts/demo.py
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "runs" / "demo"


def main() -> None:
    """Copy the summaries, the matrices and one figure."""
    for folder in sorted(path.parent for path in DEMO.glob("*/DONE")):
        target = ROOT / "results" / "demo" / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for file in ("summary.json", "matrix.json", "env.json"):
            shutil.copyfile(folder / file, target / file)
    images = ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    figure = DEMO / "report" / "figures" / "accuracy-over-sequence.png"
    shutil.copyfile(figure, images / "demo.png")


if __name__ == "__main__":
    main()
