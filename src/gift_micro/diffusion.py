"""The small text-to-image model: an autoencoder, and a denoiser on the small CLIP's text states.

The result is an ordinary ``StableDiffusionPipeline`` folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

from gift.files import replacing_file
from gift.text import fill
from gift_micro.corpus import IMAGE_SIZE, Corpus, caption_templates
from gift_micro.training import Schedule, fit, training_device


@dataclass(frozen=True)
class VaeSettings:
    """Sizes and training of the autoencoder.

    Attributes:
        channels: width at each resolution; the side is halved between two of them.
        latent_channels: width of the latents.
        groups: of the group norms; divides every width.
        kl_weight: weight of the mean KL divergence (nats per latent number) beside the mean
            absolute error of pixels in [-1, 1].
        schedule: length and rate.
    """

    channels: tuple[int, ...] = (16, 32, 48)
    latent_channels: int = 8
    groups: int = 8
    kl_weight: float = 3e-4
    schedule: Schedule = field(
        default_factory=lambda: Schedule(
            steps=3_000, batch=32, learning_rate=2e-3, warmup=100, average=0.998
        )
    )


@dataclass(frozen=True)
class UNetSettings:
    """Sizes and training of the denoiser.

    Attributes:
        channels: width at the latents' resolution and at half of it; only the latter attends to
            the text (and to itself).
        heads: of every attention.
        groups: of the group norms; divides every width.
        snr_limit: gamma of the min-SNR weights (Hang et al., 2023).
        drop_caption: fraction of samples with an empty caption, for classifier-free guidance.
        schedule: length and rate.
    """

    channels: tuple[int, int] = (64, 128)
    heads: int = 4
    groups: int = 16
    snr_limit: float = 5.0
    drop_caption: float = 0.1
    schedule: Schedule = field(
        default_factory=lambda: Schedule(
            steps=6_000, batch=64, learning_rate=1.5e-3, warmup=300, average=0.999
        )
    )


def train_vae(
    corpus: Corpus,
    settings: VaeSettings,
    folder: Path,
    *,
    checkpoint: Path,
    seed: int = 0,
) -> None:
    """Train the autoencoder on the pictures of the corpus, in all styles, and save it.

    Its ``scaling_factor`` is measured: times it, latents have unit variance.

    Args:
        corpus: its pictures are what the pipeline shall generate.
        settings: sizes and schedule.
        folder: appears when all is there.
        checkpoint: resumes an interrupted training; removed at the end.
        seed: of the weights and the batches.
    """
    device = training_device()
    pixels = torch.tensor(corpus.pixels, device=device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * len(settings.channels),
            up_block_types=("UpDecoderBlock2D",) * len(settings.channels),
            block_out_channels=settings.channels,
            layers_per_block=1,
            latent_channels=settings.latent_channels,
            norm_num_groups=settings.groups,
            sample_size=IMAGE_SIZE,
            mid_block_add_attention=False,
        ).to(device, memory_format=torch.channels_last)

    def loss(generator: torch.Generator) -> Tensor:
        batch = torch.randint(len(pixels), (settings.schedule.batch,), generator=generator)
        images = _as_input(pixels[batch.to(device)])
        posterior = vae.encode(images).latent_dist
        decoded = vae.decode(posterior.sample(generator)).sample
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        total: Tensor = F.l1_loss(decoded, images) + settings.kl_weight * divergence
        return total

    fit(
        vae,
        loss,
        settings.schedule,
        seed=seed,
        checkpoint=checkpoint,
        stage="vae",
    )
    sample = encode(vae, pixels[:2_000])
    vae.register_to_config(scaling_factor=1 / float(sample.std()))
    _save_whole(vae, folder)
    checkpoint.unlink()


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """The means of the latents, not yet scaled.

    Args:
        vae: the autoencoder.
        pixels: uint8 [N, S, S, 3], on any device.

    Returns:
        float32 [N, latent channels, S / 4, S / 4] for three resolutions, on the autoencoder's
        device.
    """
    parts = (_as_input(part.to(vae.device)) for part in pixels.split(250))
    means = [vae.encode(part).latent_dist.mean for part in parts]
    return torch.cat(means)


@torch.no_grad()
def peak_signal_to_noise(vae: AutoencoderKL, corpus: Corpus, count: int = 200) -> float:
    """How well pictures survive the latents, in dB (10 log10 of 1 / squared error)."""
    images = _as_input(torch.tensor(corpus.pixels[:count], device=vae.device))
    decoded = vae.decode(vae.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    return float(-10 * F.mse_loss(decoded / 2, images / 2).log10())


def prepare_inputs(
    corpus: Corpus, clip: CLIPModel, tokenizer: CLIPTokenizer, vae: AutoencoderKL, path: Path
) -> None:
    """Compute once what every step of the denoiser's training needs.

    The file holds, for M pictures, K concepts and L tokens: the scaled ``latents``
    [M, ...], the true ``concept`` [M], the ``states`` [R, L, width] of all distinct prompts (the
    first is empty) and, per concept, the rows of its ``prompts`` [K, 4].

    Args:
        corpus: the pictures that the denoiser learns.
        clip: whose text tower conditions the denoiser.
        tokenizer: of that tower.
        vae: the trained autoencoder.
        path: a safetensors file.
    """
    prompts = [
        [fill(template, name) for template in caption_templates(family)[:4]]
        for name, family in zip(corpus.names, corpus.families, strict=True)
    ]
    distinct = ["", *dict.fromkeys(prompt for own in prompts for prompt in own)]
    row = {prompt: index for index, prompt in enumerate(distinct)}
    tensors = {
        "latents": encode(vae, torch.tensor(corpus.pixels)) * vae.config.scaling_factor,
        "concept": torch.from_numpy(corpus.concept),
        "states": text_states(clip, tokenizer, distinct),
        "prompts": torch.tensor([[row[prompt] for prompt in own] for own in prompts]),
    }
    with replacing_file(path) as file:
        file.write(save({name: value.contiguous() for name, value in tensors.items()}))


@torch.no_grad()
def text_states(clip: CLIPModel, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """The text states that condition the denoiser: [T, L, width], padded to the full context."""
    tokens = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
    states = [clip.text_model(part).last_hidden_state for part in tokens.input_ids.split(250)]
    return torch.cat(states)


def make_scheduler() -> DPMSolverMultistepScheduler:
    """The noise schedule, with a solver that needs about a dozen steps.

    A cosine schedule suits such small latents: half the time there is more signal than noise, and
    nothing is left of the signal at the end.
    """
    return DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        # Begins a little before the end, where the solver's logarithms are still tame.
        lambda_min_clipped=-5.1,
        # Has no effect with this spacing, but the pipeline warns of any other number.
        steps_offset=1,
    )


def train_unet(
    inputs: Path,
    settings: UNetSettings,
    folder: Path,
    *,
    checkpoint: Path,
    seed: int = 0,
) -> None:
    """Train the denoiser to predict v = alpha * noise - sigma * latents, and save it.

    Args:
        inputs: the file of :func:`prepare_inputs`.
        settings: sizes and schedule.
        folder: appears when all is there.
        checkpoint: resumes an interrupted training; removed at the end.
        seed: of the weights and the batches.
    """
    device = training_device()
    tensors = load_file(inputs, device=str(device))
    latents, concept = tensors["latents"], tensors["concept"]
    states, prompts = tensors["states"], tensors["prompts"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=latents.shape[-1],
            in_channels=latents.shape[1],
            out_channels=latents.shape[1],
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=settings.channels,
            layers_per_block=1,
            cross_attention_dim=states.shape[-1],
            # diffusers reads this argument as the number of heads.
            attention_head_dim=settings.heads,
            norm_num_groups=settings.groups,
            resnet_time_scale_shift="scale_shift",
            # The text steers every block, also those that do not attend to it.
            addition_embed_type="text",
            addition_embed_type_num_heads=settings.heads,
        ).to(device, memory_format=torch.channels_last)
    alpha_bar = make_scheduler().alphas_cumprod.to(device)
    snr = alpha_bar / (1 - alpha_bar)
    weights = snr.clamp(max=settings.snr_limit) / (snr + 1)
    size = settings.schedule.batch

    def loss(generator: torch.Generator) -> Tensor:
        batch = torch.randint(len(latents), (size,), generator=generator).to(device)
        which = torch.randint(prompts.shape[1], (size,), generator=generator).to(device)
        rows = prompts[concept[batch], which]
        dropped = torch.rand(size, generator=generator) < settings.drop_caption
        rows[dropped.to(device)] = 0
        # One time in each of B equal intervals: less variance than B independent ones.
        times = (torch.arange(size) + torch.rand(size, generator=generator)) / size
        steps = (times * len(alpha_bar)).long().to(device)
        noise = torch.randn(latents[batch].shape, generator=generator).to(device)
        alpha = alpha_bar[steps].sqrt().view(-1, 1, 1, 1)
        sigma = (1 - alpha_bar[steps]).sqrt().view(-1, 1, 1, 1)
        noisy = alpha * latents[batch] + sigma * noise
        velocity = alpha * noise - sigma * latents[batch]
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        predicted = unet(noisy, steps, states[rows]).sample
        error = (predicted - velocity).square().mean(dim=(1, 2, 3))
        total: Tensor = (weights[steps] * error).mean()
        return total

    fit(
        unet,
        loss,
        settings.schedule,
        seed=seed,
        checkpoint=checkpoint,
        stage="unet",
    )
    _save_whole(unet, folder)
    checkpoint.unlink()


def assemble(
    clip: CLIPModel,
    tokenizer: CLIPTokenizer,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    folder: Path,
) -> None:
    """Save the whole pipeline: its two large parts in half, the text tower in single precision.

    diffusers reads its own models in single precision, whatever they were saved in; transformers
    keeps what it finds. So the parts fit together however the folder is read.
    """
    for model in (vae, unet):
        model.register_to_config(_name_or_path="")  # not the folder it was built in
    pipeline = StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=clip.text_model,
        tokenizer=tokenizer,
        unet=unet.half(),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    part = folder.with_name(folder.name + ".part")
    pipeline.save_pretrained(part)
    # The names that every published pipeline has; older versions of transformers know no others.
    weights = part / "text_encoder" / "model.safetensors"
    named = {f"text_model.{name}": value for name, value in load_file(weights).items()}
    save_file(named, weights, metadata={"format": "pt"})
    part.rename(folder)


def _save_whole(model: AutoencoderKL | UNet2DConditionModel, folder: Path) -> None:
    part = folder.with_name(folder.name + ".part")
    model.save_pretrained(part)
    part.rename(folder)


def _as_input(pixels: Tensor) -> Tensor:
    """uint8 [B, S, S, 3] -> float32 [B, 3, S, S] in [-1, 1]; channels last in memory."""
    return (pixels / 127.5 - 1).permute(0, 3, 1, 2)
