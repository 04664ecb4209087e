"""The training of one task of a learner: its streams, validation, checkpoints and log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from gift.config import LearnerConfig
from gift.data import ImageSet, Paths, Task, fingerprint_of
from gift.data.labels import LabelSpace, grown
from gift.evaluate import EvaluationSet, accuracy_among
from gift.files import digest
from gift.methods import Method, TaskContext
from gift.methods.base import ZeroShotPredictor
from gift.runs import RunFolder
from gift.runs.checkpoint import Checkpoints
from gift.runs.manifest import Manifest
from gift.settings import fingerprint
from gift.streams import Streams
from gift.train import StepRecord, Trained, train_task
from gift.vlm import VisionLanguageModel


@dataclass(frozen=True)
class TaskTraining:
    """What a learner brings to the training of its next task.

    Attributes:
        model: as it is before the task; the training changes it.
        method: as it is before the task.
        config: the learner's.
        streams: where the method's further image sets come from.
        learned: the label spaces of the tasks before, in order.
        inputs: checksums of what the task takes from elsewhere, by setting.
        paths: cache and data directories.
    """

    model: VisionLanguageModel
    method: Method
    config: LearnerConfig
    streams: Streams
    learned: tuple[LabelSpace, ...]
    inputs: Mapping[str, str]
    paths: Paths

    def split(self, task: Task) -> tuple[Task, ImageSet | None]:
        """The task as it is trained, and the images that its best weights are chosen on.

        Raises:
            ValueError: no images can be set aside.
        """
        settings = self.config.training
        if settings.keep != "best" or self.method.steps(settings.iterations) == 0:
            return task, None
        task = task.with_validation(settings.validation_fraction)
        return task, task.validation

    def run(self, task: Task, validation: ImageSet | None, folder: RunFolder | None) -> Trained:
        """Train on the task's images.

        Args:
            task: see :meth:`split`.
            validation: images that the best weights are chosen on; None keeps the last ones.
            folder: where losses are logged and checkpoints kept, if anywhere.

        Raises:
            FloatingPointError: a loss is not finite.
        """
        assert task.train is not None, "it was checked"
        sets = self.streams.open(task, self.learned, folder)
        context = TaskContext(
            task.labels,
            self.config.training.label_smoothing,
            sets,
            self.streams.sentences(sets.get("reference")),
            self.learned,
            self.config.seed,
            self._class_weights(task.labels, task.train),
        )

        def record(step: StepRecord) -> None:
            if folder is not None:
                folder.log("train", task=task.name, **asdict(step))

        started, trained = time.perf_counter(), Trained()
        try:
            trained = train_task(
                self.model,
                self.method,
                context,
                task.train,
                self.config.training,
                record=record,
                checkpoints=self._checkpoints(folder, task, task.train) if folder else None,
                validate=self._accuracy_on(task, validation) if validation else None,
            )
        finally:
            if folder is not None:  # also of an interrupted training
                ending = trained.ending_seconds
                seconds = time.perf_counter() - started - ending
                folder.log("train", task=task.name, seconds=seconds)
                folder.log("merge", task=task.name, seconds=ending)
        return trained

    def _class_weights(self, labels: LabelSpace, images: ImageSet) -> tuple[float, ...] | None:
        """The weights of the classes in the task's loss, 1 in the mean over the images."""
        if self.config.training.class_weights == "equal":
            return None
        counts = np.bincount(images.labels, minlength=len(labels.classnames))
        return tuple((len(images) / ((counts > 0).sum() * np.maximum(counts, 1))).tolist())

    def _accuracy_on(self, task: Task, validation: ImageSet) -> Callable[[], float]:
        """Measures the model as it is then: percent of images among the task's classes."""
        held_out = replace(task, train=None, validation=None, test=validation)
        images = EvaluationSet.of(held_out, self.model, self.paths)
        labels = [grown(task.labels, self.learned)]
        return lambda: accuracy_among(ZeroShotPredictor(self.model), self.model, images, labels)

    def _checkpoints(self, folder: RunFolder, task: Task, images: ImageSet) -> Checkpoints:
        """Checkpoints of a task's training, valid for these settings, tasks and images alone."""
        label_spaces = (*self.learned, task.labels)
        words = [labels.as_dict() for labels in label_spaces]
        decisive = [words, fingerprint_of(images, self.paths), list(images.labels), self.inputs]
        origin = Manifest(
            run=folder.run_id,
            settings=fingerprint(self.config),
            data=digest(decisive),
            method=self.config.method,
            tasks=tuple(labels.name for labels in label_spaces),
        )
        training = self.config.training
        return Checkpoints(
            folder.task(len(self.learned) + 1, task.name) / "checkpoint",
            origin,
            every_steps=training.checkpoint_steps,
            every_minutes=training.checkpoint_minutes,
        )
