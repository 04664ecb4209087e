"""Every supported family: what comes from the checkpoint, what is refused, and that it trains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import NoiseImages, words
from torch.autograd.graph import saved_tensors_hooks
from transformers import (
    AutoModel,
    AutoProcessor,
    SiglipConfig,
    SiglipForImageClassification,
    ViTImageProcessorPil,
)
from vlm import families

from gift.config import TrainingSettings
from gift.data.loader import ImageTexts
from gift.losses import (
    alignment_targets,
    classification,
    contrastive_distillation,
    image_text_alignment,
    similarity,
)
from gift.methods import TaskContext, create_method
from gift.train import train_task
from gift.vlm import VisionLanguageModel, encode_all_texts, trim
from gift.weights import normalization_groups

SIGMOID = ["siglip", "siglip2"]
TEXTS = ["a photo of a cat.", "the picture", "a", ""]


@pytest.fixture(params=families.FAMILIES)
def folder(request, folders) -> Path:
    return folders[request.param]


@pytest.fixture
def model(folder) -> VisionLanguageModel:
    return VisionLanguageModel.from_pretrained(folder)


@pytest.fixture
def copied(folders, tmp_path):
    """A function that gives a family's folder to change."""
    return lambda family: shutil.copytree(folders[family], tmp_path / family)


def edit(file: Path, part: str | None = None, **changes: Any) -> None:
    config = json.loads(file.read_text())
    (config[part] if part else config).update(changes)
    file.write_text(json.dumps(config))


def picture(width: int = 51, height: int = 40) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixels_of(model: VisionLanguageModel, image: Image.Image) -> torch.Tensor:
    return model.preprocess.normalize(torch.from_numpy(model.preprocess.test_array(image))[None])


def test_logits_are_those_of_plain_transformers(folder, model):
    """Image, tokens, activation, scale and bias: everything as the checkpoint's own processor."""
    image = picture(52)  # its centre is no half pixel, which transformers rounds otherwise
    reference = AutoModel.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    context = reference.config.text_config.max_position_embeddings
    inputs = processor(
        text=TEXTS, images=image, padding="max_length", max_length=context, return_tensors="pt"
    )
    ours = pixels_of(model, image)
    # Where torchvision is installed, the processor uses it, and its filters round differently.
    torch.testing.assert_close(inputs.pixel_values, ours, rtol=0, atol=0.05)
    tokens = model.tokenize(TEXTS)
    assert torch.equal(inputs.input_ids[:, : tokens.shape[1]], tokens)
    with torch.no_grad():
        wanted = reference(input_ids=inputs.input_ids, pixel_values=ours).logits_per_image
        features = model.encode_images(ours), model.encode_texts(tokens)
    bias = dict(reference.named_parameters()).get("logit_bias", torch.zeros(()))
    torch.testing.assert_close(similarity(*features, model.logit_scale) + bias.detach(), wanted)
    assert model.logit_scale.shape == ()


def test_the_towers_are_trained_and_the_logit_scalars_are_not(model):
    names = [name for name, _ in model.towers.named_parameters()]
    scalars = {"logit_scale", "logit_bias"} & set(names)
    assert list(model.trainable_parameters()) == [name for name in names if name not in scalars]
    frozen = {name for name, p in model.towers.named_parameters() if not p.requires_grad}
    assert frozen == scalars

    side = model.preprocess.size
    images = model.encode_images(torch.randn(2, 3, side, side))
    (images * model.encode_texts(model.tokenize(TEXTS[:2]))).sum().backward()
    assert [n for n, p in model.trainable_parameters().items() if p.grad is None] == []


def test_query_key_and_value_share_a_mean(model):
    groups = normalization_groups(model.trainable_parameters())
    fused = [group for group in groups if len(group) > 1]
    layers = 2 * families.LAYERS
    assert len(fused) == 2 * layers  # weights and biases of both towers
    for group in fused:
        assert [name.split(".")[-2] for name in group] == ["k_proj", "v_proj", "q_proj"]
        assert len({name.split("self_attn")[0] for name in group}) == 1
    assert (
        sum(len(group) == 1 for group in groups) == len(model.trainable_parameters()) - 6 * layers
    )


@pytest.mark.parametrize("family", SIGMOID)
def test_a_tower_that_sees_the_padding_always_gets_the_whole_context(folders, family):
    model = VisionLanguageModel.from_pretrained(folders[family])
    assert not model.has_causal_text_tower
    tokens = model.tokenize(TEXTS)
    assert tokens.shape == (4, 24)
    assert trim(model, tokens) is tokens
    assert (tokens[:, -1] == model.tokenizer.pad_token_id).all()
    long = model.tokenize(["z" * 100])
    assert long.shape == (1, 24)
    assert long[0, -1] == model.tokenizer.eos_token_id
    whole = encode_all_texts(model, tokens, batch_size=3)
    torch.testing.assert_close(whole, encode_all_texts(model, model.tokenize(TEXTS)))


