"""Classification of images whose classes nobody knows: files, images and arrays, in a stream."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gift.calibration import UNKNOWN, Calibration, Goal, calibrate
from gift.data.images import decoded, to_rgb
from gift.data.labels import LabelSpace
from gift.evaluate import EvaluationSet, class_names, score_batches
from gift.files import digest
from gift.methods import Predictor
from gift.text import check_list, one_line, shortened, unknown, user_path
from gift.vlm import VisionLanguageModel, read_alike

ImageInput: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
"""A file, an opened image, or its pixels: uint8 [H, W], [H, W, 3] or [H, W, 4]."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, repr=False)
class Prediction:
    """The most probable classes of an image.

    Attributes:
        names: class names, the most probable first.
        probabilities: theirs, in 0..1.
        threshold: the least probability of an answer; below it, the answer is "unknown".
    """

    names: tuple[str, ...]
    probabilities: tuple[float, ...]
    threshold: float = 0.0

    @property
    def answer(self) -> str | None:
        """The most probable class; None, for "unknown", where its probability is too low."""
        return self.names[0] if self.probabilities[0] >= self.threshold else None

    def __str__(self) -> str:
        """The classes in percent, such as ``cat 93.1 %, dog 4.0 %``."""
        pairs = zip(self.names, self.probabilities, strict=True)
        ranked = ", ".join(f"{name} {100 * value:.1f} %" for name, value in pairs)
        return ranked if self.answer is not None else f"unknown ({ranked})"

    def __repr__(self) -> str:
        return f"<Prediction: {self}>"


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read.

    Attributes:
        reason: names the image, and says why and what to do.
    """

    reason: str


@dataclass(frozen=True)
class Rule:
    """How the scores of an image become an answer.

    Attributes:
        top: how many classes to return, above 0.
        threshold: the least probability of an answer, in 0..1.
        temperature: what the scores are divided by before they become probabilities.
    """

    top: int = 3
    threshold: float = 0.0
    temperature: float = 1.0


def answering(
    top: int,
    threshold: float | Literal["calibrated"] | None,
    calibration: Calibration | None,
    *,
    is_usual: bool,
) -> Rule:
    """The rule that a user asks for, see :meth:`gift.Learner.classifier`.

    Args:
        top: how many classes to return.
        threshold: a number, none, or that of the calibration.
        calibration: of the learner; None where there is none.
        is_usual: whether all classes seen compete, and no others, as when it was calibrated.

    Raises:
        ValueError: a number out of range, or no calibration for these classes.
    """
    if top < 1:
        raise ValueError(f"top = {top}: give at least 1 class name per image.")
    if threshold is None:
        return Rule(top)
    if threshold == "calibrated":
        if not is_usual:
            raise ValueError(
                "threshold = calibrated: the calibration is of all classes seen; give a number for "
                "other classes or a task, or leave them out."
            )
        if calibration is None:
            raise ValueError(
                "threshold = calibrated: the learner has no calibration since its last task; fit "
                "one with 'gift eval LEARNER --task FOLDER --calibrate', or give a number."
            )
        return Rule(top, calibration.threshold, calibration.temperature)
    if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise ValueError(
            f"threshold = {shortened(threshold)}: give a probability in 0..1, or 'calibrated'."
        )
    return Rule(top, float(threshold))


def competing(
    learned: Sequence[LabelSpace],
    *,
    classes: Sequence[str] | None,
    seen: bool | None,
    task: str | None,
) -> list[LabelSpace]:
    """The label spaces whose classes compete, see :meth:`gift.Learner.classifier`.

    Raises:
        ValueError: a task that was not learned, or no class.
    """
    check_list("classes", classes, "['cat', 'dog']")
    known = {labels.name: labels for labels in learned}
    if task is not None and task not in known:
        raise ValueError(unknown("task", task, known))
    candidates = [known[task]] if task is not None else []
    if classes is None and task is None if seen is None else seen:
        candidates = list(learned)
    if classes is not None:
        candidates.append(LabelSpace("given classes", tuple(classes)))
    if not candidates:
        raise ValueError("nothing was learned yet: give the class names to choose from.")
    return candidates


class Classifier:
    """Classifies images among chosen classes, as the learner was when it was made.

    See :meth:`gift.Learner.classifier`. The embeddings of the classes are computed once, so one
    classifier serves many calls.

    A class that several label spaces have is one class with one probability, that of the space in
    which it scores best.

    Args:
        predictor: the method's rule.
        model: preprocesses the images.
        candidates: label spaces whose classes compete.
        rule: how scores become answers.
        task: name of the learned task that the images belong to; None where it is unknown.

    Attributes:
        classes: the names of the classes, each once.
        top: how many of them are returned per image.
    """

    def __init__(
        self,
        predictor: Predictor,
        model: VisionLanguageModel,
        candidates: Sequence[LabelSpace],
        rule: Rule = Rule(),
        *,
        task: str | None = None,
    ) -> None:
        self._predictor = predictor
        self._model = model
        self._candidates = candidates
        self._rule = rule
        self._task = task
        own = class_names(candidates, read_alike(model, class_names(candidates)))
        position = {name: number for number, name in enumerate(dict.fromkeys(own))}
        self.classes: tuple[str, ...] = tuple(position)
        self.top = min(rule.top, len(position))
        self._columns = torch.tensor([position[name] for name in own])

    @property
    def identity(self) -> str:
        """What decides the answers beside the learner itself: equal where the settings are."""
        spaces = [asdict(labels) for labels in self._candidates]
        return digest([spaces, self._task, asdict(self._rule)])

    def __call__(self, image: ImageInput) -> Prediction:
        """Classify one image; errors as for :meth:`predict`."""
        (found,) = self.predict([image])
        return found

    def predict(self, images: ImageInput | Iterable[ImageInput]) -> list[Prediction]:
        """Classify images.

        Args:
            images: one or several; see :meth:`predict_each`.

        Returns:
            One prediction per image, in their order; of a single image, a list of one.

        Raises:
            ValueError: something that is no image, images that cannot be read (all are named), or
                scores that are not finite.
        """
        predictions, problems = [], []
        for found in self.predict_each(images):
            if isinstance(found, Unreadable):
                problems.append(found.reason)
            else:
                predictions.append(found)
        if problems:
            raise ValueError("\n".join(problems))
        return predictions

    def predict_each(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        batch_size: int = 32,
        workers: int = 0,
        fast_decode: bool = False,
    ) -> Iterator[Prediction | Unreadable]:
        """Classify images in a stream; of one that cannot be read, say why.

        Images are taken as they are needed, so ``images`` may be a generator without end. What is
        found of a batch is there before the next one is classified. Decoded images are not kept:
        memory is that of one image per worker and of the S x S pixels of three batches.

        Args:
            images: paths, opened images or uint8 arrays, in any mixture; or an array of several,
                [N, H, W, 3].
            batch_size: images that are classified together.
            workers: threads that decode files ahead, of at most two batches; 0: files are decoded
                when it is their turn.
            fast_decode: decode JPEG files at 1/2, 1/4 or 1/8 of their size as long as that is
                twice what the model takes. It is several times faster for photos and changes
                pixels by about 0.1 %.

        Yields:
            What is found of each image, in their order.

        Raises:
            ValueError: something that is no image, or scores that are not finite.
        """
        at_least = 2 * self._model.preprocess.size if fast_decode else None

        def read(source: Path | Image.Image, name: str) -> Pixels | Unreadable:
            try:
                if isinstance(source, Path):
                    source = decoded(source, name, "replace or remove it", at_least=at_least)
                return self._model.preprocess.test_array(to_rgb(source))
            except Exception as error:  # PIL's decoders raise nearly every type on damaged images
                if isinstance(source, Path):
                    return Unreadable(str(error))
                return Unreadable(f"{name} cannot be read ({one_line(error)}); leave it out.")

        sources = (_source(image, number) for number, image in enumerate(_several(images)))
        pixels = _ahead(read, sources, workers=workers, most=2 * batch_size)
        while batch := list(islice(pixels, batch_size)):
            yield from self._classified(batch)

    def calibrate(self, sets: Sequence[EvaluationSet], *, goal: Goal, target: float) -> Calibration:
        """Fit a temperature and a threshold on labelled images; see :meth:`gift.Learner.calibrate`.

        Raises:
            ValueError: no image of one of the classes, a target that is out of range or that no
                threshold reaches, or scores that are not finite.
        """
        logits = torch.cat([self.logits(data.pixels) for data in sets]).numpy()
        alike = read_alike(
            self._model,
            [*self.classes, *(name for data in sets for name in data.labels.classnames)],
        )
        position = {name: number for number, name in enumerate(self.classes)}
        names = [name for data in sets for name in data.names(alike)]
        targets = [position.get(name, UNKNOWN) for name in names]
        return calibrate(logits, targets, goal=goal, target=target)

    def logits(self, pixels: Pixels) -> Tensor:
        """The scores of preprocessed images [B, S, S, 3] for the :attr:`classes`: [B, C], CPU."""
        rows = []
        for scores in score_batches(
            self._predictor, self._model, pixels, self._candidates, task=self._task
        ):
            best = torch.full((len(scores), len(self.classes)), -torch.inf)
            columns = self._columns.expand(len(scores), -1)
            rows.append(best.scatter_reduce_(1, columns, scores.float().cpu(), "amax"))
        return torch.cat(rows)

    def _classified(
        self, batch: Sequence[Pixels | Unreadable]
    ) -> Iterator[Prediction | Unreadable]:
        """What is found of each image of a batch."""
        pixels = [found for found in batch if not isinstance(found, Unreadable)]
        ranked: Iterator[Prediction] = iter(())
        if pixels:
            logits = self.logits(np.stack(pixels))
            probabilities = (logits / self._rule.temperature).softmax(dim=1)
            ranked = map(self._prediction, probabilities)
        for found in batch:
            yield found if isinstance(found, Unreadable) else next(ranked)

    def _prediction(self, probabilities: Tensor) -> Prediction:
        """The most probable of the classes, given the probabilities [C] of all."""
        ranked = probabilities.sort(descending=True, stable=True)
        names = (self.classes[number] for number in ranked.indices[: self.top].tolist())
        values = ranked.values[: self.top].tolist()
        return Prediction(tuple(names), tuple(values), self._rule.threshold)


def _several(images: ImageInput | Iterable[ImageInput]) -> Iterable[Any]:
    """The images that were given, where one alone may have been."""
    if isinstance(images, str | os.PathLike | Image.Image):
        return [images]
    if isinstance(images, np.ndarray):
        return images if images.ndim == 4 else [images]
    if isinstance(images, Iterable) and not isinstance(images, Mapping | bytes):
        return images
    raise ValueError(_no_image("images", images))


def _source(image: object, number: int) -> tuple[Path | Image.Image, str]:
    """What an image is read from, and its name in messages.

    Raises:
        ValueError: it is none of :data:`ImageInput`.
    """
    name = f"images[{number}]"
    if isinstance(image, str | os.PathLike):
        path = user_path(os.fsdecode(image))
        return path, one_line(path)
    if isinstance(image, Image.Image):
        return image, name
    if not isinstance(image, np.ndarray):
        raise ValueError(_no_image(name, image))
    shape = " x ".join(map(str, image.shape))
    is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in {3, 4})
    if not is_image or not image.size:
        hint = "give height x width, height x width x 3 (RGB) or height x width x 4 (RGBA)"
        if image.ndim == 3 and image.shape[0] in {1, 3, 4}:
            hint += "; of an array with the channels first, array.transpose(1, 2, 0)"
        raise ValueError(f"{name} is an array of {shape}; {hint}.")
    if image.dtype != np.uint8:
        hint = "give uint8, 0 to 255"
        if image.dtype.kind == "f":
            hint += "; of values in 0..1, (255 * array).round().astype('uint8')"
        raise ValueError(f"{name} is an array of {image.dtype}; {hint}.")
    return Image.fromarray(np.ascontiguousarray(image)), name


def _no_image(name: str, value: object) -> str:
    """The message for a value that is no image."""
    hint = ""
    if isinstance(value, Mapping):
        hint = "; of a row of a data set, give row['image']"
    elif isinstance(value, bytes):
        hint = "; of a file's content, give PIL.Image.open(io.BytesIO(content))"
    elif isinstance(value, Tensor):
        hint = "; of a tensor, give tensor.cpu().numpy()"
    kind = type(value).__name__
    return (
        f"{name} is a {kind} ({shortened(value)}); give a path, a PIL image or a uint8 array, or "
        f"several of them{hint}."
    )


def _ahead(
    read: Callable[[Path | Image.Image, str], Pixels | Unreadable],
    sources: Iterable[tuple[Path | Image.Image, str]],
    *,
    workers: int,
    most: int,
) -> Iterator[Pixels | Unreadable]:
    """What is read of each source, in their order; files by threads, at most so many ahead.

    Opened images are read at once, so that none of them is kept.
    """
    if workers == 0:
        yield from (read(*source) for source in sources)
        return
    pool = ThreadPoolExecutor(workers, "decode")
    waiting: deque[Future[Pixels | Unreadable]] = deque()
    try:
        for source, name in sources:
            if isinstance(source, Path):
                waiting.append(pool.submit(read, source, name))
            else:
                done: Future[Pixels | Unreadable] = Future()
                done.set_result(read(source, name))
                waiting.append(done)
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
