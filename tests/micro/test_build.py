"""A much smaller world, from nothing to its models."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from gift.micro.build import BuildScale, build
from gift.micro.clip import ClipSettings
from gift.micro.corpus import CorpusSettings
from gift.micro.diffusion import UNetSettings, VaeSettings
from gift.micro.training import Schedule
from gift.vlm import VisionLanguageModel

pytestmark = [
    pytest.mark.slow,
    # diffusers' solvers hand torch tensors to numpy 2, whose keyword torch does not know yet:
    # https://github.com/pytorch/pytorch/issues/136264
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def schedule(steps: int) -> Schedule:
    return Schedule(steps=steps, batch=16, learning_rate=2e-3, warmup=5, average=0.9)


SCALE = BuildScale(
    names=("pizza", "taco", "0 - zero", "1 - one", "star"),
    corpus=CorpusSettings(count=120),
    clip=ClipSettings(
        vision_width=32, vision_layers=1, text_width=32, text_layers=1, heads=2, projection=32,
        schedule=schedule(20),
    ),
    vae=VaeSettings(channels=(8, 8, 16), latent_channels=4, groups=4, schedule=schedule(10)),
    unet=UNetSettings(channels=(16, 32), heads=2, groups=8, schedule=schedule(10)),
    judged=2,
    sampling_steps=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("world")
    return folder, build(folder, scale=SCALE, threads=1)


def test_the_report_has_what_was_measured(built: tuple[Path, dict[str, Any]]) -> None:
    folder, report = built
    assert report == json.loads((folder / "build.json").read_text(encoding="utf-8"))
    assert set(report["zero_shot"]) == {"food", "mnist"}
    assert set(report["painted_named"]) == {"overall", "food", "mnist", "shapes"}
    assert set(report["seconds"]) == {"corpus", "clip", "vae", "inputs", "unet", "diffusion"}
    assert report["autoencoder_psnr"] > 5


def test_clip_loads(built: tuple[Path, dict[str, Any]]) -> None:
    assert VisionLanguageModel.from_pretrained(built[0] / "clip").preprocess.size == 32


def test_the_pipeline_paints_without_a_size_or_a_warning(
    built: tuple[Path, dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        pipeline = StableDiffusionPipeline.from_pretrained(built[0] / "diffusion")
    assert not caplog.records
    pipeline.set_progress_bar_config(disable=True)

    def paint() -> Any:
        generator = torch.Generator().manual_seed(0)
        return pipeline("a photo of a star.", num_inference_steps=3, generator=generator).images[0]

    image = paint()
    assert image.size == (32, 32)
    assert image.tobytes() == paint().tobytes()


def test_a_finished_build_does_nothing_and_a_different_one_is_refused(
    built: tuple[Path, dict[str, Any]],
) -> None:
    folder, report = built
    stages: list[str] = []
    again = build(folder, scale=SCALE, threads=1, progress=lambda stage, *_: stages.append(stage))
    assert (again, stages) == (report, [])
    with pytest.raises(ValueError, match="another seed or scale"):
        build(folder, seed=1, scale=SCALE, threads=1)


def test_a_lost_stage_is_made_again_from_the_others(built: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = built
    weights = folder / "work" / "unet" / "diffusion_pytorch_model.safetensors"
    before = weights.read_bytes()
    for path in weights.parent.iterdir():
        path.unlink()
    weights.parent.rmdir()
    (folder / "work" / "inputs.safetensors").unlink()
    build(folder, scale=SCALE, threads=1)
    assert not weights.exists(), "a finished build needs no intermediate results"
    (folder / "build.json").unlink()
    for path in sorted((folder / "diffusion").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (folder / "diffusion").rmdir()
    build(folder, scale=SCALE, threads=1)
    assert weights.read_bytes() == before