@pytest.mark.parametrize("family", SIGMOID)
def test_sigmoid_models_read_lower_case(folders, family):
    """Also where the tokenizer would keep capitals, which the weights have never seen."""
    model = VisionLanguageModel.from_pretrained(folders[family])
    assert torch.equal(model.tokenize(["A photo of a CAB."]), model.tokenize(["a photo of a cab."]))


def test_the_bias_of_a_sigmoid_model_cancels_in_every_loss(folders):
    torch.manual_seed(0)
    bias = VisionLanguageModel.from_pretrained(folders["siglip"]).towers.logit_bias.detach()
    teacher, student = torch.randn(2, 5, 5, dtype=torch.float64)
    targets = alignment_targets(torch.tensor([0, 1, 2, 1, 4]), dtype=torch.float64)

    def losses(shift: torch.Tensor | float) -> torch.Tensor:
        a, b = teacher + shift, student + shift
        parts = [
            classification(b, torch.arange(5), smoothing=0.2),
            contrastive_distillation(a, b, temperature=2.0),
            contrastive_distillation(a, b, temperature=2.0, divergence="reverse_kl"),
            image_text_alignment(b, targets, smoothing=0.2),
        ]
        return torch.stack(parts)

    assert bias.item() == -7
    torch.testing.assert_close(losses(bias.double()), losses(0.0), rtol=0, atol=1e-12)


def test_the_activation_is_the_checkpoints(copied):
    folder = copied("openclip")
    gelu = VisionLanguageModel.from_pretrained(folder)
    for part in ("text_config", "vision_config"):
        edit(folder / "config.json", part, hidden_act="quick_gelu")
    quick = VisionLanguageModel.from_pretrained(folder)
    image, tokens = pixels_of(gelu, picture()), gelu.tokenize(TEXTS)
    assert not torch.allclose(gelu.encode_images(image), quick.encode_images(image), atol=1e-5)
    assert not torch.allclose(gelu.encode_texts(tokens), quick.encode_texts(tokens), atol=1e-5)


def test_image_processors_saved_by_old_libraries_are_understood(copied):
    folder = copied("openai")
    file = folder / "preprocessor_config.json"
    new = VisionLanguageModel.from_pretrained(folder).preprocess
    old = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 32, "crop_size": 32}
    rest = {"do_resize": True, "do_center_crop": True, "do_normalize": True, "resample": 3}
    stats = {"image_mean": list(new.mean), "image_std": list(new.std)}
    file.write_text(json.dumps(old | rest | stats))
    assert VisionLanguageModel.from_pretrained(folder).preprocess == new


@pytest.mark.parametrize(
    ("family", "size", "message"),
    [
        ("openai", {"shortest_edge": 40}, r"'shortest_edge': 40.*supported is: shorter side to S"),
        ("siglip", {"height": 32, "width": 32}, r"images of 32 pixels, but .* takes 40; correct"),
        # As many patches as a square has: the tower would take them without a word.
        ("siglip", {"height": 20, "width": 80}, r"'height': 20, 'width': 80.*or both sides to S"),
    ],
)
def test_image_processors_of_another_size_are_refused(copied, family, size, message):
    folder = copied(family)
    edit(folder / "preprocessor_config.json", size=size)
    with pytest.raises(ValueError, match=f"{family}: .*{message}"):
        VisionLanguageModel.from_pretrained(folder)


def test_image_processors_of_another_kind_are_refused(copied):
    folder = copied("siglip")
    ViTImageProcessorPil(size={"height": 40, "width": 40}).save_pretrained(folder)
    with pytest.raises(ValueError, match="siglip: the image processor is a ViTImageProcessorPil"):
        VisionLanguageModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("family", "other", "message"),
    [
        ("siglip", "openai", "knows 31 tokens, but the tokenizer 544; use the tokenizer of this"),
        ("siglip", "siglip2", "knows 31 tokens, but the tokenizer 36"),
        ("metaclip_2", "siglip", "reads a text at token 2 .* ends texts with 1; use the tokenizer"),
        ("openai", "metaclip_2", "reads a text at token 543 .* ends texts with 2"),
    ],
)
def test_the_tokenizer_of_another_model_is_refused(copied, folders, family, other, message):
    folder = copied(family)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folders[other] / name, folder / name)
    with pytest.raises(ValueError, match=rf"{family}: [\s\S]*the text tower {message}"):
        VisionLanguageModel.from_pretrained(folder)


