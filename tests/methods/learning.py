"""Two small tasks, and learning them with any method: for the tests of methods."""

from __future__ import annotations

import numpy as np
import torch
from support import NoiseImages, words

from gift.config import TrainingSettings
from gift.data.loader import ImageTexts, PreprocessedImages
from gift.methods import TaskContext
from gift.train import train_task

TASKS = (words("fruit", 3), words("birds", 4))
SETTINGS = TrainingSettings(iterations=4, batch_size=4, learning_rate=1e-3, warmup=1, log_every=1)


def pairs(task: int) -> ImageTexts:
    pixels = np.random.default_rng(task).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    return ImageTexts(pixels, tuple(f"a photo of a {c}." for c in "abcabd"))


def image_sets(model, method, task: int, images) -> dict[str, ImageTexts]:
    """What a learner hands over to a method that asks for it."""
    prompts = TASKS[task].prompts
    every = {
        "synthetic": pairs(task),
        "reference": pairs(9),
        "current": ImageTexts(
            PreprocessedImages(images, model.preprocess),
            tuple(prompts[label] for label in images.labels),
        ),
        "exemplar": method.exemplars(),
    }
    wanted = (*method.streams, *method.sets)
    return {name: every[name] for name in wanted if every[name] is not None}


def learn(model, method, task: int, records=None, settings=SETTINGS, **options):
    """Teach a model one of the two tasks."""
    images = NoiseImages(9, len(TASKS[task].classnames), seed=task)
    sets = image_sets(model, method, task, images)
    sentences = ("a photo of a dog.", "a photo of a car.", "a photo of a tree.")
    context = TaskContext(TASKS[task], settings.label_smoothing, sets, sentences, TASKS[:task])
    record = None if records is None else records.append
    train_task(model, method, context, images, settings, record=record, **options)


def scores(model, method, *, task_known=True):
    """Scores of five images against the classes of both tasks."""
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    predictor = method.predictor(model, TASKS)
    return torch.cat(
        [
            predictor.scores(pixels, [labels], labels.name if task_known else None)
            for labels in TASKS
        ],
        dim=1,
    )


def weights(model):
    """Copies of the trainable parameters by name."""
    return {name: p.detach().clone() for name, p in model.trainable_parameters().items()}
