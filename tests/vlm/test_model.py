import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    BertConfig,
    CLIPConfig,
    CLIPForImageClassification,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
    ViTConfig,
)

from gift.vlm import VisionLanguageModel

TEXTS = ["a photo of a cat.", "the picture", "a photo of a long-haired dog", ""]


def full_length_tokens(model: VisionLanguageModel, texts: list[str]) -> Tensor:
    """The tokens as CLIP's authors make them: all padded to the whole context."""
    encoded = model.tokenizer(
        texts, padding="max_length", truncation=True, max_length=32, return_tensors="pt"
    )
    tokens: Tensor = encoded.input_ids
    return tokens


def edit_config(folder: Path, **text_config: int) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= text_config
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture
def copied_folder(tiny_clip_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_clip_folder, tmp_path / "copy")


def test_embeddings_are_transformers_normalised(
    tiny_clip: VisionLanguageModel, tiny_clip_folder: Path
) -> None:
    reference = CLIPModel.from_pretrained(tiny_clip_folder).eval()
    pixels, tokens = torch.randn(3, 3, 32, 32), tiny_clip.tokenize(TEXTS)
    out = reference(input_ids=tokens, pixel_values=pixels)
    images, texts = tiny_clip.encode_images(pixels), tiny_clip.encode_texts(tokens)
    assert images.shape == (3, 16)
    assert texts.shape == (4, 16)
    torch.testing.assert_close(images, out.image_embeds)
    torch.testing.assert_close(texts, out.text_embeds)
    torch.testing.assert_close(images.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(tiny_clip.logit_scale * images @ texts.T, out.logits_per_image)


def test_only_the_temperature_is_frozen(tiny_clip: VisionLanguageModel) -> None:
    parameters = tiny_clip.trainable_parameters()
    frozen = [name for name, p in tiny_clip.named_parameters() if not p.requires_grad]
    assert frozen == ["towers.logit_scale"]
    assert all(p.requires_grad for p in parameters.values())
    assert list(parameters) == [n for n, _ in tiny_clip.towers.named_parameters()][1:]
    assert "logit_scale" not in parameters
    assert not any("position_ids" in name for name in parameters)
    assert not tiny_clip.training
    assert not tiny_clip.logit_scale.requires_grad
    assert tiny_clip.logit_scale.item() == pytest.approx(100, rel=1e-4)


def test_every_trainable_parameter_receives_a_gradient(tiny_clip: VisionLanguageModel) -> None:
    images = tiny_clip.encode_images(torch.randn(2, 3, 32, 32))
    texts = tiny_clip.encode_texts(tiny_clip.tokenize(TEXTS[:2]))
    (images * texts).sum().backward()
    missing = [n for n, p in tiny_clip.trainable_parameters().items() if p.grad is None]
    assert missing == []


def test_tokens_are_cut_to_the_longest_text(tiny_clip: VisionLanguageModel) -> None:
    assert tiny_clip.has_causal_text_tower
    tokens = tiny_clip.tokenize(TEXTS)
    longest = max(len(tiny_clip.tokenizer(text).input_ids) for text in TEXTS)
    assert tokens.shape == (4, longest)
    assert tokens.dtype == torch.int64
    assert torch.equal(tokens, full_length_tokens(tiny_clip, TEXTS)[:, :longest])


def test_a_text_beyond_the_context_keeps_its_end(tiny_clip: VisionLanguageModel) -> None:
    tokens = tiny_clip.tokenize(["z" * 100, "a"])
    end = tiny_clip.tokenizer.eos_token_id
    assert tokens.shape == (2, 32)
    assert tokens[0, -1] == end
    assert (tokens[0, :-1] != end).all()


def test_cutting_the_padding_changes_neither_embeddings_nor_gradients(
    tiny_clip_fp64: VisionLanguageModel,
) -> None:
    model, parameters = tiny_clip_fp64, tiny_clip_fp64.trainable_parameters()
    readout = torch.randn(len(TEXTS), 16, dtype=torch.float64)

    def run(tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        model.zero_grad()
        embeddings = model.encode_texts(tokens)
        (embeddings * readout).sum().backward()
        return embeddings.detach(), {
            name: p.grad.clone() for name, p in parameters.items() if p.grad is not None
        }

    cut, cut_grads = run(model.tokenize(TEXTS))
    full, full_grads = run(full_length_tokens(model, TEXTS))
    torch.testing.assert_close(cut, full, rtol=0, atol=1e-10)
    assert cut_grads.keys() == full_grads.keys()
    for name, grad in full_grads.items():
        torch.testing.assert_close(cut_grads[name], grad, rtol=0, atol=1e-10)
    positions = cut_grads["text_model.embeddings.position_embedding.weight"]
    length = model.tokenize(TEXTS).shape[1]
    assert positions.shape == (32, 32)
    assert (positions[length:] == 0).all()
    assert (positions[:length].abs().sum(dim=1) > 0).all()


def test_old_configurations_that_read_at_the_largest_token_agree(
    tiny_clip: VisionLanguageModel, copied_folder: Path
) -> None:
    edit_config(copied_folder, eos_token_id=2)
    old = VisionLanguageModel.from_pretrained(copied_folder)
    tokens = tiny_clip.tokenize(TEXTS)
    assert torch.equal(old.tokenize(TEXTS), tokens)
    torch.testing.assert_close(old.encode_texts(tokens), tiny_clip.encode_texts(tokens))


def test_a_text_tower_that_would_be_read_elsewhere_is_refused(copied_folder: Path) -> None:
    edit_config(copied_folder, eos_token_id=49407)
    with pytest.raises(ValueError, match=r"copy: .*token 49407 .* ends texts with 543"):
        VisionLanguageModel.from_pretrained(copied_folder)
    edit_config(copied_folder, eos_token_id=2)
    (copied_folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="copy"):
        VisionLanguageModel.from_pretrained(copied_folder)


def test_an_image_processor_of_another_size_is_refused(copied_folder: Path) -> None:
    file = copied_folder / "preprocessor_config.json"
    file.write_text(file.read_text().replace("32", "48"))
    with pytest.raises(ValueError, match=r"copy: .*48 pixels, but the image tower takes 32"):
        VisionLanguageModel.from_pretrained(copied_folder)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (BertConfig(), "bert"),
        (ViTConfig(), "vit"),
        (CLIPTextConfig(), "clip_text_model"),
        (CLIPVisionConfig(), "clip_vision_model"),
    ],
)
def test_other_kinds_of_model_are_refused(
    config: BertConfig | ViTConfig | CLIPTextConfig | CLIPVisionConfig, found: str, tmp_path: Path
) -> None:
    config.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"of type '{found}'.*allowed types: clip"):
        VisionLanguageModel.from_pretrained(tmp_path)


