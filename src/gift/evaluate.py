"""Accuracy of a predictor on data sets under a protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gift.data import Metric, Paths, Task
from gift.data import pixels as decode
from gift.data.labels import LabelSpace
from gift.data.task import Measured
from gift.methods import Predictor
from gift.progress import track
from gift.vlm import VisionLanguageModel
from gift.vlm.features import pixel_batch


@dataclass(frozen=True)
class Protocol:
    """How images are classified.

    The metric and the images belong to the task, see :class:`~gift.data.Task`.

    Attributes:
        label_space: the classes that compete for an image: those of its own ``task``, of all tasks
            ``seen`` (learned) so far, or the ``union`` of all tasks that are evaluated.
        task_id: whether the predictor is given the task of an image.
        batch_size: images per forward pass.
    """

    label_space: Literal["task", "seen", "union"] = "task"
    task_id: Literal["given", "hidden"] = "given"
    batch_size: int = 256

    def task_of(self, labels: LabelSpace) -> str | None:
        """The name of the images' task; None where it is hidden."""
        return labels.name if self.task_id == "given" else None


Among = Literal["task", "seen", "union"]
AMONG: Mapping[Among, str] = {
    "task": "the task's own classes",
    "seen": "all classes seen",
    "union": "the classes of all tasks",
}
"""The classes that compete for an image, in words."""


Images = Measured | Literal["all"]
"""Which of a task's images; ``all`` of a folder without splits, of which some may be learned."""


@dataclass(frozen=True)
class Accuracy:
    """A measured accuracy, and what it is of.

    Attributes:
        task: whose images were classified.
        value: percent.
        among: the classes that competed, see :data:`AMONG`; ``seen`` includes the task's own.
        images: see :data:`Images`.
        model: which model classified them, in words.
        metric: what the value is, see :data:`gift.data.Metric`.
    """

    task: str
    value: float
    among: Among
    images: Images
    model: str
    metric: Metric = "top1"


@dataclass(frozen=True)
class EvaluationSet:
    """Preprocessed images of one task with their labels.

    Attributes:
        labels: the task's class names and templates.
        pixels: uint8 [N, S, S, 3], possibly memory-mapped.
        targets: [N] class indices.
        metric: what the accuracy on them is.
    """

    labels: LabelSpace
    pixels: NDArray[np.uint8]
    targets: tuple[int, ...]
    metric: Metric = "top1"

    @classmethod
    def of(cls, task: Task, model: VisionLanguageModel, paths: Paths) -> EvaluationSet:
        """The images that a task's accuracy is measured on, under the model's test transform."""
        images, preprocess = task.evaluation, model.preprocess
        assert images is not None, "a task that is measured has images"
        decoded = decode(images, preprocess.test_array, preprocess.key, paths)
        return cls(task.labels, decoded, tuple(images.labels), task.metric)

    def accuracy(self, correct: NDArray[np.bool_]) -> float:
        """The accuracy in percent, given which images [N] are classified correctly.

        ``mean_per_class`` is the mean over the classes that have images here.
        """
        if self.metric == "top1":
            return 100.0 * int(correct.sum()) / len(self.targets)
        images = np.bincount(self.targets)
        hits = np.bincount(self.targets, weights=correct)
        present = images > 0
        return float(100.0 * (hits[present] / images[present]).mean())

    def names(self, alike: Mapping[str, str] | None = None) -> NDArray[np.object_]:
        """The class name of every image, [N]; for ``alike`` see :func:`accuracy_row`."""
        return class_names([self.labels], alike)[list(self.targets)]


def accuracy_row(
    predictor: Predictor,
    model: VisionLanguageModel,
    sets: Sequence[EvaluationSet],
    protocol: Protocol = Protocol(),
    learned: Sequence[LabelSpace] = (),
    alike: Mapping[str, str] | None = None,
) -> tuple[float, ...]:
    """Accuracy in percent on each set, by the set's metric: one row of the accuracy matrix.

    A class that several label spaces have is correct wherever it stands.

    With the label space ``seen``, a set whose task is not learned has no accuracy: NaN. Before the
    first task, value k is instead the top-1 accuracy over all images of the sets 0..k among their
    classes: what a model that never changes reaches while classes arrive.

    Args:
        predictor: classifies the images.
        model: preprocesses them.
        sets: what to evaluate on.
        protocol: how the images are classified.
        learned: the tasks learned so far.
        alike: class name -> the name of the class that it is to the model, where that is another,
            see :func:`gift.vlm.read_alike`.

    Raises:
        ValueError: scores that are not finite.
    """
    spaces = [data.labels for data in sets]
    if protocol.label_space == "seen":
        if not learned:
            return _cumulative_row(predictor, model, sets, protocol.batch_size, alike)
        known = {labels.name for labels in learned}
        spaces = [labels for labels in spaces if labels.name in known]
    row = []
    for data in track(sets, "evaluating"):
        if data.labels not in spaces:
            row.append(np.nan)
            continue
        candidates = [data.labels] if protocol.label_space == "task" else spaces
        told, size = protocol.task_of(data.labels), protocol.batch_size
        row.append(
            accuracy_among(
                predictor, model, data, candidates, task=told, batch_size=size, alike=alike
            )
        )
    return tuple(row)


