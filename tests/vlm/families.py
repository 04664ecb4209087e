"""One tiny random model of every supported family, as ordinary model folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    GemmaTokenizer,
    MetaClip2Config,
    MetaClip2Model,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    XLMRobertaTokenizer,
)

LETTERS = "▁abcdefghijklmnopqrstuvwxyz.ABC"
LAYERS = 2
LOGIT_SCALARS = {"logit_scale": 3.0, "logit_bias": -7.0}
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
}
SaveClip = Callable[[Path, CLIPConfig], None]
FAMILIES = ("openai", "openclip", "openai_large", "metaclip_2", "siglip", "siglip2")


def clip_config(hidden_act: str, image_size: int, context: int, patch_size: int = 8) -> CLIPConfig:
    """A CLIP whose towers differ in width."""
    words = {"bos_token_id": 542, "eos_token_id": 543, "pad_token_id": 543, "vocab_size": 544}
    return CLIPConfig(
        text_config=TOWER
        | words
        | {"hidden_size": 24, "hidden_act": hidden_act, "max_position_embeddings": context},
        vision_config=TOWER
        | {"hidden_act": hidden_act, "image_size": image_size, "patch_size": patch_size},
        projection_dim=16,
    )


def save_metaclip_2(folder: Path) -> None:
    """Many languages: a causal text tower behind XLM-RoBERTa's tokenizer, whose end token is 2."""
    specials = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = XLMRobertaTokenizer(vocab=[*specials, *((c, -4.0) for c in LETTERS)])
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": 32}
    ends = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    config = MetaClip2Config(
        text_config=TOWER | words | ends,
        vision_config=TOWER | {"image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    save(folder, MetaClip2Model, config, tokenizer)
    CLIPImageProcessorPil(**square_crop(32)).save_pretrained(folder)


def save_siglip(folder: Path) -> None:
    """SigLIP: its tokenizer lowers case and pads with the end token."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((c, -4.0) for c in LETTERS[:28])]
    backend = Tokenizer(models.Unigram(pieces, unk_id=2))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = ending("</s>", 1)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )
    save(folder, SiglipModel, siglip_config(40, len(tokenizer)), tokenizer)
    SiglipImageProcessorPil(size={"height": 40, "width": 40}).save_pretrained(folder)


def save_siglip2(folder: Path, context: int = 24) -> None:
    """SigLIP 2 of fixed resolution: Gemma's tokenizer, which leaves case, bilinear filter."""
    known = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *LETTERS]
    tokenizer = GemmaTokenizer(
        vocab={piece: index for index, piece in enumerate(known)}, merges=[], padding_side="right"
    )
    tokenizer.backend_tokenizer.post_processor = ending("<eos>", 1)
    save(folder, SiglipModel, siglip_config(32, len(tokenizer), context), tokenizer)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}, resample=2).save_pretrained(folder)


def siglip_config(image_size: int, vocab_size: int, context: int = 24) -> SiglipConfig:
    return SiglipConfig(
        text_config=TOWER | {"vocab_size": vocab_size, "max_position_embeddings": context},
        vision_config=TOWER | {"image_size": image_size, "patch_size": 8},
    )


def save(
    folder: Path, towers: type[PreTrainedModel], config: Any, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Saves random weights, always the same ones, and the tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = towers(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in LOGIT_SCALARS:
                parameter.fill_(LOGIT_SCALARS[name])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def square_crop(side: int) -> dict[str, dict[str, int]]:
    return {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}


def ending(token: str, index: int) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(single=f"$A {token}", special_tokens=[(token, index)])


def save_all(folder: Path, save_clip: SaveClip) -> dict[str, Path]:
    """The folders by family: three of type clip, and one of each other type."""
    save_clip(folder / "openai", clip_config("quick_gelu", image_size=32, context=32))
    save_clip(folder / "openclip", clip_config("gelu", image_size=40, context=40))
    # Like ViT-L/14 at 336 pixels: another patch and size than the rest.
    large = clip_config("quick_gelu", image_size=42, context=32, patch_size=14)
    save_clip(folder / "openai_large", large)
    save_metaclip_2(folder / "metaclip_2")
    save_siglip(folder / "siglip")
    save_siglip2(folder / "siglip2")
    return {path.name: path for path in folder.iterdir()}
