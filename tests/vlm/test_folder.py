"""Model folders as they lie around: each is opened, or refused with its format and the way out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from gift.vlm import VisionLanguageModel

Change = Callable[[Path], object]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 605157884\n"
VECTOR = "vision_model.post_layernorm.bias"


def opened(folder: Path | str) -> VisionLanguageModel:
    return VisionLanguageModel.from_pretrained(folder)


def message(folder: Path | str) -> str:
    with pytest.raises(ValueError, match=":") as caught:
        opened(folder)
    return str(caught.value)


def outcome(folder: Path) -> VisionLanguageModel | str:
    """The model, or the message of its refusal."""
    try:
        return opened(folder)
    except ValueError as error:
        return str(error)


def write(name: str, content: bytes | str | dict[str, Any]) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        text = json.dumps(content) if isinstance(content, dict) else content
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    return change


def edit(name: str, part: str | None = None, **values: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text())
        (content[part] if part else content).update(values)
        path.write_text(json.dumps(content))

    return change


def weights(change: Callable[[dict[str, Tensor]], object]) -> Change:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return apply


def rename(old: str, new: str) -> Change:
    return lambda folder: (folder / old).rename(folder / new)


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    os.truncate(path, path.stat().st_size - 5)


def into_sub_folder(name: str) -> Change:
    def change(folder: Path) -> None:
        shutil.copytree(folder, folder.parent / "whole")
        shutil.rmtree(folder)
        (folder / name).parent.mkdir(parents=True)
        (folder.parent / "whole").rename(folder / name)

    return change


def both(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def only(name: str, content: bytes | str | dict[str, Any] = b"x") -> Change:
    def change(folder: Path) -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        write(name, content)(folder)

    return change


def without_end_token(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["post_processor"] = None
    path.write_text(json.dumps(content))


FOLDERS: dict[str, tuple[Change, str]] = {
    "adapters beside the weights": (
        write("adapter_config.json", {"peft_type": "LORA", "r": 4}),
        "adapters .* beside the weights.*move them away.*merge",
    ),
    "adapters alone": (
        only("adapter_config.json", {"base_model_name_or_path": "openai/clip"}),
        r"adapters \(LoRA\) of another model \(openai/clip\).*merge_and_unload",
    ),
    "OpenCLIP's configuration": (
        only("open_clip_config.json", {"model_cfg": {}}),
        "OpenCLIP's format.*openai/clip-vit-base-patch16",
    ),
    "OpenCLIP's checkpoint": (only("ViT-B-32.pt"), "checkpoint as OpenCLIP.*laion/CLIP"),
    "sentence-transformers": (
        both(into_sub_folder("0_CLIPModel"), write("modules.json", "[]")),
        "sentence-transformers.*give .*clip/0_CLIPModel",
    ),
    "a folder of the hub's cache": (
        into_sub_folder("snapshots/0123abcd"),
        "hub's cache.*give .*snapshots/0123abcd",
    ),
    "a training script's output": (
        into_sub_folder("checkpoint-500"),
        "in a sub-folder; give .*checkpoint-500",
    ),
    "a learner": (into_sub_folder("learner/model"), "it is a learner.*give .*learner/model"),
    "a pipeline": (
        only("model_index.json", {"_class_name": "StableDiffusionPipeline"}),
        "diffusers pipeline.*as the generator",
    ),
    "ONNX": (only("model.onnx"), "model.onnx is in ONNX's format"),
    "images": (only("cat/1.png"), "no config.json.*save_pretrained"),
    "BLIP": (edit("config.json", model_type="blip"), "of type 'blip'.*allowed types: clip"),
    "no type": (edit("config.json", model_type=[1]), r"of type '\[1\]'|of type \[1\]"),
    "weights by Git LFS": (write("model.safetensors", POINTER), r"model\.safetensors is a pointer"),
    "tokenizer by Git LFS": (
        write("tokenizer.json", POINTER),
        r"tokenizer\.json is a pointer .*lfs",
    ),
    "weights cut off": (cut_off, r"model\.safetensors is cut off: \d+ of \d+ bytes"),
    "damaged weights": (write("model.safetensors", b"\xff" * 50), "no safetensors file"),
    "no weights": (rename("model.safetensors", "other.safetensors"), "no weights as safetensors"),
    "half precision alone": (
        rename("model.safetensors", "model.fp16.safetensors"),
        r"called model\.fp16\.safetensors; rename the file to model\.safetensors",
    ),
    "a missing shard": (
        both(
            rename("model.safetensors", "model-00001-of-00002.safetensors"),
            write(
                "model.safetensors.index.json",
                {"weight_map": {n: f"model-0000{n}-of-00002.safetensors" for n in "12"}},
            ),
        ),
        r"1 of 2 files .* missing, model-00002-of-00002\.safetensors",
    ),
    "shards elsewhere": (
        both(
            rename("model.safetensors", "x.safetensors"),
            write("model.safetensors.index.json", {"weight_map": {"a": "../../x.safetensors"}}),
        ),
        r"names \.\./\.\./x\.safetensors, which is no file beside it",
    ),
    "quantised": (edit("config.json", quantization_config={"bits": 4}), "are quantised"),
    "another width": (
        edit("config.json", "vision_config", hidden_size=64),
        r"vision_config\.hidden_size = 64, but the weights have 32",
    ),
    "another depth": (
        edit("config.json", "text_config", num_hidden_layers=10**9),
        r"text_config\.num_hidden_layers = 1000000000, but the weights have 2",
    ),
    "another vocabulary": (
        edit("config.json", "text_config", vocab_size=600),
        r"text_config\.vocab_size = 600, but the weights have 544",
    ),
    "another projection": (edit("config.json", projection_dim=8), "projection_dim = 8, .* have 16"),
    "other images": (
        edit("config.json", "vision_config", image_size=64),
        "image_size = 64 and patch_size = 16, which are 17 positions, but the weights have 5",
    ),
    "heads that do not divide": (
        edit("config.json", "text_config", num_attention_heads=5),
        r"config\.json (says .*num_attention_heads = 5|cannot be used .*attention heads)",
    ),
    "a scale in brackets": (
        weights(lambda w: w.update(logit_scale=w["logit_scale"].reshape(1))),
        r"logit_scale has the shape \[1\].*reshape\(\(\)\)",
    ),
    "a size of another kind": (
        edit("config.json", "vision_config", patch_size="large"),
        r"config\.json cannot be used",
    ),
    "a configuration that is a list": (write("config.json", "[]"), r"config\.json holds no JSON"),
    "deep JSON": (write("config.json", "[" * 10**5), r"config\.json cannot be read"),
    "no image processor": (
        rename("preprocessor_config.json", "other.json"),
        r"preprocessor_config\.json is missing.*copy it",
    ),
    "no tokenizer": (rename("tokenizer.json", "other.json"), r"no tokenizer \(tokenizer\.json\)"),
    "a pipe": (
        both(rename("tokenizer.json", "t"), lambda f: os.mkfifo(f / "tokenizer.json")),
        r"tokenizer\.json is no regular file",
    ),
    "weights that are NaN": (
        weights(lambda w: w[VECTOR][3].fill_(torch.nan)),
        rf"1 of its weights hold .* not finite .*{VECTOR}",
    ),
    "infinite weights": (weights(lambda w: w[VECTOR][3].fill_(torch.inf)), "not finite"),
    "a missing weight": (weights(lambda w: w.pop(VECTOR)), f"missing, {VECTOR} among them"),
    "a scale that overflows": (
        weights(lambda w: w["logit_scale"].fill_(100.0)),
        r"logit_scale is 100, .*natural logarithm, such as 4\.6052",
    ),
    "a negative scale": (weights(lambda w: w["logit_scale"].fill_(-9.0)), "logit_scale is -9"),
    "mean of bytes": (
        edit("preprocessor_config.json", image_mean=[122.0, 116.0, 104.0]),
        r"image_mean = .*divide by 255",
    ),
    "std of nothing": (
        edit("preprocessor_config.json", image_std=[0.0, 0.2, 0.2]),
        r"image_std = \[0\.0, .*from 0\.01 to 1",
    ),
    "std that is NaN": (
        edit("preprocessor_config.json", image_std=[float("nan"), 0.2, 0.2]),
        r"image_std = \[nan",
    ),
    "one mean": (edit("preprocessor_config.json", image_mean=[0.5]), "has 1 numbers as image_mean"),
    "an unknown filter": (edit("preprocessor_config.json", resample=9), "resample = 9"),
    "padding at the beginning": (
        edit("tokenizer_config.json", padding_side="left"),
        "pads texts at their beginning.*padding_side to 'right'",
    ),
    "cutting at the beginning": (
        edit("tokenizer_config.json", truncation_side="left"),
        "does not cut long texts at their end",
    ),
    "nothing to pad with": (edit("tokenizer_config.json", pad_token=None), "cannot make tokens"),
}


@pytest.fixture
def clip(tiny_clip_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_clip_folder, tmp_path / "clip")


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_is_refused_with_its_format_and_the_way_out(case: str, clip: Path) -> None:
    change, expected = FOLDERS[case]
    change(clip)
    with pytest.raises(ValueError, match=expected) as caught:
        opened(clip)
    assert str(clip) in str(caught.value)


def test_everything_wrong_with_a_folder_is_told_at_once(clip: Path) -> None:
    edit("config.json", "vision_config", hidden_size=64)(clip)
    write("adapter_config.json", {})(clip)
    write("tokenizer.json", POINTER)(clip)
    found = message(clip)
    assert "3 problems" in found
    assert all(word in found for word in ("hidden_size", "adapters", "Git LFS"))
    assert found.count("\n  - ") == 3


def test_numbers_out_of_range_are_told_together(clip: Path) -> None:
    weights(lambda w: w["logit_scale"].fill_(100.0))(clip)
    edit("preprocessor_config.json", image_mean=[9.0] * 3, image_std=[9.0] * 3)(clip)
    edit("tokenizer_config.json", padding_side="left")(clip)
    found = message(clip)
    assert all(w in found for w in ("logit_scale", "image_mean", "image_std", "padding_side"))


def test_weights_that_sum_up_to_infinity_are_finite(clip: Path) -> None:
    weights(lambda w: w[VECTOR].fill_(3e38))(clip)
    assert opened(clip).towers.get_parameter(VECTOR).isfinite().all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf-hub:laion/CLIP-ViT-B-32", "give 'laion/CLIP-ViT-B-32'"),
        ("https://huggingface.co/openai/clip", "give 'openai/clip'"),
        ("hf://openai/clip", "give 'openai/clip'"),
        ("ViT-B/32", "OpenAI's name.*openai/clip-vit-base-patch32"),
        ("ViT-B-32", "looks like OpenCLIP's.*laion/CLIP"),
        ("ViT-B-32/laion2b_s34b_b79k", "looks like OpenCLIP's.*laion/CLIP"),
        ("no/such/folder", "there is no folder no/such/folder"),
    ],
)
def test_names_of_other_libraries_are_known(name: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        opened(name)


def test_a_hub_id_in_the_format_of_another_library_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_config(*_: object, **__: object) -> None:
        raise OSError("timm/ViT does not appear to have a file named config.json. Checkout ...")

    monkeypatch.setattr("gift.vlm.folder.PreTrainedConfig.get_config_dict", no_config)
    with pytest.raises(ValueError, match=r"timm/ViT is on the hub, but not .*laion/CLIP"):
        opened("timm/ViT")


@pytest.mark.parametrize("name", ["ViT-B-32.pt", "model.safetensors", "model.onnx"])
def test_a_file_in_place_of_a_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert "is no model folder: " in message(tmp_path / name)


def test_an_attention_that_is_not_installed_is_not_asked_for(clip: Path) -> None:
    for name in ("attn_implementation", "_attn_implementation"):
        edit("config.json", **{name: "flash_attention_2"})(clip)
        edit("config.json", "vision_config", **{name: "flash_attention_2"})(clip)
    assert opened(clip).towers.vision_model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("family", ["openai", "metaclip_2", "siglip", "siglip2"])
def test_a_tokenizer_that_adds_no_end_token_is_refused(
    family: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders[family], tmp_path / family)
    without_end_token(folder)
    found = outcome(folder)
    if isinstance(found, str):
        assert "does not end a text with its end token" in found
    else:  # some classes of transformers add the tokens whatever the file says
        tokens = found.tokenize(["a cat."])
        assert torch.equal(tokens, opened(folders[family]).tokenize(["a cat."]))


@pytest.mark.parametrize("family", ["siglip", "siglip2"])
def test_padding_at_the_beginning_is_refused_where_padding_is_seen(
    family: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders[family], tmp_path / family)
    edit("tokenizer_config.json", padding_side="left")(folder)
    with pytest.raises(ValueError, match="pads texts at their beginning"):
        opened(folder)


def test_opening_leaves_no_trace_in_the_tokenizer(tiny_clip_folder: Path, tmp_path: Path) -> None:
    opened(tiny_clip_folder).save_pretrained(tmp_path / "saved")
    content = json.loads((tmp_path / "saved/tokenizer.json").read_text())
    assert content["truncation"] is None
    assert content["padding"] is None


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.sampled_from([10**6, 10**12, 0.5, float("nan"), "", "gelu", "a\x1b[31m", [], [1], {}]),
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_configuration_is_named_or_harmless(
    data: st.DataObject, clip: Path
) -> None:
    """The model opens and its features are finite, or the message names the folder."""
    files = ["config.json", "preprocessor_config.json", "tokenizer_config.json"]
    path = clip / data.draw(st.sampled_from(files))
    whole = path.read_text()
    try:
        content = json.loads(whole)
        parts = [content, *(value for value in content.values() if isinstance(value, dict))]
        part = data.draw(st.sampled_from(parts))
        key = data.draw(st.sampled_from([*sorted(part), "attn_implementation", "auto_map"]))
        if data.draw(st.booleans()):
            part[key] = data.draw(ANYTHING)
        else:
            part.pop(key, None)
        path.write_text(json.dumps(content))
        model = outcome(clip)
    finally:
        path.write_text(whole)
    if isinstance(model, str):
        assert str(clip) in model
        assert "\x1b" not in model
    else:
        side = model.preprocess.size
        assert model.encode_texts(model.tokenize(["a cat."])).isfinite().all()
        assert model.encode_images(torch.zeros(1, 3, side, side)).isfinite().all()
