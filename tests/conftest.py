"""Fixtures for all rooms: a tiny CLIP with the true architecture, on a repeatable machine."""

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: no test asks the network
os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # notices about torchvision, which is not used
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic algorithms on GPUs

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from hypothesis import HealthCheck, settings
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
)
from transformers.utils import logging

from gift.data.images import formats, suffixes
from gift.vlm import VisionLanguageModel

pytest_plugins = ["made_benchmark", "made_runs"]

settings.register_profile(  # machines are shared: no test is timed
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")

SaveClip = Callable[[Path, CLIPConfig], None]


@pytest.fixture(scope="session", autouse=True)
def repeatable_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One thread, deterministic algorithms and a cache folder of the session's own."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    logging.disable_progress_bar()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIFT_HOME", str(tmp_path_factory.mktemp("gift-home")))
        yield


def byte_tokenizer(vocab_size: int, context: int) -> CLIPTokenizer:
    """A CLIP tokenizer that knows all bytes and few words; start and end have the largest ids."""
    symbols = sorted(ByteLevel.alphabet())
    vocab = [*symbols, *(f"{symbol}</w>" for symbol in symbols)]
    merges = []
    for word in ("photo", "picture", "of", "the"):
        head = word[0]
        for letter in (*word[1:-1], f"{word[-1]}</w>"):
            merges.append((head, letter))
            head += letter
            vocab.append(head)
    vocab += [f"<unused {i}>" for i in range(vocab_size - len(vocab) - 2)]
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    assert len(vocab) == len(set(vocab)) == vocab_size
    ids = {token: index for index, token in enumerate(vocab)}
    return CLIPTokenizer(vocab=ids, merges=merges, model_max_length=context)


@pytest.fixture(scope="session")
def save_clip() -> SaveClip:
    """Saves a randomly initialised CLIP of the given sizes, always the same one, in a folder."""

    def save(folder: Path, config: CLIPConfig) -> None:
        text, side = config.text_config, config.vision_config.image_size
        with torch.random.fork_rng():
            torch.manual_seed(0)
            CLIPModel(config).save_pretrained(folder)
        byte_tokenizer(text.vocab_size, text.max_position_embeddings).save_pretrained(folder)
        CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        ).save_pretrained(folder)

    return save


@pytest.fixture(scope="session")
def tiny_clip_config() -> CLIPConfig:
    """32 px images in patches of 16, contexts of 32 tokens, embeddings of 16 numbers, s = 100."""
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "hidden_act": "quick_gelu",
    }
    words = {
        "vocab_size": 544,
        "max_position_embeddings": 32,
        "bos_token_id": 542,
        "eos_token_id": 543,
        "pad_token_id": 543,
    }
    return CLIPConfig(
        text_config=tower | words,
        vision_config=tower | {"image_size": 32, "patch_size": 16},
        projection_dim=16,
        logit_scale_init_value=4.6052,
    )


@pytest.fixture(scope="session")
def tiny_clip_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_clip_config: CLIPConfig, save_clip: SaveClip
) -> Path:
    """The tiny CLIP as an ordinary model folder. Do not write into it."""
    folder = tmp_path_factory.mktemp("models") / "tiny-clip"
    save_clip(folder, tiny_clip_config)
    return folder


@pytest.fixture
def tiny_clip(tiny_clip_folder: Path) -> VisionLanguageModel:
    """The tiny CLIP in float32, fresh for each test."""
    return VisionLanguageModel.from_pretrained(tiny_clip_folder)


@pytest.fixture
def tiny_clip_fp64(tiny_clip_folder: Path) -> VisionLanguageModel:
    """The tiny CLIP in float64, for comparisons to the last digits."""
    return VisionLanguageModel.from_pretrained(tiny_clip_folder, dtype=torch.float64)


@pytest.fixture(scope="session")
def tiny_pipeline_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_clip_folder: Path, tiny_clip_config: CLIPConfig
) -> Path:
    """A random Stable Diffusion with the true architecture: 8x8 latents, 16x16 images."""
    folder = tmp_path_factory.mktemp("pipelines") / "tiny-sd"
    channels = {"block_out_channels": (8, 16), "norm_num_groups": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipeline = StableDiffusionPipeline(
            unet=UNet2DConditionModel(
                sample_size=8,
                layers_per_block=1,
                cross_attention_dim=32,
                attention_head_dim=4,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                **channels,
            ),
            vae=AutoencoderKL(
                latent_channels=4,
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                **channels,
            ),
            text_encoder=CLIPTextModel(CLIPTextConfig(**tiny_clip_config.text_config.to_dict())),
            tokenizer=CLIPTokenizer.from_pretrained(tiny_clip_folder),
            scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which pillow-heif is not installed."""
    formats()  # it is registered once
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    for suffix in [s for s, name in Image.EXTENSION.items() if name == "HEIF"]:
        monkeypatch.delitem(Image.EXTENSION, suffix)
    formats.cache_clear()
    suffixes.cache_clear()
    yield
    monkeypatch.undo()
    formats.cache_clear()
    suffixes.cache_clear()
