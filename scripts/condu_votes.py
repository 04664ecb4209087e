"""How many task models should vote where the task of an image is hidden, on a finished ConDU run.

The learner that a run left is measured on all tasks of its benchmark with several numbers of
voters, with and without the pre-trained model; nothing is trained. Beside it stands how often an
image's own task is the nearest one, and how often it is among the nearest K.

    gift run micro-1-agnostic --method condu
    python scripts/condu_votes.py runs/micro-1-agnostic/condu-seed0 --out results/theory/votes.json
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import torch

from gift.config import RunConfig
from gift.data import Paths, Task, load_benchmark, measured_split, open_tasks
from gift.data.loader import PreprocessedImages
from gift.evaluate import Protocol
from gift.files import read_json, write_json
from gift.learner import Learner
from gift.methods import create_method
from gift.report.tables import Table
from gift.runs import RunFolder, environment
from gift.vlm import encode_all_images

VOTERS = (1, 2, 4, 8, 11)


def learner_with(folder: Path, paths: Paths, **settings: Any) -> Learner:
    """The learner of a run whose method has other settings for its votes."""
    learner = Learner.load(folder, paths=paths)
    method = create_method(learner.config.method, learner.config.method_settings | settings)
    method.load_state_dict(learner.method.state_dict())
    learner.method = method
    return learner


@torch.no_grad()
def nearest_tasks(learner: Learner, tasks: Sequence[Task]) -> list[list[float]]:
    """For each task the percentage of its images whose own task is among the nearest 1, 2, ..."""
    state = learner.method.state_dict()
    keys = sorted(key for key in state if key.startswith("prototypes/"))
    names = [key.split("/", 2)[2] for key in keys]
    found = []
    for task in tasks:
        assert task.evaluation is not None
        pixels = PreprocessedImages(task.evaluation, learner.model.preprocess)
        features = encode_all_images(learner.model, pixels)
        nearness = torch.stack([(features @ state[key].T).amax(dim=1) for key in keys], dim=1)
        place = nearness.argsort(dim=1, descending=True) == names.index(task.name)
        found.append((100 * place.float().mean(dim=0).cumsum(dim=0)).tolist())
    return found


def measured(folder: Path, paths: Paths) -> dict[str, Any]:
    """All that is measured on the learner of one run."""
    config = RunFolder(folder).read_config(RunConfig)
    rule = load_benchmark(config.benchmark)
    if rule.task_id != "hidden" or config.tasks is not None:
        raise ValueError(f"{folder} is no run of a whole benchmark that hides the task.")
    learner = Learner.load(folder, paths=paths)
    opened = open_tasks(rule.datasets(), paths, config.draw)
    how = config.evaluation
    tasks = [measured_split(task, how.split, how.validation_fraction) for task in opened]
    rows = []
    for pretrained in (True, False):
        for voters in VOTERS:
            chosen = learner_with(folder, paths, voters=voters, include_pretrained=pretrained)
            last = fmean(chosen.evaluate(tasks, Protocol(rule.label_space, rule.task_id)))
            rows.append({"voters": voters, "include_pretrained": pretrained, "last": last})
            sys.stderr.write(f"{folder.name}: {rows[-1]}\n")
    among = nearest_tasks(learner, tasks)
    return {
        "run": folder.name,
        "benchmark": rule.name,
        "last": rows,
        "own_task_among_nearest": dict(zip([task.name for task in tasks], among, strict=True)),
    }


def markdown(report: dict[str, Any]) -> str:
    """Means over the runs: accuracy by voters, and how often the own task is among them."""

    def last(voters: int, pretrained: bool) -> float:
        wanted = {"voters": voters, "include_pretrained": pretrained}
        return fmean(
            row["last"]
            for run in report["runs"]
            for row in run["last"]
            if wanted.items() <= row.items()
        )

    def among(voters: int) -> float:
        return fmean(
            shares[voters - 1]
            for run in report["runs"]
            for shares in run["own_task_among_nearest"].values()
        )

    columns = ("", *(f"K = {voters}" for voters in VOTERS))
    lines = (
        ("Last, K task models and the pre-trained one", [last(k, True) for k in VOTERS]),
        ("Last, K task models alone", [last(k, False) for k in VOTERS]),
        ("images whose own task is among the K nearest (%)", [among(k) for k in VOTERS]),
    )
    rows = [(name, *(f"{value:.1f}" for value in values)) for name, values in lines]
    return Table("votes", "", columns, pd.DataFrame(rows)).markdown()


def main(arguments: Sequence[str]) -> int:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="*", help="finished runs of condu or condu_lora")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    parser.add_argument("--show", type=Path, help="print the table of such a file")
    options = parser.parse_args(arguments)
    if options.show:
        sys.stdout.write(markdown(read_json(options.show)))
        return 0
    report = {
        "command": shlex.join(["python", "scripts/condu_votes.py", *arguments]),
        "environment": environment("cpu"),
        "runs": [measured(folder, Paths.of()) for folder in options.runs],
    }
    sys.stdout.write(markdown(report))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
