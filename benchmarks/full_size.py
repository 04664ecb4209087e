"""Time and memory of GIFT at full size, with random weights, through the library's own path.

A model folder and a pipeline folder of the chosen architecture are written to disk; then a learner
generates images, learns one task, is evaluated twice (the second time from the pixel cache), saved,
and read again. Weights do not change how long anything takes, so nothing is downloaded; accuracies
mean nothing here.

    python benchmarks/full_size.py                              # as published, on a GPU
    python benchmarks/full_size.py --device cpu --steps 2 --images 2 --train-batch 4 --classes 10
    python benchmarks/full_size.py --show results/full-size/cpu.json

The pipeline has no safety checker. Texts are read with a vocabulary of whole words, some 3300 of
them: texts are about as long as with OpenAI's, and the embedding tables have their true size.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import yaml
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
)
from transformers.utils import logging

from gift import Learner, Task
from gift.config import LearnerConfig
from gift.data import Paths, class_list
from gift.files import read_json, write_json
from gift.runs import RunFolder, environment, peak_memory_mb, reset_peak_memory
from gift.settings import validate
from gift.train import training_device
from gift_micro.clip import make_tokenizer

MODELS = Path(__file__).parent / "models"
PHOTO = (500, 375)
"""Width and height of the made photographs, in pixels: those of a usual data set's image."""


@dataclass(frozen=True)
class Stage:
    """What one stage took.

    Attributes:
        name: for people.
        seconds: wall time.
        cpu_seconds: time that the process's threads ran, which other processes do not lengthen.
        images: images that went through it, None where that is no measure.
        peak_memory_mb: largest resident size of the process meanwhile, in MiB.
        device_peak_mb: largest memory that torch held on the GPU meanwhile, in MiB.
    """

    name: str
    seconds: float
    cpu_seconds: float | None = None
    images: int | None = None
    peak_memory_mb: float | None = None
    device_peak_mb: float | None = None


@dataclass
class Stopwatch:
    """Measures stages one after the other."""

    device: torch.device
    stages: list[Stage] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, images: int | None = None) -> Iterator[None]:
        """Measure the block."""
        on_gpu = self.device.type == "cuda"
        reset_peak_memory()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        print(f"{name} ...", file=sys.stderr, flush=True)
        started, ran = time.perf_counter(), time.process_time()
        yield
        if on_gpu:
            torch.cuda.synchronize()
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - ran
        self.stages.append(
            Stage(
                name,
                round(seconds, 3),
                round(cpu_seconds, 3),
                images,
                peak_memory_mb(),
                round(torch.cuda.max_memory_allocated() / 2**20, 1) if on_gpu else None,
            )
        )


def write_clip(folder: Path, sizes: dict[str, Any], tokenizer: CLIPTokenizer) -> int:
    """A CLIP with random weights as an ordinary folder; returns its number of parameters."""
    text = sizes["text_config"] | special_tokens(tokenizer)
    model = CLIPModel(CLIPConfig(**sizes | {"text_config": text}))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    side = sizes["vision_config"]["image_size"]
    CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    ).save_pretrained(folder)
    return parameters_of(model)


def write_pipeline(
    folder: Path, sizes: dict[str, Any], tokenizer: CLIPTokenizer, side: int
) -> dict[str, int]:
    """A Stable Diffusion with random weights that generates images of ``side`` x ``side`` pixels.

    Returns:
        The number of parameters of each part.
    """
    latent = side // halvings(sizes["vae"])
    parts = {
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(**sizes["text_encoder"] | special_tokens(tokenizer))
        ),
        "unet": diffusers.UNet2DConditionModel(sample_size=latent, **sizes["unet"]),
        "vae": diffusers.AutoencoderKL(sample_size=side, **sizes["vae"]),
    }
    diffusers.StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizer,
        scheduler=diffusers.PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            skip_prk_steps=True,
            steps_offset=1,
            set_alpha_to_one=False,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return {name: parameters_of(part) for name, part in parts.items()}


