"""The benchmark for GPUs: that it runs, what it prints, and that bf16 stays in the forward pass."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support import words

from gift import weights as consolidation
from gift.data.loader import Batch, ImageTexts

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))  # its files import each other, as when run as scripts

import gpu  # noqa: E402
import measured  # noqa: E402

SMALL = [
    *("--device", "cpu", "--model", "tiny", "--images", "2", "--rounds", "1", "--evaluate", "3"),
    *("--steps", "2", "--batch-size", "1", "2", "--backend", "aot_eager"),
]


@pytest.mark.slow
# torch hides this warning of its own by a way that pytest's errors come before.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_everything_in_small(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "CLASSES", (3,))
    out = tmp_path / "bench" / "report.json"
    assert gpu.main([*SMALL, "--out", str(out)]) == 0
    table = capsys.readouterr().out
    report = json.loads(out.read_text())
    rows = {row["what"]: row for row in report["rows"]}
    assert all(row["seconds"] > 0 for row in rows.values())
    first = rows["step, 2 + 2 images, 3 classes, published"]
    compiled = rows["step, 2 + 2 images, 3 classes, ours, bf16, compiled"]
    assert compiled["against"] == first["images"] / first["seconds"]
    assert rows["generation in 2 steps, 2 at a time"]["against"]
    assert rows["evaluation, from the cache"]["images"] == 3
    assert len(rows) == len(report["rows"]) == 9
    assert len(table.splitlines()) == 11
    assert gpu.main(["--show", str(out)]) == 0
    assert capsys.readouterr().out == table


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(capsys):
    assert gpu.main([]) == 2
    assert "torch sees no GPU here" in capsys.readouterr().err


def test_generation_is_skipped_without_diffusers(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(gpu, "steps", lambda *_: iter(()))
    monkeypatch.setattr(gpu, "evaluation", lambda *_: iter(()))
    rows = gpu.measure(gpu.parse(SMALL))
    assert "| generation | diffusers is not installed |" in gpu.markdown(rows)


def test_what_does_not_fit_leaves_a_note():
    def too_much():
        raise torch.OutOfMemoryError

    row = gpu.Clock(torch.device("cpu"), 1).row("a step", 2, lambda: too_much)
    assert row.note == "out of memory"
    assert "| a step | out of memory |" in gpu.markdown([row])


def test_the_rate_of_a_batch_is_compared_not_its_time():
    rows = [gpu.Row("one", 1.0, 1), gpu.Row("four", 2.0, 4, against=1.0, peak_mb=7.4)]
    lines = gpu.markdown(rows).splitlines()
    assert lines[2] == "| one | 1000.0 | 1.0 |  |  |"
    assert lines[3] == "| four | 2000.0 | 2.0 | 2.00 | 7 |"


@pytest.mark.parametrize("half", [False, True])
def test_in_bf16_only_forward_passes_are_in_half_precision(tiny_clip, half, monkeypatch):
    """Weights, gradients, the penalty and the optimiser's state of a step stay in float32."""
    pixels = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)
    pairs = ImageTexts(pixels, ("a photo of a fox.", "the picture of an owl"))
    step = measured.OurStep(tiny_clip.train(), words("fruit", 3), pairs, half=half)
    products, penalties = set(), []
    tiny_clip.towers.vision_model.encoder.layers[0].self_attn.q_proj.register_forward_hook(
        lambda *call: products.add(call[2].dtype)
    )

    def spied(parameters, *arguments, **settings):
        assert not torch.is_autocast_enabled("cpu")
        penalties.append(penalty(parameters, *arguments, **settings))
        return penalties[-1]

    penalty = consolidation.add_adaptive_gradient
    monkeypatch.setattr(consolidation, "add_adaptive_gradient", spied)
    index = torch.arange(2)
    batch = Batch(tiny_clip.preprocess.normalize(torch.from_numpy(pixels)), index, index)
    for _ in range(2):
        step(batch, batch)
    assert products == {torch.bfloat16 if half else torch.float32}
    moments = [value for state in step.optimizer.state.values() for value in state.values()]
    gradients = [parameter.grad for parameter in step.parameters.values()]
    kept = [*step.parameters.values(), *gradients, *moments, *penalties]
    assert {tensor.dtype for tensor in kept} == {torch.float32}
    assert penalties[1] > 0
    assert len(moments) == 3 * len(gradients)
