import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from safetensors.torch import load_file, save_file

from gift.synthesis import DiffusersGenerator, ImageStore, build_pool

PROMPTS = ["a photo of a cat.", "a photo of a dog.", "a photo of a cat.", "the sea"]
SEEDS = [11, 12, 13, 14]


@pytest.fixture(scope="module")
def folder(tiny_pipeline_folder):
    return tiny_pipeline_folder


@pytest.fixture(scope="module")
def generator(folder):
    return DiffusersGenerator(folder, steps=3)


def test_latents_do_not_depend_on_the_batch(generator):
    together = generator.run(PROMPTS, SEEDS, output_type="latent")
    assert together.shape == (4, 4, 8, 8)
    pairs = torch.cat(
        [generator.run(PROMPTS[i : i + 2], SEEDS[i : i + 2], output_type="latent") for i in (0, 2)]
    )
    torch.testing.assert_close(pairs, together, rtol=0, atol=0)


def test_images_do_not_depend_on_the_batch(generator):
    together = generator.generate(PROMPTS, SEEDS)
    for prompt, seed, image in zip(PROMPTS, SEEDS, together, strict=True):
        (alone,) = generator.generate([prompt], [seed])
        difference = np.asarray(alone, dtype=int) - np.asarray(image, dtype=int)
        assert np.abs(difference).max() <= 1
        assert image.size == (16, 16)


def test_prompt_and_seed_decide_the_image(generator):
    cat, dog = generator.run(PROMPTS[:2], [11, 11], output_type="latent")
    other = generator.run(PROMPTS[:1], [12], output_type="latent")[0]
    assert not torch.equal(cat, dog)
    assert not torch.equal(cat, other)


@pytest.mark.parametrize("guidance", [7.5, 1.0])
def test_embeddings_equal_passing_the_prompts(folder, guidance):
    generator = DiffusersGenerator(folder, steps=3, guidance=guidance)
    plain = generator.pipeline(
        PROMPTS,
        num_inference_steps=3,
        guidance_scale=guidance,
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in SEEDS],
        output_type="latent",
    ).images
    torch.testing.assert_close(
        generator.run(PROMPTS, SEEDS, output_type="latent"), plain, rtol=1e-5, atol=1e-5
    )


def test_each_distinct_prompt_is_encoded_once(folder, monkeypatch):
    generator = DiffusersGenerator(folder, steps=1)
    encoded = []
    encode = generator.pipeline.encode_prompt

    def counting(prompt, *arguments, **values):
        encoded.extend([prompt] if prompt is not None else [])
        return encode(prompt, *arguments, **values)

    monkeypatch.setattr(generator.pipeline, "encode_prompt", counting)
    generator.generate(PROMPTS, SEEDS)
    generator.generate(PROMPTS, SEEDS)
    assert sorted(encoded) == ["", "a photo of a cat.", "a photo of a dog.", "the sea"]


