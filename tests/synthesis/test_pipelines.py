"""Every kind of pipeline: the image depends on prompt and seed, not on the batch it is in."""

import diffusers
import numpy as np
import pytest
import torch

from gift.synthesis import DiffusersGenerator, ImageStore

PROMPTS = ["a photo of a cat.", "a photo of a dog.", "a photo of a cat.", "the sea"]
SEEDS = [11, 12, 13, 14]
KINDS = {
    "sd-lcm": ("tiny_pipeline_folder", {"steps": 4, "guidance": 1.0, "scheduler": "lcm"}),
    "sdxl": ("tiny_sdxl_folder", {"steps": 3, "guidance": 5.0, "scheduler": "euler"}),
    "sdxl-turbo": ("tiny_sdxl_folder", {"steps": 2, "guidance": 0.0}),
    "sdxl-lcm": ("tiny_sdxl_folder", {"steps": 4, "guidance": 1.0, "scheduler": "lcm"}),
    "lcm": ("tiny_lcm_folder", {"steps": 4, "guidance": 8.0}),
    "sd3": ("tiny_sd3_folder", {"steps": 3, "guidance": 5.0}),
}


@pytest.fixture(params=KINDS, scope="module")
def generator(request):
    fixture, settings = KINDS[request.param]
    return DiffusersGenerator(request.getfixturevalue(fixture), **settings)


def grey_levels(images, others):
    pairs = zip(images, others, strict=True)
    return max(np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max() for a, b in pairs)


def test_images_do_not_depend_on_the_batch(generator):
    together = generator.generate(PROMPTS, SEEDS)
    alone = [generator.generate([p], [s])[0] for p, s in zip(PROMPTS, SEEDS, strict=True)]
    assert grey_levels(alone, together) <= 1
    backwards = generator.generate(PROMPTS[::-1], SEEDS[::-1])
    assert grey_levels(backwards[::-1], together) <= 1
    assert grey_levels(together[:1], together[2:3]) > 1  # same prompt, another seed


def test_embeddings_equal_passing_the_prompts(generator):
    plain = generator.pipeline(
        PROMPTS,
        num_inference_steps=generator.steps,
        guidance_scale=generator.guidance,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in SEEDS],
        output_type="latent",
    ).images
    generated = generator.run(PROMPTS, SEEDS, output_type="latent")
    # Encoding prompts one by one rounds otherwise, and guidance enlarges that.
    torch.testing.assert_close(generated, plain, rtol=1e-3, atol=1e-3)
    other = generator.run(PROMPTS[::-1], SEEDS, output_type="latent")
    assert (other - plain).abs().max() > 5e-3  # what other embeddings would give


def test_the_size_is_that_of_the_image(generator):
    assert generator.generate(["x"], [1])[0].size == (16, 16)
    wide = DiffusersGenerator(generator.source, steps=2, guidance=generator.guidance, size=24)
    assert wide.generate(["x"], [1])[0].size == (24, 24)


@pytest.mark.parametrize("guidance", [0.0, 5.0])
def test_sdxl_encodes_each_distinct_prompt_once(tiny_sdxl_folder, monkeypatch, guidance):
    generator = DiffusersGenerator(tiny_sdxl_folder, steps=1, guidance=guidance)
    encoded = []
    forward = generator.pipeline.text_encoder_2.forward

    def counting(*arguments, **values):
        encoded.append(len(arguments[0]))
        return forward(*arguments, **values)

    monkeypatch.setattr(generator.pipeline.text_encoder_2, "forward", counting)
    generator.generate(PROMPTS, SEEDS)
    generator.generate(PROMPTS, SEEDS)
    assert encoded == [1] * (4 if guidance else 3)  # three prompts, and the empty one


def test_sdxl_negative_follows_the_pipeline(tiny_sdxl_folder):
    """The published checkpoints use zeros for no negative prompt; others may encode it."""
    generator = DiffusersGenerator(tiny_sdxl_folder, steps=1, guidance=5.0)
    assert not generator._negative["negative_prompt_embeds"].any()
    other = DiffusersGenerator(tiny_sdxl_folder, steps=1, guidance=5.0)
    other.pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    assert other._negative["negative_prompt_embeds"].any()
    assert other._negative["negative_pooled_prompt_embeds"].any()


def test_an_installed_package_does_not_mark_the_images(tiny_sdxl_folder, monkeypatch):
    monkeypatch.setattr(
        diffusers.StableDiffusionXLPipeline, "watermark", "a watermark", raising=False
    )
    assert DiffusersGenerator(tiny_sdxl_folder).pipeline.watermark is None


def test_a_size_between_the_patches_of_a_transformer_is_refused(tiny_sd3_folder):
    generator = DiffusersGenerator(tiny_sd3_folder, steps=1, size=16)
    generator.pipeline.patch_size = 3
    with pytest.raises(
        ValueError,
        match=r"a StableDiffusion3Pipeline\) cannot generate .* size = 16.* divisible by 6",
    ):
        generator.generate(["x"], [1])


def test_images_that_the_safety_checker_blackens_are_skipped(prudish_folder, tmp_path):
    careful = DiffusersGenerator(prudish_folder, steps=1)
    with pytest.raises(ValueError, match=r"all 2 images in .* are black"):
        fetch(tmp_path, careful)
    free = DiffusersGenerator(prudish_folder, steps=1, safety_checker=False)
    assert len(fetch(tmp_path, free)) == 2
    assert len(list(tmp_path.iterdir())) == 2  # two sets, not one


def fetch(root, generator):
    return ImageStore(root).fetch(["a cat"], generator=generator, task_index=1, count=2)


def test_a_pipeline_without_a_checker_stays_without(tiny_sdxl_folder):
    generator = DiffusersGenerator(tiny_sdxl_folder, safety_checker=False)
    assert not hasattr(generator.pipeline, "safety_checker")
