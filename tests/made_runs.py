import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

TASKS = ("birds", "<script>alert(1)</script>", "50 $ & more_{}")
ZERO_SHOT = (60.0, 50.0, 40.0)
ACCURACY = ((80.0, 48.0, 39.0), (74.0, 90.0, 36.0), (72.0, 86.0, 95.0))


SEEN_ONLY: dict[str, Any] = {
    "zero_shot": (70.0, 60.0, 50.0),
    "accuracy": ((90.0, None, None), (70.0, 80.0, None), (60.0, 75.0, 90.0)),
    "setting": {"label_space": "seen", "task_id": "hidden", "split": "test", "draw": 0},
    "images": (10, 10, 20),
}
"""A class-incremental run: over the classes seen it is right in 90, 75 and 78.75 percent."""


class RunMaker:
    """Writes run folders as a run does."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(
        self,
        folder: str,
        *,
        method: str = "gift",
        seed: int = 1,
        accuracy: Sequence[Sequence[float | None]] = ACCURACY,
        finished: bool = True,
        shift: float = 0.0,
        only_results: bool = False,
        **matrix: Any,
    ) -> Path:
        path = self.root / folder
        path.mkdir(parents=True)
        rows = [[None if v is None else v + shift for v in row] for row in accuracy]
        content = {
            "benchmark": "tiny",
            "version": 1,
            "tasks": TASKS,
            "zero_shot": ZERO_SHOT,
            "accuracy": rows,
            "setting": {"label_space": "task", "task_id": "given", "split": "test"},
            **matrix,
        }
        (path / "matrix.json").write_text(json.dumps(content))
        if finished:
            summary = {
                "method": method,
                "benchmark": "tiny",
                "version": 1,
                "seed": seed,
                "transfer": None,
                "avg": 70.0,
                "last": 80.0,
                "forgetting": None,
                "backward_transfer": None,
                "zero_shot": {"mean": 50.0},
                "seconds": {"total": 100.0, "train": 60.0, "evaluate": 40.0},
                "peak_memory_mb": 512.0,
                "command": f"gift run tiny --method {method}",
            }
            (path / "summary.json").write_text(json.dumps(summary))
        if not only_results:
            (path / "config.yaml").write_text(f"method: {method}\nseed: {seed}\nlr: 0.001 # <b>\n")
            env = {"python": "3.12", "clean": True, "packages": {"torch": "2.13"}, "commit": None}
            (path / "env.json").write_text(json.dumps(env))
            (path / "events.jsonl").write_text("".join(self._events()) + '{"stage": "tra')
        return path

    def _events(self) -> list[str]:
        lines = [{"stage": "evaluate", "task": "zero-shot", "accuracy": {}, "seconds": 2.0}]
        for task in TASKS:
            lines.append({"stage": "paint", "task": task, "images": 4, "seconds": 3.0})
            for step in range(5):
                losses = {"anchor": 0.1 * step, "task": 2.0 - 0.1 * step, "bad": float("nan")}
                lines.append({"stage": "train", "task": task, "step": step, "losses": losses})
        return [json.dumps(line) + "\n" for line in lines]

    def generate(
        self, run: Path, *, task: str = "01-birds", size: int = 32, count: int = 6, **extra: Any
    ) -> Path:
        folder = run / "tasks" / task / "synthetic"
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        lines = []
        for i in range(count):
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
            line = {"index": i, "prompt": f'a "photo" of <i>{i}</i>', "file": f"{i}.png", **extra}
            lines.append(json.dumps(line) + "\n")
        (folder / "manifest.jsonl").write_text("".join(lines))
        return folder


@pytest.fixture
def seen_only() -> dict[str, Any]:
    return dict(SEEN_ONLY)


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    return RunMaker(tmp_path / "runs")


@pytest.fixture(scope="module")
def make_shared_run(tmp_path_factory: pytest.TempPathFactory) -> RunMaker:
    return RunMaker(tmp_path_factory.mktemp("shared") / "runs")
