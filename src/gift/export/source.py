"""What is exported: one ordinary model, the classes that compete, and the scores to agree with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.export import ExportedProgram

from gift.data.labels import LabelSpace
from gift.evaluate import class_names
from gift.export.image_classifier import ImageClassifier, traced
from gift.methods import Method, Predictor
from gift.text import unknown
from gift.vlm import VisionLanguageModel, class_embeddings, read_alike

_PROBES = 3
_SEED = 7


@dataclass(frozen=True)
class Source:
    """A learner's classifier, as one ordinary model.

    Attributes:
        model: the CLIP-like model that classifies, frozen, on the CPU.
        spaces: the label spaces whose classes compete.
        task: the learned task whose model it is; None for all tasks.
        predictor: the learner's own rule, with which exports must agree.
        device: where that works.
    """

    model: VisionLanguageModel
    spaces: tuple[LabelSpace, ...]
    task: str | None
    predictor: Predictor
    device: torch.device

    @classmethod
    def of(
        cls,
        method: Method,
        model: VisionLanguageModel,
        predictor: Predictor,
        learned: Sequence[LabelSpace],
        task: str | None,
    ) -> Source:
        """The classifier of one learned task, or of all of them.

        Args:
            method: what was learned with.
            model: as it is after the last task.
            predictor: the method's, of that model.
            learned: the tasks, each with all its classes.
            task: one of them, by its name; needed where the method has a model for each.

        Raises:
            ValueError: nothing was learned, a task that was not learned, a method with a model per
                task and none named, or a method that no single model stands for.
        """
        known = {labels.name: labels for labels in learned}
        if not known:
            raise ValueError(
                "nothing was learned yet, so there is no class list to export; learn a task first "
                "('gift learn')."
            )
        if task is not None and task not in known:
            raise ValueError(unknown("task", task, known))
        if method.one_per_task and task is None:
            raise ValueError(
                f"{method.name()} has a model for each task; choose one of "
                f"{', '.join(known)} (--task NAME)."
            )
        spaces = tuple(learned) if task is None else (known[task],)
        own = method.classifier(model, task).frozen_copy().to("cpu")
        return cls(own, spaces, task, predictor, model.device)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the C classes; what the model reads alike in several tasks is one class."""
        return tuple(dict.fromkeys(self._rows))

    @cached_property
    def class_of_row(self) -> Tensor:
        """The position among the classes of each row of :attr:`embeddings`, int64 [R]."""
        position = {name: number for number, name in enumerate(self.classes)}
        return torch.tensor([position[name] for name in self._rows])

    @cached_property
    def _rows(self) -> tuple[str, ...]:
        alike = read_alike(self.model, class_names(self.spaces))
        return tuple(class_names(self.spaces, alike))

    @cached_property
    def embeddings(self) -> Tensor:
        """Unit class embeddings [R, D]; a class of several tasks has a row of each."""
        return torch.cat([class_embeddings(self.model, labels) for labels in self.spaces])

    @cached_property
    def program(self) -> ExportedProgram:
        """The image tower with the class embeddings in it: pixels [B, 3, S, S] to logits [B, C]."""
        classifier = ImageClassifier(
            self.model.towers, self.embeddings, self.model.logit_scale, self.class_of_row
        )
        return traced(classifier, self.pixels)

    @property
    def scale(self) -> float:
        """The factor that turns cosines into logits."""
        return float(self.model.logit_scale)

    @cached_property
    def images(self) -> list[Image.Image]:
        """Images [S, S] on which exports are compared: coloured blots and noise, always the same.

        They have the model's own size, so nothing about resizing enters.
        """
        rng, size = np.random.default_rng(_SEED), self.model.preprocess.size
        found = []
        for _ in range(_PROBES):
            blots = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            smooth = np.asarray(blots.resize((size, size), Image.Resampling.BICUBIC), dtype=float)
            noise = rng.normal(0, 16, (size, size, 3))
            found.append(Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8)))
        return found

    @cached_property
    def pixels(self) -> Tensor:
        """The images as the model takes them: float [B, 3, S, S], on the CPU."""
        arrays = np.stack([np.asarray(image) for image in self.images])
        return self.model.preprocess.normalize(torch.from_numpy(arrays))

    def scores(self, spaces: Sequence[LabelSpace]) -> Tensor:
        """The learner's own logits of the images for each class of label spaces, float32 [B, R]."""
        with _full_precision():
            found = self.predictor.scores(self.pixels.to(self.device), spaces, self.task)
        return found.float().cpu()

    @cached_property
    def logits(self) -> Tensor:
        """The learner's own logits of the images [B, C]; of a class of several tasks the best."""
        return fold(self.scores(self.spaces), self.class_of_row)

    def with_first_templates(self) -> tuple[LabelSpace, ...]:
        """The label spaces with the first of their templates alone."""
        return tuple(replace(labels, templates=labels.templates[:1]) for labels in self.spaces)


def fold(rows: Tensor, class_of_row: Tensor) -> Tensor:
    """The logits of classes [B, C] out of those of rows [B, R]: of a class the largest.

    Args:
        rows: logits.
        class_of_row: int64 [R], values 0..C-1, each at least once.
    """
    best = rows.new_full((len(rows), int(class_of_row.max()) + 1), -torch.inf)
    return best.scatter_reduce(1, class_of_row.expand_as(rows), rows, "amax")


@contextmanager
def _full_precision() -> Iterator[None]:
    """Keep GPUs from rounding products to TF32, as they do in convolutions by default."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before
