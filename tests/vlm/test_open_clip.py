"""OpenCLIP's checkpoints become model folders that compute the same."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import CLIPModel
from vlm.plain_open_clip import OpenClip

from gift.commands import import_open_clip
from gift.export.licence import licence_of
from gift.vlm import VisionLanguageModel

CONTEXT = 32


def cfg(**changes):
    """A small configuration; ``vision`` and ``text`` are laid over their parts."""
    vision = {"image_size": 24, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8}
    text = {"context_length": CONTEXT, "vocab_size": 544, "width": 16, "heads": 2, "layers": 3}
    vision |= changes.pop("vision", {})
    text |= changes.pop("text", {})
    return {"embed_dim": 12, "vision_cfg": vision, "text_cfg": text, **changes}


@pytest.fixture
def save(tmp_path, tiny_clip_folder):
    """Writes ``theirs`` as open_clip's push to the hub does; returns the model."""

    def write(model_cfg, *, state=None, preprocess=None):
        folder = tmp_path / "theirs"
        folder.mkdir(exist_ok=True)
        model = new(model_cfg) if state is None else None
        tensors = model.state_dict() if state is None else state
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / SAFE)
        values = {"model_cfg": model_cfg, "preprocess_cfg": preprocess or {}}
        (folder / "open_clip_config.json").write_text(json.dumps(values))
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tiny_clip_folder / name, folder)
        return model

    return write


