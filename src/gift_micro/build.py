"""Training of the micro benchmark's models: an ordinary CLIP and an ordinary diffusion pipeline.

``gift micro build FOLDER`` makes what the package ships.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer

from gift.data.labels import LabelSpace
from gift.files import read_json, write_json, write_text
from gift.synthesis import DiffusersGenerator
from gift.vlm import VisionLanguageModel
from gift_micro.catalogue import VERSION
from gift_micro.clip import ClipSettings, train_clip
from gift_micro.concepts import CONCEPTS, TASK_FAMILIES
from gift_micro.corpus import IMAGE_SIZE, Corpus, CorpusSettings, make_corpus
from gift_micro.diffusion import (
    UNetSettings,
    VaeSettings,
    assemble,
    peak_signal_to_noise,
    prepare_inputs,
    train_unet,
    train_vae,
)
from gift_micro.draw import Concept
from gift_micro.images import COUNTS, TASK_TEMPLATES, draw_image
from gift_micro.judging import Images, accuracy, coverage, draw, encode, generate, hits
from gift_micro.styles import CLEAN, always, corpus_style
from gift_micro.training import torch_threads, training_device

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildScale:
    """How large the models and their corpus are.

    Attributes:
        names: the concepts in the corpus; all by default.
        corpus: the pictures that both models learn from.
        clip: the CLIP model.
        vae: the autoencoder.
        unet: the denoiser.
        judged: generated pictures per concept in the evaluation.
        sampling_steps: denoising steps of each.
        guidance: their classifier-free guidance scale; 1 is none.
    """

    names: tuple[str, ...] | None = None
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    clip: ClipSettings = field(default_factory=ClipSettings)
    vae: VaeSettings = field(default_factory=VaeSettings)
    unet: UNetSettings = field(default_factory=UNetSettings)
    judged: int = 10
    sampling_steps: int = 8
    guidance: float = 1.5

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts in the corpus, in their stable order."""
        return tuple(c for c in CONCEPTS if self.names is None or c.name in self.names)


FULL = BuildScale()
"""The scale of the shipped models."""


@dataclass(frozen=True)
class _Job:
    folder: Path
    seed: int
    scale: BuildScale

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def corpus(self) -> Corpus:
        return Corpus.open(self.work / "corpus")

    def clip(self) -> tuple[CLIPModel, CLIPTokenizer]:
        folder = self.folder / "clip"
        model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        return model, CLIPTokenizer.from_pretrained(folder)

    def vae(self) -> AutoencoderKL:
        return AutoencoderKL.from_pretrained(self.work / "vae")


def build(
    folder: Path,
    *,
    seed: int = 0,
    scale: BuildScale = FULL,
    threads: int = 2,
) -> dict[str, object]:
    """Make ``clip``, ``diffusion`` and ``build.json`` in a folder, resuming an interrupted build.

    A stage is skipped when its result is there, and the trainings keep checkpoints. With more than
    one thread the autoencoder is trained in a second process beside CLIP; a script that calls this
    then needs its ``if __name__ == "__main__":``.

    Args:
        folder: made with its parents. Its ``work`` holds the intermediate results and a sheet of
            generated pictures, and may be deleted in the end.
        seed: of everything.
        scale: how much of everything.
        threads: processor cores to use.

    Returns:
        What ``build.json`` holds: version, seed and scale, the seconds of each stage, and the
        quality measured: zero-shot accuracy per task, the autoencoder's fidelity, how many of the
        generated pictures CLIP classifies correctly among all concepts, and how they cover the
        corpus in CLIP's image features, see :mod:`gift_micro.quality`.

    Raises:
        ValueError: the folder was started with another seed or scale.
    """
    job = _Job(folder, seed, scale)
    job.work.mkdir(parents=True, exist_ok=True)
    _check_setting(job)
    _run("corpus", job, threads)
    if threads > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as other:
            vae = other.submit(_run, "vae", job, 1)
            _run("clip", job, threads - 1)
            vae.result()
    for name in _STAGES:
        _run(name, job, threads)
    report: dict[str, object] = read_json(folder / "build.json")
    return report


def _check_setting(job: _Job) -> None:
    path = job.work / "setting.json"
    setting = _setting(job)
    if not path.exists():
        write_json(path, setting)
    elif read_json(path) != setting:
        raise ValueError(
            f"{job.folder} was started with another seed or scale (see {path}); give another "
            "folder, or delete that one to start again."
        )


def _setting(job: _Job) -> dict[str, object]:
    text = json.dumps({"seed": job.seed, "scale": asdict(job.scale)})
    setting: dict[str, object] = json.loads(text)
    return setting


