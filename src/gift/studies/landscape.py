"""The loss landscape of two runs: mean cross-entropy on the plane through their weights.

Wu et al., "Synthetic Data is an Elegant GIFT for Continual Vision-Language Models", figure 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gift.config import RunConfig
from gift.data import (
    Paths,
    load_benchmark,
    measured_split,
    open_tasks,
    pixels,
    with_revisions,
)
from gift.data.labels import LabelSpace
from gift.learner import Learner
from gift.progress import track
from gift.runs.records import Rounded
from gift.settings import Settings
from gift.studies.entries import is_called
from gift.studies.pictures import Landscape
from gift.studies.plan import PlannedRun
from gift.vlm import VisionLanguageModel
from gift.vlm.features import pixel_batch
from gift.vlm.zeroshot import class_embeddings
from gift.weights.averaging import assign, holding, snapshot
from gift.weights.plane import Plane, Point, plane_through

MARGIN = 0.4
"""How far the grid reaches beyond the models, in parts of their largest distance on an axis."""


class Surface(Settings):
    """Losses on one data set.

    Attributes:
        title: which loss of which data set.
        images: number of images.
        losses: mean cross-entropy in nats, by row (y) and column (x) of the grid.
        models: the same at the three models.
    """

    title: str
    images: int
    losses: tuple[tuple[Rounded, ...], ...]
    models: tuple[Rounded, Rounded, Rounded]


class LossLandscape(Settings):
    """Losses on a plane of weights.

    Attributes:
        x: distances along the first direction, from the pre-trained model to the first run's.
        y: distances along the second, at a right angle to it, towards the second run's.
        models: where the pre-trained model and the two runs' lie.
        surfaces: the losses on each data set.
    """

    x: tuple[Rounded, ...]
    y: tuple[Rounded, ...]
    models: tuple[Point, Point, Point]
    surfaces: tuple[Surface, ...]


@dataclass(frozen=True)
class LabelledPixels:
    """Images on which a loss is measured.

    Attributes:
        title: which loss of which data set.
        labels: the classes, with the templates that are used.
        pixels: [N, 3, S, S] as the model takes them, on its device.
        targets: int64 [N] classes, on its device.
    """

    title: str
    labels: LabelSpace
    pixels: Tensor
    targets: Tensor


def measure_landscape(
    picture: Landscape, runs: Sequence[PlannedRun], paths: Paths
) -> LossLandscape:
    """The training loss of the first task and the test loss of another one around two runs.

    The cost is ``2 * (grid ** 2 + 3)`` passes over ``images`` images and the prompts of a data
    set's classes, without gradients.

    Args:
        picture: which images, and how fine the grid is.
        runs: two finished runs from the same pre-trained model, with their learners.
        paths: cache and data directories.

    Raises:
        ValueError: a run whose folder holds no learner, or models on one line.
    """
    models = (Learner.load(run.folder, paths=paths).model for run in runs)
    model = Learner(runs[0].config, paths=paths).model.eval()
    plane = plane_through(*(snapshot(m.trainable_parameters()) for m in (model, *models)))
    x, y = grid_around(plane.points, picture.grid)
    surfaces = []
    for data in _data(picture, runs[0].config, model, paths):
        points = [*plane.points, *((across, up) for up in y for across in x)]
        losses = losses_at(
            track(points, f"landscape, {data.title}", len(points)), plane, model, data
        )
        surfaces.append(
            Surface(
                title=data.title,
                images=len(data.targets),
                losses=np.reshape(losses[3:], (len(y), len(x))).tolist(),
                models=losses[:3],
            )
        )
    return LossLandscape(x=x, y=y, models=plane.points, surfaces=surfaces)


def losses_at(
    points: Iterable[Point], plane: Plane, model: VisionLanguageModel, data: LabelledPixels
) -> list[float]:
    """The mean cross-entropy at points of a plane; the model has its own weights afterwards."""
    parameters, losses = model.trainable_parameters(), []
    with holding(parameters, plane.origin):
        for x, y in points:
            assign(parameters, plane.at(x, y))
            losses.append(mean_cross_entropy(model, data))
    return losses


@torch.no_grad()
def mean_cross_entropy(
    model: VisionLanguageModel, data: LabelledPixels, *, batch_size: int = 256
) -> float:
    """The mean cross-entropy of the zero-shot classifier on labelled images, in nats.

    Args:
        model: in evaluation mode.
        data: the images and the classes to choose from.
        batch_size: images encoded at a time; it bears on memory and speed only.
    """
    classes = class_embeddings(model, data.labels)
    total = 0.0
    for images, targets in zip(
        data.pixels.split(batch_size), data.targets.split(batch_size), strict=True
    ):
        logits = model.logit_scale * model.encode_images(images) @ classes.T
        total += float(F.cross_entropy(logits, targets, reduction="sum"))
    return total / len(data.targets)


def grid_around(points: Sequence[Point], count: int) -> tuple[tuple[float, ...], ...]:
    """A square grid with all points inside: ``count`` values of x, and as many of y."""
    places = np.array(points)
    low, high = places.min(axis=0), places.max(axis=0)
    half = (0.5 + MARGIN) * (high - low).max()
    return tuple(
        tuple(np.linspace(centre - half, centre + half, count).tolist())
        for centre in (low + high) / 2
    )


def _data(
    picture: Landscape, config: RunConfig, model: VisionLanguageModel, paths: Paths
) -> Iterator[LabelledPixels]:
    """Training images of the first learned task, with training's prompts, and test images."""
    entries = with_revisions(load_benchmark(config.benchmark).datasets(), config.hub_revisions)
    learned = [entry for entry in entries if entry.name in (config.tasks or ())]
    others = [entry for entry in entries if entry not in learned]
    if not learned or not others:
        raise ValueError("a landscape needs a task that is not learned; limit the rows by 'tasks'.")
    named = [entry for entry in others if is_called(entry.name, picture.unlearned)]
    how = config.evaluation
    first, other = (
        measured_split(task, how.split, how.validation_fraction)
        for task in open_tasks([learned[0], (named or others)[-1]], paths, config.draw)
    )
    assert first.train is not None, "it was learned"
    assert other.test is not None, "it was chosen for its test images"
    training = replace(first.labels, templates=first.labels.templates[:1])
    for title, labels, images in (
        ("training loss", training, first.train),
        (f"{how.split} loss", other.labels, other.test),
    ):
        array = pixels(images, model.preprocess.test_array, model.preprocess.key, paths)
        count = min(picture.images, len(images))
        chosen = [len(images) * i // count for i in range(count)]
        targets = torch.tensor([images.labels[i] for i in chosen], device=model.device)
        yield LabelledPixels(
            f"{title}, {labels.name}", labels, pixel_batch(model, array, chosen), targets
        )