def test_half_a_two_tower_model_is_refused(
    tiny_clip_config: CLIPConfig, copied_folder: Path
) -> None:
    CLIPForImageClassification(tiny_clip_config).save_pretrained(copied_folder)
    with pytest.raises(ValueError, match=r"of its weights are missing, logit_scale among them"):
        VisionLanguageModel.from_pretrained(copied_folder)


def test_places_without_a_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere; give the folder"):
        VisionLanguageModel.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no folder nobody/nothing, and the Hugging Face hub"):
        VisionLanguageModel.from_pretrained("nobody/nothing")
    with pytest.raises(ValueError, match=r"no config\.json"):
        VisionLanguageModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("file", ["model.safetensors", "preprocessor_config.json"])
def test_incomplete_folders_are_refused(copied_folder: Path, file: str) -> None:
    (copied_folder / file).write_bytes(b"cut off")
    with pytest.raises(ValueError, match=rf"copy: {file} .*copy it again"):
        VisionLanguageModel.from_pretrained(copied_folder)
    (copied_folder / file).unlink()
    with pytest.raises(ValueError, match=r"copy: .*(missing, so|no weights as safetensors)"):
        VisionLanguageModel.from_pretrained(copied_folder)


def test_half_precision_checkpoints_load_quietly_in_single(
    copied_folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    file = copied_folder / "model.safetensors"
    weights = {name: value.half() for name, value in load_file(file).items()}
    # Checkpoints from before transformers 4.31 hold this buffer, too.
    weights["text_model.embeddings.position_ids"] = torch.arange(32)[None]
    save_file(weights, file, metadata={"format": "pt"})
    with caplog.at_level(logging.WARNING):
        model = VisionLanguageModel.from_pretrained(copied_folder)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_saved_model_is_an_ordinary_folder(
    tiny_clip: VisionLanguageModel, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "model"
    with torch.no_grad():
        for parameter in tiny_clip.trainable_parameters().values():
            parameter.add_(0.01)
    tiny_clip.save_pretrained(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    weights = load_file(folder / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}

    model, again = CLIPModel.from_pretrained(folder), VisionLanguageModel.from_pretrained(folder)
    for name, parameter in tiny_clip.towers.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name))
        assert torch.equal(parameter, again.towers.get_parameter(name))
    assert again.preprocess == tiny_clip.preprocess
    image = Image.fromarray(np.arange(48 * 40 * 3, dtype=np.uint8).reshape(48, 40, 3))
    ours = tiny_clip.preprocess.normalize(
        torch.from_numpy(tiny_clip.preprocess.test_array(image))[None]
    )
    processor = CLIPProcessor.from_pretrained(folder)
    inputs = processor(text=TEXTS, images=image, padding=True, return_tensors="pt")
    assert torch.equal(inputs.input_ids, tiny_clip.tokenize(TEXTS))
    assert torch.equal(
        AutoTokenizer.from_pretrained(folder)(TEXTS[0], return_tensors="pt").input_ids,
        tiny_clip.tokenize(TEXTS[:1]),
    )
    # Where torchvision is installed, these two use it, and its bicubic filter rounds differently.
    auto = AutoImageProcessor.from_pretrained(folder)(image, return_tensors="pt")
    for pixels in (inputs.pixel_values, auto.pixel_values):
        torch.testing.assert_close(pixels, ours, rtol=0, atol=0.05)

    processor.save_pretrained(tmp_path / "by-processor")
    tiny_clip.towers.save_pretrained(tmp_path / "by-processor")
    other = VisionLanguageModel.from_pretrained(tmp_path / "by-processor")
    assert other.preprocess == tiny_clip.preprocess


def test_saving_is_all_or_nothing(
    tiny_clip: VisionLanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    tiny_clip.save_pretrained(tmp_path / "empty")
    with pytest.raises(FileExistsError, match="is not empty"):
        tiny_clip.save_pretrained(tmp_path / "empty")

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(tiny_clip.tokenizer, "save_pretrained", full_disk)
    with pytest.raises(OSError, match="no space"):
        tiny_clip.save_pretrained(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_frozen_copy_stays_as_it_is(tiny_clip: VisionLanguageModel) -> None:
    tiny_clip.train()
    teacher = tiny_clip.frozen_copy()
    pixels = torch.randn(2, 3, 32, 32)
    before = teacher.encode_images(pixels)
    torch.testing.assert_close(before, tiny_clip.encode_images(pixels))
    with torch.no_grad():
        for parameter in tiny_clip.parameters():
            parameter.mul_(2)
    assert torch.equal(teacher.encode_images(pixels), before)
    assert not before.requires_grad
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(module.training for module in teacher.train(True).modules())
    assert tiny_clip.training
    assert tiny_clip.towers.training
    assert all(p.requires_grad for p in tiny_clip.trainable_parameters().values())


@pytest.mark.slow
def test_a_full_size_model_loads_and_encodes(
    tmp_path: Path, save_clip: Callable[[Path, CLIPConfig], None]
) -> None:
    save_clip(tmp_path / "vit-b-16", CLIPConfig(vision_config={"patch_size": 16}))
    model = VisionLanguageModel.from_pretrained(tmp_path / "vit-b-16")
    assert sum(p.numel() for p in model.parameters()) == 149_620_737  # as in the paper's model
    assert sum(p.numel() for p in model.trainable_parameters().values()) == 149_620_736
    image = Image.fromarray(np.arange(300 * 260 * 3, dtype=np.uint8).reshape(300, 260, 3))
    pixels = torch.from_numpy(model.preprocess.test_array(image))[None]
    with torch.no_grad():
        images = model.encode_images(model.preprocess.normalize(pixels))
        texts = model.encode_texts(model.tokenize(["a photo of a cat.", "a photo of a dog."]))
    assert images.shape == (1, 512)
    torch.testing.assert_close(F.normalize(texts), texts)
    assert texts.shape == (2, 512)