def new(model_cfg):
    """A random OpenCLIP; of one shape, always the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return OpenClip(model_cfg).eval()


SAFE, PICKLED = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"


def same(model, out):
    """Whether a model folder gives the features of an OpenCLIP."""
    ours = VisionLanguageModel.from_pretrained(out)
    size = ours.preprocess.size
    pixels = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(2))
    tokens = ours.tokenize(["a photo of a cat", "the dog", "of"])
    padded = F.pad(tokens, (0, CONTEXT - tokens.shape[1]))
    for row, end in zip(padded, (tokens == 543).int().argmax(dim=1).tolist(), strict=True):
        row[end + 1 :] = 0  # with which OpenCLIP pads
    with torch.no_grad():
        images = F.normalize(model.encode_image(pixels), dim=-1)
        texts = F.normalize(model.encode_text(padded), dim=-1)
        torch.testing.assert_close(ours.encode_images(pixels), images, rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.encode_texts(tokens), texts, rtol=0, atol=1e-5)
        plain = CLIPModel.from_pretrained(out)
        found = plain.get_image_features(pixel_values=pixels).pooler_output
        torch.testing.assert_close(F.normalize(found, dim=-1), images, rtol=0, atol=1e-5)
    assert float(ours.logit_scale) == pytest.approx(model.logit_scale.exp().item())


@pytest.mark.parametrize(
    "model_cfg",
    [
        cfg(),
        cfg(quick_gelu=True),
        cfg(vision={"mlp_ratio": 2.5, "norm_kwargs": {"eps": 1e-2}}, text={"mlp_ratio": 3.0}),
        cfg(text={"norm_kwargs": {"eps": 1e-2}}),
    ],
    ids=["gelu", "quick-gelu", "vision", "text"],
)
def test_the_features_are_equal(model_cfg, save, tmp_path):
    model = save(model_cfg)
    done = import_open_clip(tmp_path / "theirs", tmp_path / "ours")
    assert (done.folder, done.image_size) == (tmp_path / "ours", 24)
    assert done.parameters == sum(p.numel() for p in model.parameters()) - 1
    same(model, done.folder)


def test_the_activation_is_not_taken_for_the_other(save, tmp_path):
    save(cfg())
    import_open_clip(tmp_path / "theirs", tmp_path / "ours")
    with pytest.raises(AssertionError, match="not close"):
        same(new(cfg(quick_gelu=True)), tmp_path / "ours")


def test_preprocessing_is_taken_over(save, tmp_path):
    steps = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]}
    save(cfg(), preprocess=steps | {"interpolation": "bilinear"})
    import_open_clip(tmp_path / "theirs", tmp_path / "ours")
    found = VisionLanguageModel.from_pretrained(tmp_path / "ours").preprocess
    assert (found.mean, found.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    assert (found.resample, found.resize) == (2, "shorter-side")
    save(cfg(), preprocess={"resize_mode": "squash"})
    import_open_clip(tmp_path / "theirs", tmp_path / "squashed")
    found = VisionLanguageModel.from_pretrained(tmp_path / "squashed").preprocess
    assert (found.resize, found.resample, round(found.mean[0], 3)) == ("squash", 3, 0.481)


def test_a_checkpoint_of_a_training_is_read(save, tmp_path):
    model = save(cfg())
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    state["module.attn_mask"] = model.attn_mask
    checkpoint = {"epoch": 3, "name": "x", "state_dict": state, "optimizer": {"state": {}}}
    torch.save(checkpoint, tmp_path / "epoch_3.pt")
    (tmp_path / "theirs" / SAFE).unlink()
    import_open_clip(
        tmp_path / "epoch_3.pt",
        tmp_path / "ours",
        config=tmp_path / "theirs" / "open_clip_config.json",
        tokenizer=tmp_path / "theirs",
    )
    same(model, tmp_path / "ours")


def test_a_model_with_a_text_tower_of_its_own_is_read(save, tmp_path):
    model = save(cfg())
    state = {
        key if key.startswith(("visual.", "logit")) else f"text.{key}": value
        for key, value in model.state_dict().items()
    }
    save(cfg(custom_text=True), state=state)
    import_open_clip(tmp_path / "theirs", tmp_path / "ours")
    same(model, tmp_path / "ours")


def test_weights_in_a_pickle_of_tensors_are_read(save, tmp_path):
    model = save(cfg())
    torch.save(model.state_dict(), tmp_path / "theirs" / PICKLED)
    (tmp_path / "theirs" / SAFE).unlink()
    import_open_clip(tmp_path / "theirs", tmp_path / "ours")
    same(model, tmp_path / "ours")


class Harm:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_a_pickle_with_a_program_is_refused(save, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(cfg())
    (tmp_path / "theirs" / SAFE).unlink()
    weights = tmp_path / "theirs" / PICKLED
    for write in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        write({"logit_scale": Harm()}, weights)
        with pytest.raises(ValueError, match="cannot be read as tensors alone"):
            import_open_clip(tmp_path / "theirs", tmp_path / "ours")
    assert not list(tmp_path.rglob("harmed"))
    assert not (tmp_path / "ours").exists()


def test_a_torchscript_program_is_refused(save, tmp_path):
    save(cfg())
    (tmp_path / "theirs" / SAFE).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit itself
        torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "theirs" / PICKLED)
    with pytest.raises(ValueError, match=r"TorchScript program.*openai/clip-vit-base-patch16"):
        import_open_clip(tmp_path / "theirs", tmp_path / "ours")


UNSUPPORTED = {
    "timm": (cfg(vision={"timm_model_name": "convnext_base"}), "timm_model_name = 'convnext_base'"),
    "resnet": (cfg(vision={"layers": [3, 4, 6, 3]}), "vision_cfg.layers"),
    "average": (cfg(vision={"pool_type": "avg", "no_ln_pre": True}), "vision_cfg.pool_type"),
    "no_ln_pre": (cfg(vision={"no_ln_pre": True}), "no_ln_pre = True"),
    "attention": (cfg(vision={"attentional_pool": True}), "attentional_pool = True"),
    "layer scale": (cfg(text={"ls_init_value": 1e-5}), "ls_init_value = 1e-05"),
    "hf text": (cfg(text={"hf_model_name": "roberta-base"}), "hf_model_name = 'roberta-base'"),
    "coca": (cfg(multimodal_cfg={"layers": 2}), "multimodal_cfg"),
    "eos": (cfg(text={"pool_type": "eos", "eos_id": 2}), "text_cfg.pool_type"),
    "bidirectional": (cfg(text={"no_causal_mask": True}), "no_causal_mask = True"),
    "sigmoid": (cfg(init_logit_bias=-10), "init_logit_bias = -10"),
    "not square": (cfg(vision={"image_size": [24, 32]}), "is not square"),
    "heads": (cfg(vision={"head_width": 7}), "head_width = 7 does not divide"),
    "no width": (cfg(text={"width": "a\nb"}), "text_cfg.width"),
    "other tokens": (cfg(text={"vocab_size": 600}), "ends texts with 543"),
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_other_architectures_are_refused_by_name(what, save, tmp_path):
    model_cfg, message = UNSUPPORTED[what]
    save(model_cfg, state=new(cfg()).state_dict())
    with pytest.raises(ValueError, match=message):
        import_open_clip(tmp_path / "theirs", tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_weights_that_do_not_fit_are_told_at_once(save, tmp_path):
    state = new(cfg()).state_dict()
    state["visual.proj"] = state["visual.proj"][:, :-1]
    state["transformer.resblocks.0.ls_1.gamma"] = torch.ones(16)
    del state["ln_final.bias"]
    save(cfg(), state=state)
    with pytest.raises(ValueError, match="3 problems") as refused:
        import_open_clip(tmp_path / "theirs", tmp_path / "ours")
    message = str(refused.value)
    assert "1 weights are missing, ln_final.bias among them" in message
    assert "transformer.resblocks.0.ls_1.gamma among them" in message
    assert "visual_projection.weight has the shape [11, 32], and [12, 32]" in message


def test_missing_files_are_told_at_once(tmp_path):
    (tmp_path / "theirs").mkdir()
    with pytest.raises(ValueError, match="3 problems") as refused:
        import_open_clip(tmp_path / "theirs", tmp_path / "ours")
    for name in (SAFE, "--config FILE", "openai/clip-vit-base-patch32"):
        assert name in str(refused.value)
    with pytest.raises(ValueError, match="hf download ID"):
        import_open_clip(tmp_path / "nowhere", tmp_path / "ours")


def test_damaged_files_are_refused(save, tmp_path):
    save(cfg())
    shutil.copytree(tmp_path / "theirs", tmp_path / "cut")
    with (tmp_path / "cut" / SAFE).open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(ValueError, match="cannot be read as tensors alone"):
        import_open_clip(tmp_path / "cut", tmp_path / "ours")
    (tmp_path / "theirs" / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"the tokenizer in .* cannot be read"):
        import_open_clip(tmp_path / "theirs", tmp_path / "ours")


def test_the_licence_goes_along(save, tmp_path):
    save(cfg())
    (tmp_path / "theirs" / "README.md").write_text("---\nlicense: apple-amlr\n---\n")
    assert import_open_clip(tmp_path / "theirs", tmp_path / "ours").licence == "apple-amlr"
    assert licence_of(str(tmp_path / "ours")) == "apple-amlr"
    with pytest.raises(ValueError, match="ours exists"):
        import_open_clip(tmp_path / "theirs", tmp_path / "ours")
