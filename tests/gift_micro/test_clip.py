"""The small CLIP's vocabulary, loss and saved folder."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

from gift.text import fill
from gift.vlm import VisionLanguageModel
from gift_micro.clip import ClipSettings, contrastive_loss, make_tokenizer, shifted, train_clip
from gift_micro.concepts import CONCEPTS
from gift_micro.corpus import Corpus, CorpusSettings, caption_templates, make_corpus
from gift_micro.training import Schedule

TEXTS = [
    fill(template, concept.name)
    for concept in CONCEPTS
    for template in caption_templates(concept.family)
]
TOKENIZER = make_tokenizer(TEXTS, context=32)


def test_known_words_are_one_token() -> None:
    text = 'a photo of the number: "water lily".'
    tokens = TOKENIZER.convert_ids_to_tokens(TOKENIZER(text).input_ids)
    inside = ["a", "photo", "of", "the", "number", ":", '"', "water", "lily", '".']
    assert tokens == ["<|startoftext|>", *(f"{word}</w>" for word in inside), "<|endoftext|>"]


def test_every_caption_fits_the_context() -> None:
    assert max(map(len, TOKENIZER(TEXTS).input_ids)) <= 32 // 2


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_no_word_is_unknown_or_ends_the_text(text: str) -> None:
    if "<|" in text:
        return  # spelling out a special token is asking for it
    ids = TOKENIZER(text).input_ids
    assert ids[0] == TOKENIZER.bos_token_id
    assert ids.index(TOKENIZER.eos_token_id) == len(ids) - 1


def test_an_unknown_word_is_spelled_out() -> None:
    ids = TOKENIZER("zyzzyva", add_special_tokens=False).input_ids
    assert "".join(TOKENIZER.convert_ids_to_tokens(ids)) == "zyzzyva</w>"


def test_the_loss_shares_the_target_among_equal_captions() -> None:
    generator = torch.Generator().manual_seed(0)
    images = F.normalize(torch.randn(5, 4, generator=generator), dim=1)
    texts = F.normalize(torch.randn(3, 4, generator=generator), dim=1)
    caption, scale = torch.tensor([0, 1, 0, 2, 1]), torch.tensor(7.0)
    logits = scale * images @ texts[caption].T
    share = (caption[:, None] == caption).float()
    share /= share.sum(dim=1, keepdim=True)
    # Between rows of equal captions the usual B x B softmax cannot decide: it gives each an equal
    # part, so its cross-entropy is larger by the share's entropy.
    entropy = -(share * share.clamp(min=1e-9).log()).sum(dim=1).mean()
    to_text = F.cross_entropy(logits, share) - entropy
    to_image = F.cross_entropy(logits.T, share)
    got = contrastive_loss(images, texts, caption, scale)
    torch.testing.assert_close(got, (to_text + to_image) / 2)


def test_a_shift_moves_pictures_and_repeats_the_border() -> None:
    pixels = torch.arange(25.0).view(1, 5, 5, 1).expand(64, 5, 5, 1)
    moved = shifted(pixels, 1, torch.Generator().manual_seed(0))
    rows, columns = moved[..., 0].floor() // 5, moved[..., 0] % 5
    offsets = {(int(r), int(c)) for r, c in zip(rows[:, 2, 2], columns[:, 2, 2], strict=True)}
    assert offsets == {(r, c) for r in (1, 2, 3) for c in (1, 2, 3)}
    lowest = moved[rows[:, 2, 2] == 3]
    assert torch.equal(lowest[:, 4], lowest[:, 3])
    assert torch.equal(shifted(pixels, 0, torch.Generator()), pixels)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    make_corpus(folder / "corpus", CorpusSettings(count=64), CONCEPTS[:4])
    settings = ClipSettings(
        vision_width=16, vision_layers=1, text_width=16, text_layers=1, heads=2, projection=8,
        schedule=Schedule(steps=3, batch=8, learning_rate=1e-3, warmup=1),
    )  # fmt: skip
    train_clip(
        Corpus.open(folder / "corpus"),
        settings,
        folder / "model",
        checkpoint=folder / "checkpoint.safetensors",
    )
    return folder


def test_the_folder_is_an_ordinary_clip(clip_folder: Path) -> None:
    model = CLIPModel.from_pretrained(clip_folder / "model", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(clip_folder / "model")
    short = tokenizer(["a photo of a biplane."], return_tensors="pt").input_ids
    padded = tokenizer(["a photo of a biplane."], padding="max_length", return_tensors="pt")
    ours = VisionLanguageModel.from_pretrained(clip_folder / "model")
    with torch.no_grad():
        feature = model.get_text_features(input_ids=short).pooler_output
        other = model.get_text_features(input_ids=padded.input_ids).pooler_output
        embedding = ours.encode_texts(ours.tokenize(["a photo of a biplane."]))
    assert padded.input_ids.shape == (1, 32)
    torch.testing.assert_close(feature, other)
    torch.testing.assert_close(F.normalize(feature, dim=-1), embedding)
    assert ours.preprocess.size == 32
    assert model.logit_scale <= math.log(100) + 1e-2


def test_the_checkpoint_is_removed(clip_folder: Path) -> None:
    assert not (clip_folder / "checkpoint.safetensors").exists()
