"""Generators that share less and less with the micro CLIP, trained for one experiment.

Each learns pictures of its own corpus, all for equally many steps, with the autoencoder and the
text tower of the shipped pipeline. What they share with the model is measured in its features.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPModel, CLIPTokenizer

from gift.files import read_json, write_json
from gift.synthesis import DiffusersGenerator
from gift.text import unknown
from gift.vlm import VisionLanguageModel
from gift_micro import CATALOGUE
from gift_micro.build import FULL, BuildScale
from gift_micro.concepts import CONCEPTS
from gift_micro.corpus import Corpus, make_corpus
from gift_micro.diffusion import assemble, prepare_inputs, train_unet
from gift_micro.draw import Concept
from gift_micro.judging import accuracy, coverage, draw, encode, generate
from gift_micro.styles import CLEAN, FOREIGN, StyleSampler, always, corpus_style
from gift_micro.training import torch_threads, training_device

_SHIPPED = CATALOGUE.folder / "models"


@dataclass(frozen=True)
class Knowledge:
    """What a generator has learned.

    Attributes:
        title: for people.
        style: of its pictures; by default the mixture of the model's pre-training.
        concepts: that they show; by default all.
    """

    title: str
    style: StyleSampler = corpus_style
    concepts: tuple[Concept, ...] = CONCEPTS


KNOWLEDGE: Mapping[str, Knowledge] = {
    "shared": Knowledge("all that the model has seen"),
    "half": Knowledge("every second concept", concepts=CONCEPTS[::2]),
    "clean": Knowledge("clean pictures only", style=always(CLEAN)),
    "foreign": Knowledge("negatives, upside down, which the model has never seen", always(FOREIGN)),
}
"""The generators of :data:`gift_micro.GENERATORS`."""

SHORT = replace(FULL, unet=replace(FULL.unet, schedule=replace(FULL.unet.schedule, steps=3_000)))
"""The scale of all of them: the shipped generator's, with a shorter training."""


def build_generator(
    name: str, folder: Path, *, seed: int = 0, scale: BuildScale = SHORT, threads: int = 2
) -> dict[str, object]:
    """Train a generator into a pipeline folder, resuming an interrupted training.

    Args:
        name: one of :data:`KNOWLEDGE`.
        folder: the pipeline; it appears when it is whole. ``<folder>.json`` beside it gets what is
            returned; ``<folder>.work`` is there while it is made.
        seed: of corpus and training.
        scale: its corpus, denoiser and evaluation.
        threads: processor cores to use.

    Returns:
        The generator's name and title, the seed, the steps of its training and the seconds that
        each stage took since it was last started; what percentage of its images the micro CLIP
        classifies correctly among all concepts; and how they cover pictures of pre-training, see
        :mod:`gift_micro.quality`.

    Raises:
        ValueError: there is no such generator.
    """
    if name not in KNOWLEDGE:
        raise ValueError(unknown("generator", name, KNOWLEDGE))
    report, work = (folder.with_name(folder.name + end) for end in (".json", ".work"))
    knowledge, seconds = KNOWLEDGE[name], {}
    with torch_threads(threads):
        if not folder.exists():
            seconds = _train(knowledge, folder, work, seed, scale)
        if not report.exists():
            known = {"name": name, "title": knowledge.title, "seed": seed}
            trained = {"steps": scale.unet.schedule.steps, "seconds": seconds}
            write_json(report, {**known, **trained, **_judge(folder, seed, scale)})
    if work.exists():
        shutil.rmtree(work)
    found: dict[str, object] = read_json(report)
    return found


def _train(
    knowledge: Knowledge, folder: Path, work: Path, seed: int, scale: BuildScale
) -> dict[str, float]:
    """Draw the corpus, train the denoiser and save the pipeline; returns seconds by stage."""
    tokenizer = CLIPTokenizer.from_pretrained(_SHIPPED / "clip")
    clip = CLIPModel.from_pretrained(_SHIPPED / "clip", dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(_SHIPPED / "diffusion" / "vae").to(training_device())
    inputs, unet = work / "inputs.safetensors", work / "unet"
    concepts = [c for c in knowledge.concepts if c in scale.concepts]

    def draw_corpus() -> None:
        make_corpus(work / "corpus", scale.corpus, concepts, style=knowledge.style, seed=seed)

    def encode_corpus() -> None:
        prepare_inputs(Corpus.open(work / "corpus"), clip, tokenizer, vae, inputs)

    def train() -> None:
        train_unet(inputs, scale.unet, unet, checkpoint=work / "checkpoint.safetensors", seed=seed)

    stages: dict[str, tuple[Path, Callable[[], None]]] = {
        "corpus": (work / "corpus" / "corpus.json", draw_corpus),
        "inputs": (inputs, encode_corpus),
        "unet": (unet, train),
    }
    seconds = {}
    for stage, (result, make) in stages.items():
        if not result.exists():
            started = time.monotonic()
            make()
            seconds[stage] = round(time.monotonic() - started, 1)
    assemble(clip, tokenizer, vae, UNet2DConditionModel.from_pretrained(unet), folder)
    return seconds


def _judge(folder: Path, seed: int, scale: BuildScale) -> dict[str, object]:
    """Accuracy and coverage of images that a pipeline generates of all concepts."""
    model = VisionLanguageModel.from_pretrained(_SHIPPED / "clip")
    generator = DiffusersGenerator(folder, steps=scale.sampling_steps, guidance=scale.guidance)
    real = encode(model, draw(scale.concepts, scale.judged, corpus_style, seed))
    own = encode(model, generate(generator, scale.concepts, scale.judged))
    return {"accuracy": accuracy(model, scale.concepts, own), "coverage": coverage(real, own)}
