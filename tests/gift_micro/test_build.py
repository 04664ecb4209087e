"""Training of much smaller models, from drawing to the report."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel, CLIPTextModel

from gift.progress import listening
from gift.vlm import VisionLanguageModel
from gift_micro.build import BuildScale, build
from gift_micro.clip import ClipSettings
from gift_micro.corpus import CorpusSettings
from gift_micro.diffusion import UNetSettings, VaeSettings
from gift_micro.training import Schedule

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
    folder = tmp_path_factory.mktemp("models")
    return folder, build(folder, scale=SCALE, threads=1)


def test_the_report_has_what_was_measured(built: tuple[Path, dict[str, Any]]) -> None:
    folder, report = built
    assert report == json.loads((folder / "build.json").read_text(encoding="utf-8"))
    assert set(report["zero_shot"]) == {"food", "mnist"}
    assert set(report["accuracy"]) == set(report["coverage"]) == {"generated", "corpus", "clean"}
    assert set(report["accuracy"]["generated"]) == {"overall", "food", "mnist", "shapes"}
    corpus = report["coverage"]["corpus"]
    assert 0 <= corpus["frechet_distance"] < report["coverage"]["generated"]["frechet_distance"]
    assert 0 < corpus["recall"] <= 1
    assert set(report["seconds"]) == {"corpus", "clip", "vae", "inputs", "unet", "diffusion"}
    assert report["autoencoder_psnr"] > 5


def test_clip_loads(built: tuple[Path, dict[str, Any]]) -> None:
    assert VisionLanguageModel.from_pretrained(built[0] / "clip").preprocess.size == 32


def test_the_pipeline_reads_the_text_tower_of_clip(built: tuple[Path, dict[str, Any]]) -> None:
    clip = CLIPModel.from_pretrained(built[0] / "clip", dtype=torch.float32)
    encoder, loading = CLIPTextModel.from_pretrained(
        built[0] / "diffusion" / "text_encoder", output_loading_info=True
    )
    assert not any(loading.values())
    for name, value in clip.text_model.state_dict().items():
        assert torch.equal(value, encoder.state_dict()[name]), name


def test_the_pipeline_generates_without_a_size_or_a_warning(
    built: tuple[Path, dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        pipeline = StableDiffusionPipeline.from_pretrained(built[0] / "diffusion")
    assert not caplog.records
    pipeline.set_progress_bar_config(disable=True)

    def generate() -> Any:
        generator = torch.Generator().manual_seed(0)
        return pipeline("a photo of a star.", num_inference_steps=3, generator=generator).images[0]

    image = generate()
    assert image.size == (32, 32)
    assert image.tobytes() == generate().tobytes()


def test_a_finished_build_does_nothing_and_a_different_one_is_refused(
    built: tuple[Path, dict[str, Any]],
) -> None:
    folder, report = built
    stages: list[str] = []
    with listening(lambda now: stages.append(now.stage)):
        again = build(folder, scale=SCALE, threads=1)
    assert (again, stages) == (report, [])
    with pytest.raises(ValueError, match="another seed or scale"):
        build(folder, seed=1, scale=SCALE, threads=1)


def test_a_stage_that_is_missing_is_made_again(built: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = built
    weights = folder / "work" / "unet" / "diffusion_pytorch_model.safetensors"
    before = weights.read_bytes()
    for result in ("work/inputs.safetensors", "build.json"):
        (folder / result).unlink()
    for result in ("work/unet", "diffusion"):
        shutil.rmtree(folder / result)
    build(folder, scale=SCALE, threads=1)
    assert weights.read_bytes() == before
