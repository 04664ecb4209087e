"""Pipeline folders as they lie around: each is used, or refused with the way out, before work."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, HeunDiscreteScheduler, PNDMScheduler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from gift.synthesis import DiffusersGenerator

Change = Callable[[Path], object]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 605157884\n"
UNET = "unet/diffusion_pytorch_model.safetensors"


def write(name: str, content: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return change


def edit(name: str, **values: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def only(name: str, content: bytes = b"x") -> Change:
    def change(folder: Path) -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        write(name, content)(folder)

    return change


def both(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def in_sub_folder(folder: Path) -> None:
    folder.rename(folder.parent / "whole")
    folder.mkdir()
    (folder.parent / "whole").rename(folder / "sd")


def of_class(name: str) -> Change:
    return edit("model_index.json", _class_name=name)


REFUSED: dict[str, tuple[Change, str]] = {
    "one file": (only("v1-5.safetensors"), r"no model_index\.json.*from_single_file"),
    "a pickle": (only("v1-5.ckpt"), r"no model_index\.json.*checkpoint"),
    "adapters": (only("pytorch_lora_weights.safetensors"), r"holds adapters \(LoRA\)"),
    "a sub-folder": (in_sub_folder, "in a sub-folder; give .*copy/sd"),
    "a component": (
        both(only("x"), write("config.json", b'{"_class_name": "UNet2DConditionModel"}')),
        "one component, UNet2DConditionModel; give the folder above",
    ),
    "inpainting": (of_class("StableDiffusionInpaintPipeline"), r"fills in images \(inpainting\)"),
    "inpainting by another name": (
        edit("unet/config.json", in_channels=9),
        "takes 9 channels, but its images have 4.*inpainting",
    ),
    "an upscaler": (of_class("StableDiffusionUpscalePipeline"), "enlarges images"),
    "a video": (of_class("TextToVideoSDPipeline"), "generates videos"),
    "a refiner": (edit("model_index.json", requires_aesthetics_score=True), "it is a refiner"),
    "ONNX": (of_class("OnnxStableDiffusionPipeline"), "ONNX's format"),
    "no class": (of_class(""), r"cannot be loaded|names no class"),
    "weights by Git LFS": (write(UNET, POINTER), "unet: .* is a pointer of Git LFS"),
    "words by Git LFS": (write("tokenizer/tokenizer.json", POINTER), "tokenizer/.*a pointer"),
    "weights cut off": (lambda f: os.truncate(f / UNET, 999), "unet: .* is (cut off|no safe)"),
    "a damaged configuration": (
        write("text_encoder/config.json", b"{"),
        r"text_encoder/config\.json cannot be read",
    ),
    "another sampler's file": (
        edit("scheduler/scheduler_config.json", beta_schedule="none"),
        r"scheduler_config\.json cannot be used",
    ),
    "an unknown sampler": (
        edit("model_index.json", scheduler=["diffusers", "MyScheduler"]),
        "its scheduler is a MyScheduler",
    ),
}


@pytest.fixture
def copy(tiny_pipeline_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_pipeline_folder, tmp_path / "copy")


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_is_refused_before_any_weight_is_read(case: str, copy: Path) -> None:
    change, expected = REFUSED[case]
    change(copy)
    with pytest.raises(ValueError, match=expected) as caught:
        DiffusersGenerator(copy, steps=2).load()
    assert str(copy) in str(caught.value)


def test_everything_wrong_with_a_pipeline_is_told_at_once(copy: Path) -> None:
    write(UNET, POINTER)(copy)
    of_class("StableDiffusionInpaintPipeline")(copy)
    with pytest.raises(ValueError, match="3 problems") as caught:
        DiffusersGenerator(copy, steps=1000)
    assert all(word in str(caught.value) for word in ("Git LFS", "fills in", "steps = 1000"))


@pytest.mark.parametrize("tensor", ["conv_in.weight", "conv_out.bias"])
def test_weights_that_are_not_finite_are_refused_when_loaded(tensor: str, copy: Path) -> None:
    weights = load_file(copy / UNET)
    weights[tensor].view(-1)[0] = torch.nan
    save_file(weights, copy / UNET)
    with pytest.raises(ValueError, match=f"{tensor} of its unet is not finite in float32"):
        DiffusersGenerator(copy, steps=1).load()


def test_numbers_that_a_dtype_cannot_hold_are_refused(copy: Path) -> None:
    weights = load_file(copy / UNET)
    weights["conv_in.weight"].view(-1)[0] = 1e6
    save_file(weights, copy / UNET)
    with pytest.raises(ValueError, match=r"not finite in float16: .*try float32"):
        DiffusersGenerator(copy, steps=1, dtype="float16").load()


def image(generator: DiffusersGenerator) -> np.ndarray[Any, Any]:
    return np.asarray(generator.generate(["a cat"], [1])[0], dtype=int)


def test_weights_in_half_precision_alone_are_found(copy: Path, tiny_pipeline_folder: Path) -> None:
    for path in sorted(copy.rglob("*.safetensors")):
        halves = {name: value.half() for name, value in load_file(path).items()}
        save_file(halves, path.with_suffix(".fp16.safetensors"), {"format": "pt"})
    plain = DiffusersGenerator(copy, steps=1)
    assert plain._variant is None
    for path in copy.rglob("*.safetensors"):
        if "fp16" not in path.name:
            path.unlink()
    half = DiffusersGenerator(copy, steps=1)
    assert half._variant == "fp16"
    whole = image(DiffusersGenerator(tiny_pipeline_folder, steps=1))
    assert np.abs(image(half) - whole).max() <= 2


def test_a_hub_id_with_half_precision_alone_is_asked_for_it(monkeypatch) -> None:
    asked = []

    def refuse(source: str, **values: Any) -> None:
        asked.append(values["variant"])
        raise OSError("no plain weights" if values["variant"] is None else "no fp16 either")

    monkeypatch.setattr("diffusers.AutoPipelineForText2Image.from_pretrained", refuse)
    with pytest.raises(ValueError, match=r"a/b cannot be loaded .*no plain weights"):
        DiffusersGenerator("a/b").load()
    assert asked == [None, "fp16"]


def test_a_missing_safety_checker_is_no_fault_where_it_is_switched_off(prudish_folder, tmp_path):
    folder = shutil.copytree(prudish_folder, tmp_path / "free")
    shutil.rmtree(folder / "safety_checker")
    with pytest.raises(ValueError, match=r"safety_checker missing.*synthesis\.safety_checker"):
        DiffusersGenerator(folder, steps=1)
    free = DiffusersGenerator(folder, steps=1, safety_checker=False)
    assert image(free).any()
    shutil.rmtree(folder / "feature_extractor")
    assert image(DiffusersGenerator(folder, steps=1, safety_checker=False)).any()


def test_sd3_without_t5_generates_where_its_index_says_so(tiny_sd3_folder, tmp_path):
    folder = shutil.copytree(tiny_sd3_folder, tmp_path / "sd3")
    shutil.rmtree(folder / "text_encoder_3")
    shutil.rmtree(folder / "tokenizer_3")
    with pytest.raises(ValueError, match=r"3, tokenizer_3 missing.*\[null, null\] in model_index"):
        DiffusersGenerator(folder, steps=1)
    none = [None, None]
    edit("model_index.json", text_encoder_3=none, tokenizer_3=none)(folder)
    assert image(DiffusersGenerator(folder, steps=1)).any()


@pytest.mark.parametrize("scheduler", ["pndm", "ddim", "euler", "dpmpp", "lcm"])
def test_a_sampler_of_another_kind_is_refused(scheduler: str, tiny_sd3_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"another kind than .*FlowMatchEuler.*here: default\."):
        DiffusersGenerator(tiny_sd3_folder, steps=4, scheduler=scheduler)


def test_a_distilled_model_keeps_its_sampler(tiny_lcm_folder: Path) -> None:
    DiffusersGenerator(tiny_lcm_folder, steps=4, scheduler="lcm")
    with pytest.raises(ValueError, match=r"Allowed here: default, lcm\."):
        DiffusersGenerator(tiny_lcm_folder, steps=4, scheduler="euler")


@pytest.mark.parametrize(
    ("own", "scheduler", "steps", "possible"),
    [
        (PNDMScheduler(), "default", 3, "4, 8, 10"),
        (DDIMScheduler(), "pndm", 2, "4, 8, 10"),
        (PNDMScheduler(skip_prk_steps=True, steps_offset=1), "default", 1000, "1, 2, 4"),
        (DDIMScheduler(), "lcm", 51, "1, 2, 4, 8, 10, 20, 25, 50"),
        (DDIMScheduler(), "dpmpp", 1001, "1, 2, 4"),
    ],
)
def test_steps_that_a_sampler_cannot_take_are_refused(
    own: Any, scheduler: str, steps: int, possible: str, copy: Path
) -> None:
    own.save_pretrained(copy / "scheduler")
    edit("model_index.json", scheduler=["diffusers", type(own).__name__])(copy)
    state = torch.random.get_rng_state()
    with pytest.raises(ValueError, match=rf"steps = {steps} cannot .* instance {possible}"):
        DiffusersGenerator(copy, steps=steps, scheduler=scheduler)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_steps_that_a_sampler_can_take_pass(copy: Path) -> None:
    HeunDiscreteScheduler(steps_offset=1).save_pretrained(copy / "scheduler")
    edit("model_index.json", scheduler=["diffusers", "HeunDiscreteScheduler"])(copy)
    for scheduler, steps in (("default", 2), ("pndm", 4), ("ddim", 1), ("dpmpp", 1), ("lcm", 1)):
        assert image(DiffusersGenerator(copy, steps=steps, scheduler=scheduler)).any()


@pytest.mark.parametrize("name", ["hf-hub:a/b", "https://huggingface.co/a/b"])
def test_addresses_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"is an address, .* give 'a/b'"):
        DiffusersGenerator(name)


ANYTHING = st.sampled_from(
    [None, True, -1, 0, 3, 10**12, 0.5, float("nan"), "", "x\x1b[31m", [], [1], ["a", "b"], {}]
)
FILES = ["model_index.json", "unet/config.json", "vae/config.json"]
FILES += ["scheduler/scheduler_config.json", "text_encoder/config.json"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_configuration_is_named_or_loaded_later(
    data: st.DataObject, copy: Path
) -> None:
    """The checks before loading end with a message that names the folder, or pass."""
    path = copy / data.draw(st.sampled_from(FILES))
    whole = path.read_text()
    content = json.loads(whole)
    key = data.draw(st.sampled_from([*sorted(content), "text_encoder_2"]))
    path.write_text(json.dumps(content | {key: data.draw(ANYTHING)}))
    try:
        DiffusersGenerator(copy, steps=2)
        found = str(copy)
    except ValueError as error:
        found = str(error)
    finally:
        path.write_text(whole)
    assert str(copy) in found
    assert "\x1b" not in found