@pytest.mark.parametrize("scheduler", ["pndm", "ddim", "dpmpp", "euler"])
def test_schedulers(folder, scheduler, recwarn):
    generator = DiffusersGenerator(folder, steps=2, scheduler=scheduler)
    (image,) = generator.generate(["a photo of a cat."], [1])
    assert image.getbbox() is not None
    assert isinstance(generator.pipeline.scheduler, EulerDiscreteScheduler) == (
        scheduler == "euler"
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtype(folder, dtype):
    generator = DiffusersGenerator(folder, steps=1, dtype=dtype)
    assert generator.run(["x"], [1], output_type="latent").dtype == getattr(torch, dtype)


def test_the_revision_is_asked_for(monkeypatch):
    asked = {}

    def refuse(source, **values):
        asked.update(values, source=source)
        raise OSError("offline")

    monkeypatch.setattr("diffusers.AutoPipelineForText2Image.from_pretrained", refuse)
    generator = DiffusersGenerator("a/b", revision="abc", safety_checker=False)
    with pytest.raises(ValueError, match="offline"):
        generator.load()
    assert (asked["source"], asked["revision"]) == ("a/b", "abc")
    assert asked["safety_checker"] is None  # its weights are not even fetched


def test_identity_needs_no_loading_and_no_place(folder, tmp_path):
    def identity(path=folder, **values):
        generator = DiffusersGenerator(path, **values)
        found = json.dumps(generator.identity)
        assert "pipeline" not in vars(generator)
        return found

    (tmp_path / "moved").symlink_to(folder)
    assert identity() == identity(tmp_path / "moved") == identity(batch_size=3)
    others = [
        *({"steps": 4}, {"guidance": 2.0}, {"scheduler": "ddim"}, {"dtype": "float16"}),
        *({"size": 24}, {"safety_checker": False}),
    ]
    assert len({identity(), *(identity(**values) for values in others)}) == 7
    assert "hub/name" in identity("hub/name")
    assert identity("hub/name") != identity("hub/name", revision="abc")


RECORDED = {
    "cpu": ("6c051bda5c7da461", "float32"),
    "cuda": ("51f8419a431d6e5d", "float16"),
}


@pytest.mark.parametrize("device", RECORDED)
def test_stored_sets_are_found_again(tmp_path, device):
    """Recorded: the name of a set made with the defaults must never change."""
    key, dtype = RECORDED[device]
    generator = DiffusersGenerator(
        "stable-diffusion-v1-5/stable-diffusion-v1-5", device=torch.device(device)
    )
    assert generator.identity == {
        "model": "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "steps": 50,
        "guidance": 7.5,
        "scheduler": "default",
        "dtype": dtype,
    }
    pool = build_pool(["cat", "dog"], [])
    folder = ImageStore(tmp_path).folder(pool, generator=generator, task_index=2, seed=42)
    assert folder.name == key


def test_a_checksum_is_no_generator(folder):
    checksum = DiffusersGenerator(folder).identity["model"]
    with pytest.raises(ValueError, match=r"checksum of a generator.*give the pipeline's folder"):
        DiffusersGenerator(checksum)


def test_identity_follows_the_files(folder, tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    before = DiffusersGenerator(tmp_path).identity
    (tmp_path / "weights.safetensors").write_bytes(b"1")
    between = DiffusersGenerator(tmp_path).identity
    (tmp_path / "weights.safetensors").write_bytes(b"2")
    assert before != between != DiffusersGenerator(tmp_path).identity != before


def test_half_precision_on_a_gpu_by_default():
    assert DiffusersGenerator("a/b", device=torch.device("cuda")).precision == "float16"
    assert DiffusersGenerator("a/b").precision == "float32"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scheduler": "eular"}, "Did you mean 'euler'"),
        ({"dtype": "float61"}, "Did you mean 'float16'"),
        ({"revision": "main"}, "belongs to a hub id"),
    ],
)
def test_refused(folder, values, message):
    with pytest.raises(ValueError, match=message):
        DiffusersGenerator(folder, **values)


def test_a_folder_without_a_pipeline(tmp_path, tiny_clip_folder):
    with pytest.raises(ValueError, match=r"no model_index\.json"):
        DiffusersGenerator(tiny_clip_folder)
    with pytest.raises(FileNotFoundError, match="not a folder"):
        DiffusersGenerator(tmp_path / "nowhere")


def test_through_the_store(folder, tmp_path, capfd):
    def fetch(root, count, batch_size):
        generator = DiffusersGenerator(folder, steps=2, batch_size=batch_size)
        found = ImageStore(tmp_path / root).fetch(
            build_pool(["cat", "dog"], []), generator=generator, task_index=1, count=count
        )
        return generator, [np.asarray(found[i], dtype=int) for i in range(count)]

    _, small = fetch("one", 3, 3)
    loaded, large = fetch("one", 5, 2)
    unused, again = fetch("one", 4, 2)
    assert "pipeline" in vars(loaded)
    assert "pipeline" not in vars(unused)
    _, other = fetch("two", 5, 5)
    np.testing.assert_array_equal(large[:3], small)
    np.testing.assert_array_equal(again, large[:4])
    assert np.abs(np.array(other) - np.array(large)).max() <= 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_loading_is_silent_in_a_fresh_process(folder):
    code = (
        "from gift.synthesis import DiffusersGenerator\n"
        f"DiffusersGenerator({str(folder)!r}, steps=1).generate(['x'], [1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_pickled_weights_are_not_read(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    weights = tmp_path / "copy/unet/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ValueError, match=r"unet: it has no weights as safetensors, and pickled"):
        DiffusersGenerator(tmp_path / "copy", steps=1)


@pytest.mark.parametrize("part", ["unet", "tokenizer", "text_encoder"])
def test_a_missing_part_is_refused_before_loading(folder, tmp_path, part):
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns(part))
    with pytest.raises(ValueError, match=rf"not a whole pipeline: {part} missing"):
        DiffusersGenerator(tmp_path / "copy")


@pytest.mark.parametrize("index", ["{", "[]", ""])
def test_a_damaged_index_is_refused_before_loading(tmp_path, index):
    (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(ValueError, match=r"model_index\.json (holds no JSON|cannot be read)"):
        DiffusersGenerator(tmp_path)


def test_weights_that_lack_a_tensor_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    weights = tmp_path / "copy/unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    del tensors["conv_in.weight"]
    save_file(tensors, weights)
    with pytest.raises(ValueError, match=r"copy cannot be loaded on cpu \(\w+: .+\)"):
        DiffusersGenerator(tmp_path / "copy", steps=1).generate(["x"], [1])