def accuracy_among(
    predictor: Predictor,
    model: VisionLanguageModel,
    data: EvaluationSet,
    candidates: Sequence[LabelSpace],
    *,
    task: str | None = None,
    batch_size: int = 256,
    alike: Mapping[str, str] | None = None,
) -> float:
    """Accuracy in percent on a set, by its metric, among the candidates' classes.

    A class that several label spaces have is correct wherever it stands.

    Args:
        predictor: classifies the images.
        model: preprocesses them.
        data: the images.
        candidates: label spaces whose classes compete.
        task: name of the images' task; None where the predictor is not told.
        batch_size: images per forward pass.
        alike: see :func:`accuracy_row`.

    Raises:
        ValueError: scores that are not finite.
    """
    names = class_names(candidates, alike)
    batches = score_batches(
        predictor, model, data.pixels, candidates, task=task, batch_size=batch_size
    )
    guesses = np.concatenate([names[scores.argmax(dim=1).cpu().numpy()] for scores in batches])
    return data.accuracy(guesses == data.names(alike))


def seen_with(learned: Sequence[LabelSpace], labels: LabelSpace) -> list[LabelSpace]:
    """The label spaces of all classes seen, with those classes of a task that are none of them."""
    known = {name for space in learned for name in space.classnames}
    new = tuple(name for name in labels.classnames if name not in known)
    return [*learned, replace(labels, classnames=new)] if new else list(learned)


def _cumulative_row(
    predictor: Predictor,
    model: VisionLanguageModel,
    sets: Sequence[EvaluationSet],
    batch_size: int,
    alike: Mapping[str, str] | None,
) -> tuple[float, ...]:
    """Top-1 accuracy over the images of the first k sets among their classes, for k = 1..n.

    Each image is scored once against all classes; the first columns are those of the first sets.
    """
    spaces = [data.labels for data in sets]
    names = class_names(spaces, alike)
    ends = np.cumsum([len(labels.classnames) for labels in spaces])
    correct = np.zeros(len(sets), dtype=np.int64)
    for j, data in enumerate(track(sets, "evaluating")):
        batches = score_batches(predictor, model, data.pixels, spaces, batch_size=batch_size)
        scores = torch.cat(list(batches))
        for k in range(j, len(sets)):
            guesses = names[scores[:, : ends[k]].argmax(dim=1).cpu().numpy()]
            correct[k] += (guesses == data.names(alike)).sum()
    images = np.cumsum([len(data.targets) for data in sets])
    return tuple((100.0 * correct / images).tolist())


def class_names(
    spaces: Sequence[LabelSpace], alike: Mapping[str, str] | None = None
) -> NDArray[np.object_]:
    """All class names of label spaces, one space after the other, [C].

    For ``alike`` see :func:`accuracy_row`.
    """
    names = [name for labels in spaces for name in labels.classnames]
    return np.array([(alike or {}).get(name, name) for name in names], dtype=object)


def score_batches(
    predictor: Predictor,
    model: VisionLanguageModel,
    pixels: NDArray[np.uint8],
    candidates: Sequence[LabelSpace],
    *,
    task: str | None = None,
    batch_size: int = 256,
) -> Iterator[Tensor]:
    """Scores [b, C] of batch after batch of images against the candidates' classes.

    Raises:
        ValueError: scores that are not finite.
    """
    positions = range(len(pixels))
    for start in positions[::batch_size]:
        batch = pixel_batch(model, pixels, positions[start : start + batch_size])
        with torch.no_grad():
            scores = predictor.scores(batch, candidates, task)
        if not scores.isfinite().all():
            raise ValueError(
                "the model's scores are not finite, so no image can be classified; its weights or "
                "its logit scale are damaged. Use another model, or an earlier learner folder."
            )
        yield scores


def sample_features(
    predictor: Predictor,
    model: VisionLanguageModel,
    tasks: Sequence[Task],
    images: int,
    protocol: Protocol = Protocol(),
) -> dict[str, NDArray[Any]]:
    """The features by which a predictor classifies some images of each task.

    Args:
        predictor: classifies the images.
        model: preprocesses them.
        tasks: whose images.
        images: how many of each task, evenly spaced among those that are evaluated; all where it
            has fewer.
        protocol: whether the task is given, and the batch size.

    Returns:
        ``features`` [N, D], unit rows in float16, and of each row the position of its ``task`` [N]
        and of its class there, ``label`` [N].
    """
    features, labels = [], []
    for task in tasks:
        evaluated = task.evaluation
        assert evaluated is not None, "its accuracy was measured"
        count = min(images, len(evaluated))
        chosen = [len(evaluated) * i // count for i in range(count)]
        pixels = [model.preprocess.test_array(evaluated[i]) for i in chosen]
        for start in range(0, count, protocol.batch_size):
            positions = range(count)[start : start + protocol.batch_size]
            batch = pixel_batch(model, pixels, positions)
            rows = predictor.features(batch, protocol.task_of(task.labels))
            features.append(rows.half().cpu())
        labels.append([evaluated.labels[i] for i in chosen])
    return {
        "features": torch.cat(features).numpy(),
        "task": np.repeat(np.arange(len(tasks)), [len(own) for own in labels]),
        "label": np.concatenate(labels),
    }
