"""The small CLIP: its own byte-pair vocabulary and the contrastive pre-training.

Everything is an ordinary ``transformers`` class, so the saved folder is like that of any CLIP.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
)

from gift_micro.corpus import IMAGE_SIZE, Corpus
from gift_micro.training import Schedule, fit, training_device

_START, _END, _WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"


@dataclass(frozen=True)
class ClipSettings:
    """Sizes and training of the small CLIP.

    Attributes:
        vision_width: width of the image tower's tokens.
        vision_layers: its transformer layers.
        patch: side of its patches, in pixels.
        text_width: width of the text tower's tokens.
        text_layers: its transformer layers.
        heads: attention heads in both towers.
        context: longest text in tokens, start and end included.
        projection: width of the shared embedding.
        shift: largest random shift of a training picture, in pixels per axis.
        schedule: length and rate of the pre-training.
    """

    vision_width: int = 128
    vision_layers: int = 4
    patch: int = 8
    text_width: int = 96
    text_layers: int = 2
    heads: int = 4
    context: int = 32
    projection: int = 96
    shift: int = 2
    schedule: Schedule = field(
        default_factory=lambda: Schedule(
            steps=3_200, batch=128, learning_rate=1.2e-3, warmup=200, weight_decay=0.1
        )
    )


def make_tokenizer(texts: Sequence[str], context: int) -> CLIPTokenizer:
    """A CLIP tokenizer whose vocabulary makes one token of every word in ``texts``.

    All bytes are tokens too, inside a word and at its end. So any other word is spelled out, and
    none becomes the unknown token, which in CLIP is the end of the text.

    Args:
        texts: what the vocabulary is learned from.
        context: longest text in tokens, start and end included.
    """
    letters = sorted(ByteLevel.alphabet())
    symbols = [_START, _END, *letters, *(letter + _WORD_END for letter in letters)]
    splitter = _tokenizer(symbols, [], context).backend_tokenizer
    normal = [splitter.normalizer.normalize_str(text) for text in texts]
    words = {word for text in normal for word, _ in splitter.pre_tokenizer.pre_tokenize_str(text)}
    learner = Tokenizer(models.BPE(end_of_word_suffix=_WORD_END))
    # Large enough to continue until nothing is left to merge.
    trainer = trainers.BpeTrainer(
        vocab_size=1_000_000,
        min_frequency=1,
        show_progress=False,
        initial_alphabet=letters,
        end_of_word_suffix=_WORD_END,
    )
    learner.train_from_iterator(sorted(words), trainer)
    merges = [(left, right) for left, right in json.loads(learner.to_str())["model"]["merges"]]
    return _tokenizer([*symbols, *(left + right for left, right in merges)], merges, context)


def _tokenizer(
    symbols: Sequence[str], merges: Sequence[tuple[str, str]], context: int
) -> CLIPTokenizer:
    vocabulary = {symbol: index for index, symbol in enumerate(dict.fromkeys(symbols))}
    return CLIPTokenizer(vocab=vocabulary, merges=list(merges), model_max_length=context)


def make_clip(settings: ClipSettings, tokenizer: CLIPTokenizer, seed: int) -> CLIPModel:
    """An untrained model for the tokenizer's vocabulary."""
    tower = {"num_attention_heads": settings.heads, "hidden_act": "quick_gelu"}
    text = {
        **tower,
        "vocab_size": len(tokenizer),
        "hidden_size": settings.text_width,
        "intermediate_size": 4 * settings.text_width,
        "num_hidden_layers": settings.text_layers,
        "max_position_embeddings": settings.context,
        "projection_dim": settings.projection,
        # A text is read at its first end token: the tower must know which one that is.
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        **tower,
        "hidden_size": settings.vision_width,
        "intermediate_size": 4 * settings.vision_width,
        "num_hidden_layers": settings.vision_layers,
        "image_size": IMAGE_SIZE,
        "patch_size": settings.patch,
        "projection_dim": settings.projection,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(
            CLIPConfig(text_config=text, vision_config=vision, projection_dim=settings.projection)
        )


def image_processor() -> CLIPImageProcessorPil:
    """OpenAI's image transform at the size of the benchmark's pictures."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": IMAGE_SIZE},
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
    )


def shifted(pixels: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Move each picture by up to ``shift`` pixels per axis; the border pixels are repeated.

    Args:
        pixels: [B, S, S, 3] of any type.
        shift: in pixels; 0 changes nothing.
        generator: samples the B offsets.
    """
    count, size = pixels.shape[:2]
    offsets = torch.randint(-shift, shift + 1, (2, count, 1), generator=generator)
    rows, columns = (offsets + torch.arange(size)).clamp(0, size - 1).to(pixels.device)
    return pixels[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def contrastive_loss(images: Tensor, texts: Tensor, caption: Tensor, scale: Tensor) -> Tensor:
    """CLIP's symmetric loss over a batch in which captions may occur more than once.

    Equal captions split the target's mass, which is the same as: an image's target is its caption
    among the U distinct ones, each weighted by its count; a caption's target is uniform over its
    images.

    Args:
        images: unit rows [B, D].
        texts: unit rows [U, D], the distinct captions.
        caption: int64 [B], the row of each image's caption; every row occurs.
        scale: the factor on cosines.

    Returns:
        The scalar mean of both directions.
    """
    logits = scale * images @ texts.T
    counts = torch.bincount(caption, minlength=len(texts))
    to_text = F.cross_entropy(logits + counts.log(), caption)
    to_image = F.nll_loss(logits.log_softmax(dim=0), caption)
    return (to_text + to_image) / 2


def train_clip(
    corpus: Corpus,
    settings: ClipSettings,
    folder: Path,
    *,
    checkpoint: Path,
    seed: int = 0,
) -> None:
    """Pre-train on the corpus and save an ordinary CLIP folder in half precision.

    Args:
        corpus: the training data.
        settings: sizes and schedule.
        folder: for model, tokenizer and processor; it appears when all is there.
        checkpoint: resumes an interrupted training; removed at the end.
        seed: of the weights and the batches.
    """
    tokenizer = make_tokenizer(corpus.vocabulary, settings.context)
    device = training_device()
    model = make_clip(settings, tokenizer, seed).to(device)
    distinct = {caption: row for row, caption in enumerate(dict.fromkeys(corpus.captions))}
    tokens = tokenizer(list(distinct), padding="longest", return_tensors="pt")
    tokens = tokens.to(device)
    lengths = tokens.attention_mask.sum(dim=1)
    caption = torch.tensor([distinct[text] for text in corpus.captions], device=device)
    pixels = torch.tensor(corpus.pixels, device=device)
    processor = image_processor()
    mean = torch.tensor(processor.image_mean, device=device)
    std = torch.tensor(processor.image_std, device=device)

    def loss(generator: torch.Generator) -> Tensor:
        batch = torch.randint(len(corpus), (settings.schedule.batch,), generator=generator)
        batch = batch.to(device)
        crops = shifted(pixels[batch], settings.shift, generator)
        inputs = ((crops / 255 - mean) / std).permute(0, 3, 1, 2)
        rows, index = caption[batch].unique(return_inverse=True)
        texts = tokens.input_ids[rows, : int(lengths[rows].max())]
        image_features = model.get_image_features(pixel_values=inputs).pooler_output
        text_features = model.get_text_features(input_ids=texts).pooler_output
        return contrastive_loss(
            F.normalize(image_features, dim=-1),
            F.normalize(text_features, dim=-1),
            index,
            model.logit_scale.clamp(max=math.log(100)).exp(),
        )

    fit(
        model,
        loss,
        settings.schedule,
        seed=seed,
        checkpoint=checkpoint,
        stage="clip",
    )
    with torch.no_grad():
        model.logit_scale.clamp_(max=math.log(100))
    part = folder.with_name(folder.name + ".part")
    model.half().save_pretrained(part)
    CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(part)
    part.rename(folder)
    checkpoint.unlink()
