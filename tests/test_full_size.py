"""The benchmark at full size: its architectures, its stages in small, and the table of the docs."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import pytest
import torch
import yaml
from support import load_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

ROOT = Path(__file__).parents[1]
script = load_file(ROOT / "benchmarks" / "full_size.py")
SMALL = [
    *("--model", "tiny", "--size", "16", "--steps", "2", "--images", "3", "--classes", "3"),
    *("--train-batch", "4", "--batch-size", "1", "3"),
]


def test_the_architectures_have_their_published_sizes():
    sizes = yaml.safe_load((ROOT / "benchmarks" / "models" / "base.yaml").read_text())
    with torch.device("meta"):
        parts = {
            "clip": CLIPModel(CLIPConfig(**sizes["clip"])),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**sizes["text_encoder"])),
            "unet": diffusers.UNet2DConditionModel(**sizes["unet"]),
            "vae": diffusers.AutoencoderKL(**sizes["vae"]),
        }
    found = {name: script.parameters_of(part) for name, part in parts.items()}
    assert found == sizes["parameters"]
    assert found["clip"] == 149_620_737
    assert found["unet"] == 859_520_964


def test_all_stages_in_small(tmp_path, capsys):
    out = tmp_path / "results" / "report.json"
    assert script.main([*SMALL, "--work", str(tmp_path), "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    stages = {stage["name"]: stage for stage in report["stages"]}
    for size in (1, 3):
        assert stages[f"generate, {size} at a time"]["images"] == 3
    assert stages["evaluate, from the pixel cache"]["images"] == 6
    # Two steps: 4 and 2 images of the task's 6, twice 4 synthetic ones.
    assert stages["  of it: the steps"]["images"] == 14
    learned = stages["learn a task, 2 steps"]
    parts = [stage["seconds"] for name, stage in stages.items() if name.startswith("  of it")]
    assert 0 < sum(parts) <= learned["seconds"] + 0.01
    assert learned["peak_memory_mb"] > 100
    assert report["settings"]["model"] == "tiny"
    assert report["machine"]["packages"]["torch"] == torch.__version__
    assert report["parameters"].keys() == {"clip", "text_encoder", "unet", "vae"}
    assert [path.name for path in tmp_path.iterdir()] == ["results"]  # models are removed
    assert capsys.readouterr().out == script.markdown(report)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "huge"], "--model 'huge' is none of base, tiny"),
        (["--model", "tiny", "--size", "14"], "--size 14 must be a multiple of 4"),
        (["--classes", "999"], "--classes 999 must be 1 to 998"),
        (["--model", "tiny", "--size", "16", "--iterations", "0"], "training.iterations"),
    ],
)
def test_wrong_options_are_named(arguments, message, tmp_path, capsys):
    assert script.main([*arguments, "--work", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(capsys):
    assert script.main([*SMALL, "--device", "cuda"]) == 2
    assert "--device cuda: this machine offers cpu" in capsys.readouterr().err


def test_images_of_a_set_that_steps_take():
    """Seven images in batches of three: 3, 3, 1, and again."""
    assert [script.images_in(n, 7, 3) for n in (1, 2, 3, 4, 6)] == [3, 6, 7, 10, 14]


def test_the_docs_show_the_measured_table(capsys):
    files = sorted((ROOT / "results" / "full-size").glob("*.json"))
    assert files
    page = (ROOT / "docs" / "models.md").read_text()
    for file in files:
        assert script.main(["--show", str(file)]) == 0
        assert capsys.readouterr().out in page, f"put the table of {file.name} into docs/models.md"
