"""Tiny random pipelines of the true classes, beside the Stable Diffusion of all tests."""

from __future__ import annotations

import shutil

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

CHANNELS = {"block_out_channels": (8, 16), "norm_num_groups": 4}

T5_CONFIG = T5Config(
    vocab_size=32, d_model=64, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
)


def t5_tokenizer():
    """One piece per letter, after those for padding, end and the unknown."""
    letters = [("\u2581", -1.0), *((letter, -2.0) for letter in "abcdefghijklmnopqrstuvwxyz.")]
    return T5Tokenizer(
        vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters],
        extra_ids=0,
        model_max_length=32,
    )


def autoencoder():
    return AutoencoderKL(
        latent_channels=4,
        shift_factor=0.0,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        **CHANNELS,
    )


def saved(pipeline, folder):
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pooled_text_config(tiny_clip_config):
    return CLIPTextConfig(**{**tiny_clip_config.text_config.to_dict(), "projection_dim": 32})


@pytest.fixture(scope="session")
def tiny_sdxl_folder(tmp_path_factory, tiny_clip_folder, pooled_text_config):
    """Stable Diffusion XL: two text encoders, a pooled vector, 16x16 images."""
    tokenizer = CLIPTokenizer.from_pretrained(tiny_clip_folder)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        pipeline = StableDiffusionXLPipeline(
            unet=UNet2DConditionModel(
                sample_size=8,
                layers_per_block=1,
                cross_attention_dim=64,
                attention_head_dim=4,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + 32,
                **CHANNELS,
            ),
            vae=autoencoder(),
            text_encoder=CLIPTextModel(pooled_text_config),
            text_encoder_2=CLIPTextModelWithProjection(pooled_text_config),
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            scheduler=EulerAncestralDiscreteScheduler(timestep_spacing="trailing"),
        )
    return saved(pipeline, tmp_path_factory.mktemp("pipelines") / "tiny-sdxl")


@pytest.fixture(scope="session")
def tiny_lcm_folder(tmp_path_factory, tiny_clip_folder, pooled_text_config):
    """A latent consistency model, distilled: it takes the guidance as an input."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        pipeline = LatentConsistencyModelPipeline(
            unet=UNet2DConditionModel(
                sample_size=8,
                layers_per_block=1,
                cross_attention_dim=32,
                attention_head_dim=4,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                time_cond_proj_dim=16,
                **CHANNELS,
            ),
            vae=autoencoder(),
            text_encoder=CLIPTextModel(pooled_text_config),
            tokenizer=CLIPTokenizer.from_pretrained(tiny_clip_folder),
            scheduler=LCMScheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    return saved(pipeline, tmp_path_factory.mktemp("pipelines") / "tiny-lcm")


@pytest.fixture(scope="session")
def tiny_sd3_folder(tmp_path_factory, tiny_clip_folder, pooled_text_config):
    """Stable Diffusion 3: three text encoders, a transformer, 16x16 images."""
    tokenizer = CLIPTokenizer.from_pretrained(tiny_clip_folder)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        pipeline = StableDiffusion3Pipeline(
            transformer=SD3Transformer2DModel(
                sample_size=8,
                patch_size=2,
                in_channels=4,
                num_layers=1,
                attention_head_dim=8,
                num_attention_heads=4,
                joint_attention_dim=64,
                caption_projection_dim=32,
                pooled_projection_dim=64,
                out_channels=4,
            ),
            vae=autoencoder(),
            text_encoder=CLIPTextModelWithProjection(pooled_text_config),
            text_encoder_2=CLIPTextModelWithProjection(pooled_text_config),
            text_encoder_3=T5EncoderModel(T5_CONFIG),
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            tokenizer_3=t5_tokenizer(),
            scheduler=FlowMatchEulerDiscreteScheduler(),
        )
    return saved(pipeline, tmp_path_factory.mktemp("pipelines") / "tiny-sd3")


@pytest.fixture(scope="session")
def prudish_folder(tmp_path_factory, tiny_pipeline_folder, tiny_clip_config):
    """A Stable Diffusion whose safety checker finds every image unsafe."""
    folder = tmp_path_factory.mktemp("pipelines") / "prudish"
    shutil.copytree(tiny_pipeline_folder, folder)
    checker = StableDiffusionSafetyChecker(CLIPConfig.from_dict(tiny_clip_config.to_dict()))
    checker.concept_embeds_weights.data.fill_(-2.0)  # the least cosine that is unsafe
    plain = StableDiffusionPipeline.from_pretrained(folder)
    pipeline = StableDiffusionPipeline(
        **{
            **plain.components,
            "safety_checker": checker,
            "feature_extractor": CLIPImageProcessorPil(
                size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
            ),
        },
        requires_safety_checker=True,
    )
    return saved(pipeline, folder)
