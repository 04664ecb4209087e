"""A model that keeps learning: model, method and the memory of class names."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import load_file, save_file

from gift.config import LearnerConfig, locate, merge, validate
from gift.data import (
    ImageFiles,
    ImageSet,
    Task,
    check_images,
    class_list,
    default_home,
    load_dataset,
    open_task,
    pixels,
    to_rgb,
)
from gift.evaluate import (
    EvaluationSet,
    TaskId,
    accuracy_row,
    growing_accuracy,
    score_batches,
)
from gift.files import read_json, write_json, write_text
from gift.methods import ImageTexts, create_method
from gift.records import Images, LabelSpace, Progress, fill, silent
from gift.runs import RunFolder, differences, replacing
from gift.synthesis import DiffusersGenerator, ImageStore, SyntheticSet, build_pool
from gift.train import Recorder, StepRecord, accelerator, train_task
from gift.vlm import PreprocessedImages, VisionLanguageModel


@dataclass(frozen=True)
class Prediction:
    """The best class name of an image with its probability, and the runners-up.

    ``names`` and ``probabilities`` are in falling order.
    """

    names: tuple[str, ...]
    probabilities: tuple[float, ...]


class Learner:
    """A two-tower model that learns task after task with one method.

    Between two tasks it consists of an ordinary model folder, a list of class names and, for a few
    methods, some tensors. No training image is kept, except by methods whose page says so (iCaRL).

    Args:
        config: the resolved configuration.
        home: cache for preprocessed and synthetic images; ``$GIFT_HOME`` or ``~/.cache/gift``.
        data_root: where a reference data set lies; ``home/data`` by default.
    """

    def __init__(
        self,
        config: LearnerConfig,
        *,
        home: Path | None = None,
        data_root: Path | None = None,
        _model: Path | None = None,
    ) -> None:
        self.config = config
        self.home = home or default_home()
        self.data_root = data_root or self.home / "data"
        self.method = create_method(config.method, config.method_settings)
        self.memory: tuple[LabelSpace, ...] = ()
        self.model = VisionLanguageModel.from_pretrained(_model or locate(config.model))
        self.model.to(accelerator(config.training.precision).device)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        method: str = "gift",
        generator: str | Path | None = None,
        home: Path | None = None,
        data_root: Path | None = None,
        **settings: Any,
    ) -> Learner:
        """A learner that has learned nothing yet.

        Args:
            model: two-tower model: folder, hub id or ``builtin:micro/clip``.
            method: see ``gift methods``.
            generator: diffusers text-to-image pipeline: folder, hub id or
                ``builtin:micro/diffusion``; Stable Diffusion 1.5 by default.
            home: cache folder.
            data_root: where a reference data set lies.
            **settings: further fields of :class:`~gift.config.LearnerConfig`, nested mappings.

        Raises:
            ValueError: a wrong setting, or a folder that is not a two-tower model.
        """
        painter = {} if generator is None else {"synthesis": {"generator": str(generator)}}
        values = merge({"model": str(model), "method": method}, settings, painter)
        learner = cls(validate(LearnerConfig, values), home=home, data_root=data_root)
        learner.check()
        return learner

    def check(self) -> None:
        """Refuse now what would only be found out when images are needed.

        Raises:
            ValueError: the generator is no pipeline folder, a class list or the reference data set
                is unknown.
            FileNotFoundError: the generator's folder or the reference images are not there.
        """
        if self._paints:
            _ = self.generator, self.base_classnames
        if self.needs_reference:
            _ = self._reference

    @property
    def needs_reference(self) -> bool:
        """Whether images of ``config.reference.source`` will be used."""
        wanted = self._wanted_sets
        real = self.config.synthesis.source == "real" and "synthetic" in wanted
        return real or ("reference" in wanted and self.config.reference.source != "synthetic")

    @property
    def _paints(self) -> bool:
        wanted = self._wanted_sets
        painted = "synthetic" in wanted and self.config.synthesis.source != "real"
        return painted or ("reference" in wanted and self.config.reference.source == "synthetic")

    @property
    def _wanted_sets(self) -> tuple[str, ...]:
        return (*self.method.streams, *self.method.sets)

    def refuse_twice(self, task: Task) -> None:
        """Refuse a task whose name was learned before.

        Raises:
            ValueError: with that name.
        """
        if task.name in {labels.name for labels in self.memory}:
            raise ValueError(
                f"a task named {task.name!r} was already learned; give this one another name."
            )

    @cached_property
    def base_classnames(self) -> tuple[str, ...]:
        """The generic class names that images are painted of from the first task on."""
        return class_list(self.config.synthesis.base_classnames)

    def learn(
        self, task: Task, *, folder: RunFolder | None = None, progress: Progress = silent
    ) -> None:
        """Teach the learner one task.

        Args:
            task: its ``train`` images are learned.
            folder: where losses are logged and a sample of the synthetic images is kept.
            progress: called while images are painted and while the model is trained.

        Raises:
            ValueError: no training images, unreadable images, or a task of that name was learned;
                nothing has changed then.
            FloatingPointError: a loss is not finite. Saved folders are untouched; load one to
                go on, this object's weights are those of the step before.
        """
        if task.train is None:
            raise ValueError(f"task {task.name!r} has no training images.")
        self.refuse_twice(task)
        if self.method.trains:
            self.check()
            check_images(task.train, cache=self.home / "checked", progress=progress)
            sets = {
                name: images
                for name in self._wanted_sets
                if (images := self._image_set(name, task, folder, progress)) is not None
            }
            started = time.perf_counter()
            train_task(
                self.model,
                self.method,
                task.labels,
                task.train,
                self.config.training,
                sets=sets,
                seed=self.config.seed,
                sentences=self._sentences(sets),
                record=None if folder is None else _recorder(folder, task.name),
                progress=progress,
            )
            _log(folder, "train", task=task.name, seconds=time.perf_counter() - started)
        self.memory = (*self.memory, task.labels)

    @cached_property
    def generator(self) -> DiffusersGenerator:
        """What paints; it is loaded when the first image is missing."""
        settings = self.config.synthesis
        return DiffusersGenerator.from_pretrained(
            locate(settings.generator),
            steps=settings.steps,
            guidance=settings.guidance,
            scheduler=settings.scheduler,
            device=self.model.device,
            batch_size=settings.batch_size,
        )

    def paint(self, count: int | None = None, *, progress: Progress = silent) -> SyntheticSet:
        """The synthetic images for the next task, painted unless they are in the store.

        Args:
            count: how many prompts to draw; the configuration's number by default.
        """
        settings = self.config.synthesis
        pool = build_pool(
            self.base_classnames,
            () if settings.source == "synthetic_base_only" else self.memory,
            base_template=settings.base_template,
            plain_template=settings.plain_template,
            exclude=settings.exclude,
        )
        return ImageStore(self.home / "images").fetch(
            pool,
            generator=self.generator,
            task_index=len(self.memory) + 1,
            count=count or settings.images,
            seed=self.config.image_seed,
            progress=progress,
        )

    def evaluate(
        self,
        tasks: Task | Sequence[Task],
        *,
        candidates: Sequence[LabelSpace] | None = None,
        task_id: TaskId = "given",
        batch_size: int = 256,
        progress: Progress = silent,
    ) -> list[float]:
        """Top-1 accuracy in percent on each task.

        A task's test part serves; a task without one is measured on all its images.

        Args:
            tasks: what to measure.
            candidates: label spaces whose classes compete; by default the image's own task's.
            task_id: whether the method is told which task an image belongs to.
            batch_size: images per forward pass.
            progress: called while images are decoded and after every task.
        """
        tasks = [tasks] if isinstance(tasks, Task) else list(tasks)
        row = accuracy_row(
            self.method.predictor(self.model),
            self.model,
            [self._evaluation_set(task, progress) for task in tasks],
            candidates=candidates,
            task_id=task_id,
            batch_size=batch_size,
            progress=progress,
        )
        return list(row)

    def evaluate_growing(
        self, tasks: Sequence[Task], *, batch_size: int = 256, progress: Progress = silent
    ) -> list[float]:
        """Top-1 accuracy in percent over the first k tasks together, for each k = 1..n.

        The classes of these k tasks compete, and the method is not told the tasks: what a model
        that never changes scores while classes arrive.
        """
        row = growing_accuracy(
            self.method.predictor(self.model),
            self.model,
            [self._evaluation_set(task, progress) for task in tasks],
            batch_size=batch_size,
            progress=progress,
        )
        return list(row)

    def predict(
        self,
        images: Sequence[Path | Image.Image],
        *,
        classes: Sequence[str] | None = None,
        seen: bool | None = None,
        top: int = 3,
    ) -> list[Prediction]:
        """Name images.

        Args:
            images: paths or opened images.
            classes: further class names to choose from.
            seen: whether the classes of all learned tasks compete; by default they do unless
                ``classes`` is given.
            top: how many names to return per image.

        Raises:
            ValueError: no class to choose from, or images that cannot be read (all are named).
        """
        candidates = list(self.memory) if (classes is None if seen is None else seen) else []
        if classes is not None:
            candidates.append(LabelSpace("given classes", tuple(classes)))
        if not candidates:
            raise ValueError("nothing was learned yet: give the class names to choose from.")
        names = [name for labels in candidates for name in labels.classnames]
        predictor = self.method.predictor(self.model)
        arrays = np.stack([self.model.preprocess.test_array(i) for i in _opened(images)])
        found: list[Prediction] = []
        for scores in score_batches(predictor, self.model, arrays, candidates):
            found += [_best(names, row, top) for row in scores.float().softmax(dim=1).tolist()]
        return found

    def save(self, folder: str | Path) -> None:
        """Write ``folder/config.yaml`` and ``folder/learner``, whole or not at all.

        ``folder/learner/model`` is an ordinary folder of the transformers library.

        Raises:
            ValueError: the folder holds a learner with other settings.
        """
        run = RunFolder(Path(folder))
        run.path.mkdir(parents=True, exist_ok=True)
        own = self.config.model_dump(mode="json", include=set(LearnerConfig.model_fields))
        if not run.has_config:
            run.write_config(own)
        elif different := differences(_learner_part(run.read_config()), own):
            raise ValueError(
                f"{folder} holds a learner with other settings: {'; '.join(different)}. Save this "
                "one in another folder."
            )
        with replacing(run.learner) as new:
            self.model.save_pretrained(new / "model")
            save_file(
                {key: value.contiguous().cpu() for key, value in self.method.state_dict().items()},
                new / "method.safetensors",
            )
            write_json(
                new / "method.json",
                {
                    "method": self.method.name(),
                    "settings": self.method.settings.model_dump(mode="json"),
                },
            )
            write_json(new / "memory.json", [asdict(labels) for labels in self.memory])

    @classmethod
    def load(
        cls, folder: str | Path, *, home: Path | None = None, data_root: Path | None = None
    ) -> Learner:
        """Read what :meth:`save` (or a run) wrote.

        Raises:
            ValueError: the folder holds no learner.
        """
        run = RunFolder(Path(folder))
        if not (run.has_config and run.has_learner):
            raise ValueError(
                f"{folder} holds no learner (no config.yaml and learner/ in it). Make one with "
                "'gift learn DIR --task FOLDER --model MODEL'."
            )
        config = validate(LearnerConfig, _learner_part(run.read_config()))
        learner = cls(config, home=home, data_root=data_root, _model=run.learner / "model")
        learner.method.load_state_dict(
            {
                key: value.to(learner.model.device)
                for key, value in load_file(run.learner / "method.safetensors").items()
            }
        )
        learner.memory = tuple(
            LabelSpace(**task) for task in read_json(run.learner / "memory.json")
        )
        return learner

    def _image_set(
        self, name: str, task: Task, folder: RunFolder | None, progress: Progress
    ) -> ImageTexts | None:
        """One of the sets that a method can ask for, see :class:`~gift.methods.Method`."""
        settings = self.config
        match name:
            case "synthetic" if settings.synthesis.source == "real":
                return self._reference_images(
                    settings.synthesis.images,
                    (settings.image_seed, len(self.memory) + 1),
                    progress,
                )
            case "synthetic":
                return self._painted(task, folder, progress)
            case "reference" if settings.reference.source == "synthetic":
                return self._painted(task, folder, progress)
            case "reference":
                return self._reference_images(
                    settings.reference.images, (settings.reference.seed,), progress
                )
            case "current":
                assert task.train is not None
                prompts = task.labels.prompts
                return ImageTexts(
                    PreprocessedImages(task.train, self.model.preprocess),
                    tuple(prompts[label] for label in task.train.labels),
                )
            case "exemplar":
                return self.method.exemplars()
        raise AssertionError(f"{self.method.name()} asks for an unknown image set {name!r}")

    def _painted(self, task: Task, folder: RunFolder | None, progress: Progress) -> ImageTexts:
        started = time.perf_counter()
        painted = self.paint(progress=progress)
        arrays = self._pixels(painted, progress)
        seconds = time.perf_counter() - started
        _log(folder, "paint", task=task.name, images=len(painted), seconds=seconds)
        if folder is not None:
            _keep_sample(painted, folder.task(len(self.memory) + 1, task.name) / "synthetic")
        return ImageTexts(arrays, painted.captions)

    @cached_property
    def _reference(self) -> Task:
        """The data set or image folder that real images of no task come from."""
        source = self.config.reference.source
        if Path(source).is_absolute():
            return Task.from_folder(source, templates=(self.config.synthesis.base_template,))
        return open_task(load_dataset(source), self.data_root)

    def _reference_images(
        self, count: int, seed: tuple[int, ...], progress: Progress
    ) -> ImageTexts:
        """Images of the reference source, drawn without replacement, each with its class prompt."""
        images, prompts = self._reference.train, self._reference.labels.prompts
        assert isinstance(images, ImageSet)
        order = np.random.default_rng([*seed, *b"reference"]).permutation(len(images))
        drawn = images.select(order[:count].tolist())
        check_images(drawn, cache=self.home / "checked", progress=progress)
        return ImageTexts(
            PreprocessedImages(drawn, self.model.preprocess),
            tuple(prompts[label] for label in drawn.labels),
        )

    def _sentences(self, sets: Mapping[str, ImageTexts]) -> tuple[str, ...]:
        """The texts that go with the reference set, each once."""
        if "reference" not in sets:
            return ()
        texts = self.config.reference.texts
        if texts == "captions":
            lines: Iterable[str] = sets["reference"].texts
        elif texts.endswith(".txt"):
            lines = class_list(texts)
        else:
            lines = (fill(self.config.synthesis.base_template, name) for name in class_list(texts))
        return tuple(dict.fromkeys(lines))

    def _evaluation_set(self, task: Task, progress: Progress) -> EvaluationSet:
        images = task.evaluation
        if images is None:
            raise ValueError(f"task {task.name!r} has no images to evaluate on.")
        return EvaluationSet(task.labels, self._pixels(images, progress), tuple(images.labels))

    def _pixels(self, images: Images, progress: Progress) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Preprocessed images from the cache, each decoded once for all checkpoints and runs."""
        preprocess = self.model.preprocess
        return pixels(
            images,
            preprocess.test_array,
            key=preprocess.key,
            cache=self.home / "pixels",
            progress=progress,
        )