def _run(name: str, job: _Job, threads: int) -> None:
    """Run one stage, unless its result is there, and notes its seconds over all starts."""
    result, stage = _STAGES[name]
    if (job.folder / result).exists():
        return
    logger.info("%s ...", name)
    noted = job.work / f"{name}.seconds"
    before = float(noted.read_text(encoding="utf-8")) if noted.exists() else 0.0
    start = time.monotonic()
    try:
        with torch_threads(threads):
            stage(job)
    finally:
        seconds = before + time.monotonic() - start
        write_text(noted, f"{seconds:.1f}")
    logger.info("%s took %.0f s", name, seconds)


def _corpus(job: _Job) -> None:
    make_corpus(job.work / "corpus", job.scale.corpus, job.scale.concepts, seed=job.seed)


def _clip(job: _Job) -> None:
    train_clip(
        job.corpus(),
        job.scale.clip,
        job.folder / "clip",
        checkpoint=job.work / "clip.safetensors",
        seed=job.seed,
    )


def _vae(job: _Job) -> None:
    train_vae(
        job.corpus(),
        job.scale.vae,
        job.work / "vae",
        checkpoint=job.work / "vae.safetensors",
        seed=job.seed,
    )


def _inputs(job: _Job) -> None:
    vae = job.vae().to(training_device())
    prepare_inputs(job.corpus(), *job.clip(), vae, job.work / "inputs.safetensors")


def _unet(job: _Job) -> None:
    train_unet(
        job.work / "inputs.safetensors",
        job.scale.unet,
        job.work / "unet",
        checkpoint=job.work / "unet.safetensors",
        seed=job.seed,
    )


def _diffusion(job: _Job) -> None:
    unet = UNet2DConditionModel.from_pretrained(job.work / "unet")
    assemble(*job.clip(), job.vae(), unet, job.folder / "diffusion")


def _report(job: _Job) -> None:
    model = VisionLanguageModel.from_pretrained(job.folder / "clip")
    scale, seed = job.scale, job.seed
    generator = DiffusersGenerator(
        job.folder / "diffusion", steps=scale.sampling_steps, guidance=scale.guidance
    )
    generated = generate(generator, scale.concepts, scale.judged)
    sets = {
        "generated": generated,
        "corpus": draw(scale.concepts, scale.judged, corpus_style, seed + 1),
        "clean": draw(scale.concepts, scale.judged, always(CLEAN), seed),
    }
    features = {name: encode(model, images) for name, images in sets.items()}
    real = encode(model, draw(scale.concepts, scale.judged, corpus_style, seed))
    zero_shot = _zero_shot(model, scale.concepts)
    report = {
        "version": VERSION,
        **_setting(job),
        "seconds": {
            path.stem: float(path.read_text(encoding="utf-8"))
            for path in sorted(job.work.glob("*.seconds"))
        },
        "zero_shot": zero_shot,
        "mean_zero_shot": float(np.mean(list(zero_shot.values()))),
        "autoencoder_psnr": peak_signal_to_noise(job.vae(), job.corpus()),
        "accuracy": {name: accuracy(model, scale.concepts, f) for name, f in features.items()},
        "coverage": {name: coverage(real, f) for name, f in features.items()},
    }
    _contact_sheet(generated).save(job.work / "generated.png")
    write_json(job.folder / "build.json", report)


_STAGES: dict[str, tuple[str, Callable[[_Job], None]]] = {
    "corpus": ("work/corpus/corpus.json", _corpus),
    "clip": ("clip", _clip),
    "vae": ("work/vae", _vae),
    "inputs": ("work/inputs.safetensors", _inputs),
    "unet": ("work/unet", _unet),
    "diffusion": ("diffusion", _diffusion),
    "report": ("build.json", _report),
}
"""Each stage's result, below the build's folder, and what makes it."""


def _zero_shot(model: VisionLanguageModel, concepts: Sequence[Concept]) -> dict[str, float]:
    """Top-1 accuracy in percent on the validation images of each task, among its own classes."""
    found = {}
    for family in TASK_FAMILIES:
        own = [concept for concept in concepts if concept.family == family]
        if own:
            labels = LabelSpace(family, tuple(c.name for c in own), TASK_TEMPLATES[family])
            numbers = range(COUNTS["validation"])
            images = [[draw_image(c, "validation", number) for number in numbers] for c in own]
            found[family] = 100 * float(hits(model, labels, encode(model, images)).mean())
    return found


def _contact_sheet(images: Images, columns: int = 20) -> Image.Image:
    """The first image of every class, side by side."""
    cell = IMAGE_SIZE + 2
    sheet = Image.new("RGB", (columns * cell, -(-len(images) // columns) * cell))
    for index, own in enumerate(images):
        sheet.paste(own[0], (index % columns * cell, index // columns * cell))
    return sheet