def test_a_missing_sentencepiece_is_named(copied, monkeypatch):
    def needs_sentencepiece(*_: object, **__: object) -> None:
        raise ImportError("SiglipTokenizer requires the SentencePiece library")

    monkeypatch.setattr("gift.vlm.parts.AutoTokenizer.from_pretrained", needs_sentencepiece)
    with pytest.raises(ValueError, match=r"siglip is in .*: pip install 'gift-cl"):
        VisionLanguageModel.from_pretrained(copied("siglip"))


def test_images_that_keep_their_shape_are_not_supported(copied):
    folder = copied("siglip2")
    edit(folder / "config.json", model_type="siglip2")
    with pytest.raises(ValueError, match=r"NaFlex variant.*take a variant of fixed resolution"):
        VisionLanguageModel.from_pretrained(folder)


def test_half_a_sigmoid_model_is_refused(copied):
    folder = copied("siglip")
    config = SiglipConfig.from_pretrained(folder)
    SiglipForImageClassification(config).save_pretrained(folder)
    with pytest.raises(ValueError, match="of its weights are missing, logit_bias among them"):
        VisionLanguageModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["finetune", "gift", "lwf_vr"])
def test_every_family_learns_and_is_saved_as_an_ordinary_folder(folder, model, name, tmp_path):
    before = {name: p.detach().clone() for name, p in model.trainable_parameters().items()}
    scalars = {n: p.detach().clone() for n, p in model.towers.named_parameters() if n not in before}
    side, records = model.preprocess.size, []
    arrays = np.random.default_rng(1).integers(0, 255, (6, side, side, 3), dtype=np.uint8)
    pairs = ImageTexts(arrays, ("a photo of a fox.", "An owl", "owl", "a fox", "a", "An owl"))
    method = create_method(name)
    train_task(
        model,
        method,
        TaskContext(words("fruit"), 0.2, dict.fromkeys(method.streams, pairs)),
        NoiseImages(6, 3),
        TrainingSettings(iterations=2, batch_size=4, learning_rate=1e-3, warmup=0, log_every=1),
        record=records.append,
    )
    assert len(records) == 2
    assert all(np.isfinite(value) for record in records for value in record.losses.values())
    moved = [n for n, p in model.trainable_parameters().items() if not torch.equal(p, before[n])]
    assert len(moved) > 0.9 * len(before)  # nothing moves a key bias but rounding

    model.save_pretrained(tmp_path / "saved")
    again = VisionLanguageModel.from_pretrained(tmp_path / "saved")
    plain = AutoModel.from_pretrained(tmp_path / "saved")
    for key, parameter in model.towers.named_parameters():
        assert torch.equal(parameter, again.towers.get_parameter(key))
        assert torch.equal(parameter, plain.get_parameter(key))
    assert all(torch.equal(plain.get_parameter(key), value) for key, value in scalars.items())
    assert again.preprocess == model.preprocess
    processor = AutoProcessor.from_pretrained(tmp_path / "saved")
    assert type(processor) is type(AutoProcessor.from_pretrained(folder))
    tokens = again.tokenize(TEXTS)
    context = plain.config.text_config.max_position_embeddings
    theirs = processor(text=TEXTS, padding="max_length", max_length=context, return_tensors="pt")
    assert torch.equal(theirs.input_ids[:, : tokens.shape[1]], tokens)


@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize("parts", [1, 3])
def test_saving_memory_changes_no_gradient(folder, parts, layers):
    """Seven images and four texts in three uneven parts, under a loss over the whole batch."""
    torch.manual_seed(0)
    model = VisionLanguageModel.from_pretrained(folder, dtype=torch.float64).train()
    parameters, side = model.trainable_parameters(), model.preprocess.size
    pixels = torch.randn(7, 3, side, side, dtype=torch.float64)
    captions = torch.tensor([0, 1, 2, 3, 1, 0, 2])

    def gradients() -> tuple[dict[str, torch.Tensor], int]:
        kept = []
        with saved_tensors_hooks(lambda x: kept.append(x.nbytes) or x, lambda x: x):
            texts = model.encode_texts(model.tokenize(TEXTS))[captions]
            logits = similarity(model.encode_images(pixels), texts, model.logit_scale)
            targets = alignment_targets(captions, dtype=logits.dtype)
            loss = image_text_alignment(logits, targets, smoothing=0.2)
        found = torch.autograd.grad(loss, parameters.values())
        return dict(zip(parameters, found, strict=True)), sum(kept)

    plain, kept = gradients()
    model.prepare_training(parts=parts, checkpoint_layers=layers)
    saving, kept_saving = gradients()
    assert (kept_saving < kept) == (parts > 1 or layers)
    for name, gradient in saving.items():
        torch.testing.assert_close(gradient, plain[name], rtol=0, atol=1e-10, msg=name)
    model.prepare_training()
    assert gradients()[1] == kept
