"""What generated images are worth: whether the micro CLIP knows them, and what they cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gift.data.labels import LabelSpace
from gift.progress import track
from gift.synthesis.generator import TextToImage
from gift.text import fill
from gift.vlm import VisionLanguageModel, class_embeddings
from gift_micro.corpus import CAPTION_TEMPLATES, caption_templates
from gift_micro.draw import Concept
from gift_micro.quality import frechet_distance, precision_recall
from gift_micro.rendering import render
from gift_micro.styles import StyleSampler

Images = list[list[Image.Image]]
"""The images of each class."""

Features = NDArray[np.float32]
"""Unit image features [C, n, D] of n images of each of C classes."""


def generate(generator: TextToImage, concepts: Sequence[Concept], count: int) -> Images:
    """``count`` images of every concept, prompted as the corpus captions it."""
    images = []
    for index, concept in track(enumerate(concepts), "generated images", len(concepts)):
        prompt = fill(caption_templates(concept.family)[0], concept.name)
        seeds = [index * count + image for image in range(count)]
        images.append(generator.generate([prompt] * count, seeds))
    return images


def draw(concepts: Sequence[Concept], count: int, style: StyleSampler, seed: int) -> Images:
    """``count`` drawn pictures of every concept."""

    def one(concept: int, image: int) -> Image.Image:
        rng = np.random.default_rng((seed, concept, image))
        return render(concepts[concept], style(rng), rng)

    return [[one(concept, image) for image in range(count)] for concept in range(len(concepts))]


@torch.no_grad()
def encode(model: VisionLanguageModel, images: Images) -> Features:
    """Unit image features [C, n, D] of n images of each of C classes."""
    features = []
    for own in images:
        arrays = np.stack([model.preprocess.test_array(image) for image in own])
        pixels = model.preprocess.normalize(torch.from_numpy(arrays))
        features.append(model.encode_images(pixels).numpy())
    return np.stack(features)


@torch.no_grad()
def hits(model: VisionLanguageModel, labels: LabelSpace, features: Features) -> NDArray[np.bool_]:
    """Whether each of n images of C classes is classified correctly: [C, n] for [C, n, D]."""
    guesses = (features @ class_embeddings(model, labels).numpy().T).argmax(axis=-1)
    found: NDArray[np.bool_] = guesses == np.arange(len(features))[:, None]
    return found


def accuracy(
    model: VisionLanguageModel, concepts: Sequence[Concept], features: Features
) -> dict[str, float]:
    """Top-1 accuracy in percent among all concepts: overall and by family."""
    labels = LabelSpace("concepts", tuple(c.name for c in concepts), CAPTION_TEMPLATES[:4])
    found = hits(model, labels, features)
    families = np.array([concept.family for concept in concepts])
    means = {name: found[families == name].mean() for name in dict.fromkeys(families.tolist())}
    return {name: 100 * float(mean) for name, mean in {"overall": found.mean(), **means}.items()}


def coverage(real: Features, features: Features) -> dict[str, float]:
    """How images cover real ones, see :mod:`gift_micro.quality`."""
    reference, own = (one.reshape(-1, one.shape[-1]) for one in (real, features))
    precision, recall = precision_recall(reference, own)
    distance = frechet_distance(reference, own)
    return {"frechet_distance": distance, "precision": precision, "recall": recall}
