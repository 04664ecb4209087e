"""The benchmark of the training step: that both sides do the same, and what ours leaves out."""

from __future__ import annotations

import copy
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from support import words

from gift.data.loader import Batch, ImageTexts

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))  # its files import each other, as when run as scripts

import measured  # noqa: E402
import published  # noqa: E402
import step  # noqa: E402

LABELS = words("fruit", 5)
CAPTIONS = ("a photo of a fox.", "the picture of an owl", "a photo of a fox.", "owl")
REPORT = ROOT / "results" / "bench" / "cpu.json"


@pytest.fixture
def pairs():
    pixels = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    return ImageTexts(pixels, CAPTIONS)


@pytest.fixture
def ours(tiny_clip_fp64, pairs):
    return measured.OurStep(tiny_clip_fp64.train(), LABELS, pairs)


def batches(model, pairs, seed=0):
    """A batch of the task and all pairs."""
    torch.manual_seed(seed)
    pixels = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    synthetic = model.preprocess.normalize(torch.from_numpy(pairs.pixels)).double()
    index = torch.arange(4)
    return Batch(pixels, index, torch.randint(0, 5, (4,))), Batch(synthetic, index, index)


def test_both_sides_compute_the_same_update(tiny_clip_fp64, pairs):
    model = tiny_clip_fp64.train()
    plain = published.PublishedStep(
        copy.deepcopy(model.towers), model.tokenizer, LABELS.prompts, learning_rate=1e-4
    )
    ours = measured.OurStep(model, LABELS, pairs)
    for group in ours.optimizer.param_groups:
        group["lr"] = 1e-4
    for seed in range(3):
        task, synthetic = batches(model, pairs, seed)
        ours(task, synthetic)
        plain(task.pixels, task.labels, synthetic.pixels, CAPTIONS)
    anchors = dict(plain.teacher.named_parameters())
    for name, found in model.trainable_parameters().items():
        if not name.endswith("k_proj.bias"):  # its gradient is rounding noise alone
            wanted = plain.parameters[name]
            assert (found - wanted).norm() <= 1e-10 * wanted.norm(), name
            assert not torch.equal(wanted, anchors[name])


@pytest.mark.parametrize("classes", step.CLASSES)
def test_the_step_saves_the_operations_that_it_promises(classes):
    """At full size, 64 + 64 images; counted, so no machine can make it fail."""
    counts = operations()
    published_side, our_side = (
        side(counts, classes) for side in (step.published_step, step.our_step)
    )
    assert published_side / our_side >= step.WANTED["operations"][classes]
    assert our_side < step.floor_operations(counts, classes)


@cache
def operations():
    return step.operations(measured.Subject.load("base"))


def test_a_step_encodes_what_it_must_once_and_asks_no_teacher(ours, pairs):
    """Images of both batches, and the distinct beginnings of prompts and of captions."""
    model = ours.model
    images, tokens = [], []
    towers = model.towers
    towers.vision_model.embeddings.register_forward_hook(lambda *a: images.append(len(a[2])))
    towers.text_model.embeddings.token_embedding.register_forward_hook(
        lambda *a: tokens.append(len(a[2]))
    )
    ours(*batches(model, pairs))
    assert images == [4, 4]
    bound = [
        texts.numel() for texts in (model.tokenize(CAPTIONS[:2]), model.tokenize(CAPTIONS[3:]))
    ]
    assert tokens[0] < sum(bound)
    prompts = model.tokenize(LABELS.prompts)
    assert tokens[1] == prompts.shape[1] + 3 * (len(prompts) - 1)  # a letter, the stop, the end
    assert len(tokens) == 2


def test_the_penalty_has_no_graph(ours, pairs):
    task, synthetic = batches(ours.model, pairs)
    ours(task, synthetic)
    batch = {"task": task, "synthetic": synthetic}
    values = ours.method.step(ours.model, batch, torch.Tensor.backward)
    assert values["consolidation"] > 0
    assert not values["consolidation"].requires_grad
    assert all(p.grad is not None and p.grad.grad_fn is None for p in ours.parameters.values())


def test_the_whole_benchmark_in_small(tmp_path, capsys):
    out = tmp_path / "bench" / "report.json"
    small = ["--model", "tiny", "--images", "2", "--texts", "2", "--rounds", "1"]
    assert step.main([*small, "--memory-images", "0", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    table = capsys.readouterr().out
    assert table == step.tables(report)
    assert len(report["rows"]) == 21
    assert all(row["published"] > 0 and row["ours"] > 0 for row in report["rows"])
    assert report["machine"]["packages"]["torch"] == torch.__version__
    assert report["command"].endswith(str(out))
    assert step.main(["--show", str(out)]) == 0
    assert capsys.readouterr().out == table


@pytest.mark.parametrize("side", ["published", "ours"])
def test_the_peak_is_that_of_a_step(side):
    assert measured.peak_of_second_step(measured.Subject.load("tiny"), side, 2) > 100


def test_a_ratio_that_is_missed_is_marked():
    rows = [step.row("time", "s", 3.0, 2.0, wanted) for wanted in (1.4, 1.6, None)]
    cells = [line.split(" | ") for line in step.markdown({"rows": rows}).splitlines()[2:]]
    assert [line[3:5] for line in cells] == [
        ["1.50", "1.40"],
        ["1.50", "1.60, missed"],
        ["1.50", ""],
    ]


def test_the_shares_of_a_step_add_up():
    part = dict.fromkeys(("image", "image only", "captions", "captions only", "rest"), 2.0)
    part |= {"prompts": dict.fromkeys(map(str, step.CLASSES), 4.0)}
    part |= {f"published {name}": 1.0 for name in ("image", "image only", "text", "text only")}
    report = {"parts": part | {"published rest": 3.0}}
    for line in step.shares(report).splitlines()[2:]:
        numbers = [float(cell) for cell in line.strip("| ").split(" | ")[1:]]
        assert sum(numbers) == pytest.approx(100, abs=0.3)
    # 128 images, 10 prompts, 64 captions, 64 pairs for the teacher, 3 for the rest
    assert "| published, 10 classes | 38.4 | 3.0 | 19.2 | 38.4 | 0.9 |" in step.shares(report)


def test_the_page_shows_the_committed_report():
    report = json.loads(REPORT.read_text())
    assert report["settings"]["model"] == "base"
    page = (ROOT / "docs" / "performance.md").read_text()
    assert step.markdown(report) in page
    assert step.shares(report) in page