_GALLERY = 24


def _learner_part(config: dict[str, Any]) -> dict[str, Any]:
    """What of a run's configuration decides the learner."""
    return {key: value for key, value in config.items() if key in LearnerConfig.model_fields}


def _recorder(folder: RunFolder, task: str) -> Recorder:
    def record(step: StepRecord) -> None:
        folder.log("train", task=task, **asdict(step))

    return record


def _log(folder: RunFolder | None, stage: str, **values: Any) -> None:
    if folder is not None:
        folder.log(stage, **values)


def _opened(images: Sequence[Path | Image.Image]) -> list[Image.Image]:
    """The images as RGB; all unreadable files are named in one error."""
    opened: list[Image.Image] = []
    problems: list[str] = []
    for image in images:
        if isinstance(image, Image.Image):
            opened.append(to_rgb(image))
            continue
        try:
            opened.append(ImageFiles((Path(image),), (0,))[0])
        except OSError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return opened


def _keep_sample(painted: SyntheticSet, folder: Path) -> None:
    """The first images of a set with a manifest, for the report; the store keeps the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for file, caption in zip(painted.files[:_GALLERY], painted.captions, strict=False):
        shutil.copyfile(file, folder / file.name)
        lines.append(json.dumps({"file": file.name, "prompt": caption}) + "\n")
    write_text(folder / "manifest.jsonl", "".join(lines))


def _best(names: Sequence[str], probabilities: Sequence[float], top: int) -> Prediction:
    """The most probable names; a name in several tasks counts with its best task."""
    best: dict[str, float] = {}
    for name, probability in zip(names, probabilities, strict=True):
        best[name] = max(probability, best.get(name, 0.0))
    ranked = sorted(best.items(), key=lambda item: -item[1])[:top]
    return Prediction(tuple(n for n, _ in ranked), tuple(p for _, p in ranked))