def special_tokens(tokenizer: CLIPTokenizer) -> dict[str, int]:
    """A text is read at its end token, so the configuration must name the tokenizer's."""
    return {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def parameters_of(model: torch.nn.Module) -> int:
    """How many numbers a model holds."""
    return sum(parameter.numel() for parameter in model.parameters())


def halvings(sizes: dict[str, Any]) -> int:
    """By how much a network shrinks an image: it halves it between any two of its blocks."""
    return int(2 ** (len(sizes["block_out_channels"]) - 1))


def architecture(model: str, side: int) -> dict[str, Any]:
    """The configurations of both models.

    Raises:
        ValueError: there is no such architecture, or it cannot generate images of that side.
    """
    names = sorted(path.stem for path in MODELS.glob("*.yaml"))
    if model not in names:
        raise ValueError(f"--model {model!r} is none of {', '.join(names)}.")
    sizes: dict[str, Any] = yaml.safe_load((MODELS / f"{model}.yaml").read_text(encoding="utf-8"))
    unit = halvings(sizes["vae"]) * halvings(sizes["unet"])
    if side < unit or side % unit:
        raise ValueError(f"--size {side} must be a multiple of {unit}.")
    return sizes


def write_models(sizes: dict[str, Any], folder: Path, side: int) -> dict[str, int]:
    """Both folders of an architecture, ``clip`` and ``pipeline``; returns their parameters."""
    texts = [f"a photo of a {name}." for name in class_list("imagenet")]
    clip_context = sizes["clip"]["text_config"]["max_position_embeddings"]
    context = sizes["text_encoder"]["max_position_embeddings"]
    torch.manual_seed(0)
    found = write_pipeline(folder / "pipeline", sizes, make_tokenizer(texts, context), side)
    found["clip"] = write_clip(folder / "clip", sizes["clip"], make_tokenizer(texts, clip_context))
    return found


def write_task(folder: Path, classes: int, per_class: int) -> Task:
    """A task of made photographs, as many for testing as for training.

    Raises:
        ValueError: more classes than there are names.
    """
    names = list(dict.fromkeys(class_list("imagenet")))
    if not 1 <= classes <= len(names):
        raise ValueError(f"--classes {classes} must be 1 to {len(names)}.")
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in names[:classes]:
            home = folder / part / name.replace(" ", "_").replace("/", "-")
            home.mkdir(parents=True)
            for index in range(per_class):
                coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
                photo = Image.fromarray(coarse).resize(PHOTO, Image.Resampling.BICUBIC)
                photo.save(home / f"{index}.jpg", quality=90)
    return Task.from_folder(folder)


def learner_settings(options: argparse.Namespace, models: Path, number: int) -> LearnerConfig:
    """The learner that generates with the given batch size, counted from 0; each its own images."""
    return validate(
        LearnerConfig,
        {
            "method": "gift",
            "model": str(models / "clip"),
            "training": {
                "iterations": options.iterations,
                "batch_size": options.train_batch,
                "precision": options.precision,
                "warmup": 0,
                "log_every": 1,
            },
            "synthesis": {
                "generator": str(models / "pipeline"),
                "images": options.images + 1,
                "steps": options.steps,
                "batch_size": options.batch_size[number],
                "seed": number,
            },
        },
    )


def measure(options: argparse.Namespace, folder: Path, device: torch.device) -> dict[str, Any]:
    """All stages in a folder for models, images and caches."""
    watch, models = Stopwatch(device), folder / "models"
    sizes = architecture(options.model, options.size)
    configs = [learner_settings(options, models, n) for n in range(len(options.batch_size))]
    task = write_task(folder / "task", options.classes, options.per_class)
    with watch.stage("write both models to disk"):
        parameters = write_models(sizes, models, options.size)
    for config in configs:
        with watch.stage("read CLIP"):
            learner = Learner(config, paths=Paths.of(folder / "home"))
        with watch.stage("read and hash the pipeline, generate one image"):
            learner.generate(1)
        with watch.stage(f"generate, {config.synthesis.batch_size} at a time", options.images):
            learner.generate(options.images + 1)
    run = RunFolder(folder / "learner")
    run.path.mkdir()
    with watch.stage(f"learn a task, {options.iterations} steps"):
        learner.learn(task, folder=run)
    watch.stages += parts_of_learning(run, options)
    test = len(task.evaluation or ())
    with watch.stage("evaluate, images decoded", test):
        before = learner.evaluate(task)
    with watch.stage("evaluate, from the pixel cache", test):
        learner.evaluate(task)
    with watch.stage("save the learner"):
        learner.save(folder / "saved")
    with watch.stage("read the learner again"):
        again = Learner.load(folder / "saved", paths=Paths.of(folder / "home"))
    if again.memory != learner.memory or again.evaluate(task) != before:
        raise RuntimeError("the learner that was read again is not the one that was saved.")
    return {"parameters": parameters, "stages": [asdict(stage) for stage in watch.stages]}


def parts_of_learning(run: RunFolder, options: argparse.Namespace) -> list[Stage]:
    """From the log of a task: what came before the first step, and the steps themselves."""
    events = [event for event in run.events() if event.stage == "train"]
    steps = [event for event in events if event.step is not None]
    (whole,) = (event.seconds for event in events if event.seconds is not None)
    available, synthetic = options.classes * options.per_class, options.images + 1
    seen = sum(images_in(len(steps), n, options.train_batch) for n in (available, synthetic))
    looped = seen / (steps[-1].images_per_second or 1.0)
    return [
        Stage("  of it: features of the teacher", round(whole - looped, 3), images=synthetic),
        Stage("  of it: the steps", round(looped, 3), images=seen),
    ]


def images_in(steps: int, available: int, batch: int) -> int:
    """Images of a set that so many steps take; the last batch of a pass may be smaller."""
    sizes = [min(batch, available - start) for start in range(0, available, batch)]
    return sum(islice(cycle(sizes), steps))


def markdown(report: dict[str, Any]) -> str:
    """The table of a report."""
    lines = [
        "| stage | seconds | CPU seconds | images/s | peak memory (MiB) | peak on the GPU (MiB) |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for values in report["stages"]:
        stage = Stage(**values)
        rate = stage.images / stage.seconds if stage.images and stage.seconds else None
        memory = stage.peak_memory_mb, stage.device_peak_mb
        numbers = (stage.seconds, stage.cpu_seconds, rate, *memory)
        digits = (1, 1, 2, 0, 0)
        cells = ("–" if n is None else f"{n:.{d}f}" for n, d in zip(numbers, digits, strict=True))
        lines.append(f"| {' | '.join([stage.name.strip(), *cells])} |")
    return "\n".join(lines) + "\n"


def hardware(device: torch.device) -> dict[str, Any]:
    """The machine and the versions, with the names of processor and GPU."""
    found: dict[str, Any] = {**environment(str(device)), "threads": torch.get_num_threads()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        found["processor"] = names[0].partition(":")[2].strip() if names else found["processor"]
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; the defaults are the published settings, but few steps and images."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--model", default="base", help="architecture: a file in benchmarks/models")
    add("--device", choices=["cpu", "cuda"], help="by default a GPU where there is one")
    add("--precision", choices=["fp32", "bf16"], default="fp32", help="of training")
    add("--size", type=int, default=512, help="side of the synthetic images, in pixels")
    add("--steps", type=int, default=50, help="denoising steps")
    add("--images", type=int, default=16, help="images generated at every batch size")
    add("--batch-size", type=int, nargs="+", default=[1, 8], help="images generated at a time")
    add("--iterations", type=int, default=2, help="training steps")
    add("--train-batch", type=int, default=64, help="task images per step; as many synthetic")
    add("--classes", type=int, default=100, help="classes of the task")
    add("--per-class", type=int, default=2, help="training images of each, and test images")
    add("--work", type=Path, help="folder for models and caches, removed afterwards")
    add("--out", type=Path, help="file of the report, JSON")
    add("--show", type=Path, metavar="FILE", help="print the table of a report and do nothing else")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure and print, or print; returns the exit status."""
    options = parse(arguments)
    if options.show:
        print(markdown(read_json(options.show)), end="")
        return 0
    if options.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    device = training_device()
    if options.device not in {None, device.type}:
        print(f"--device {options.device}: this machine offers {device.type}.", file=sys.stderr)
        return 2
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        try:
            found = measure(options, Path(folder).resolve(), device)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
    settings = {k: v for k, v in vars(options).items() if k not in {"work", "out", "show"}}
    report = {"settings": settings, "machine": hardware(device), **found}
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, json.loads(json.dumps(report)))
    print(markdown(report), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
