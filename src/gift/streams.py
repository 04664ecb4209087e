"""The image sets that a method asks for beside a task: painted ones, real ones, the task's own."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gift.config import LearnerConfig, SynthesisSettings
from gift.data import (
    ImageSet,
    Paths,
    Task,
    check_images,
    class_list,
    load_dataset,
    open_task,
    pixels,
)
from gift.data.images import Images
from gift.data.labels import LabelSpace
from gift.data.loader import ImageTexts, PreprocessedImages
from gift.distributed import is_main
from gift.files import write_text
from gift.runs import RunFolder
from gift.settings import differences, locate
from gift.synthesis import DiffusersGenerator, ImageStore, SyntheticSet, build_pool
from gift.text import fill
from gift.vlm import VisionLanguageModel

_GALLERY = 24


class ImageSets:
    """Makes the image sets of one learner, see :class:`~gift.methods.Method` for their names.

    Args:
        config: the learner's configuration.
        model: its preprocessing and its device serve.
        home: cache for preprocessed and synthetic images.
        data_root: where a reference data set lies.
        wanted: the sets that the method will ask for.
    """

    def __init__(
        self,
        config: LearnerConfig,
        model: VisionLanguageModel,
        *,
        home: Path,
        data_root: Path,
        wanted: Sequence[str],
    ) -> None:
        self._config = config
        self._model = model
        self._paths = Paths(home, data_root)
        self._wanted = tuple(wanted)
        self._store = ImageStore(home / "images")

    def check(self, memory: Sequence[LabelSpace]) -> None:
        """Refuse now what would only be found out when images are needed.

        Args:
            memory: the tasks learned so far.

        Raises:
            ValueError: the generator is no pipeline folder, a class list or the reference data set
                is unknown, or images are missing that the generator cannot paint.
            FileNotFoundError: the generator's folder or the reference images are not there.
        """
        if self._paints:
            _ = self.generator, self.base_classnames
            if not self.generator.can_paint:
                self._refuse_missing(memory)
        if self.needs_reference:
            _ = self._reference

    @property
    def needs_reference(self) -> bool:
        """Whether images of ``config.reference.source`` will be used."""
        real = self._config.synthesis.source == "real" and "synthetic" in self._wanted
        return real or (
            "reference" in self._wanted and self._config.reference.source != "synthetic"
        )

    @property
    def _paints(self) -> bool:
        painted = "synthetic" in self._wanted and self._config.synthesis.source != "real"
        return painted or (
            "reference" in self._wanted and self._config.reference.source == "synthetic"
        )

    @cached_property
    def base_classnames(self) -> tuple[str, ...]:
        """The generic class names that images are painted of from the first task on."""
        return class_list(self._config.synthesis.base_classnames)

    @cached_property
    def generator(self) -> DiffusersGenerator:
        """What paints; it is loaded when the first image is missing."""
        return open_generator(self._config.synthesis, self._model.device)

    def make(
        self,
        name: str,
        task: Task,
        memory: Sequence[LabelSpace],
        *,
        folder: RunFolder | None = None,
    ) -> ImageTexts:
        """One of the sets, for the task about to be learned.

        Args:
            name: ``synthetic``, ``reference`` or ``current``.
            task: the task.
            memory: the tasks before it.
            folder: where a sample of painted images is kept.
        """
        config = self._config
        match name:
            case "synthetic" if config.synthesis.source == "real":
                seed = (config.image_seed, len(memory) + 1)
                return self._real(config.synthesis.images, seed)
            case "synthetic":
                return self._painted(task, memory, folder)
            case "reference" if config.reference.source == "synthetic":
                return self._painted(task, memory, folder)
            case "reference":
                return self._real(config.reference.images, (config.reference.seed,))
            case "current":
                assert task.train is not None
                prompts = task.labels.prompts
                return ImageTexts(
                    PreprocessedImages(task.train, self._model.preprocess),
                    tuple(prompts[label] for label in task.train.labels),
                )
        raise AssertionError(f"{config.method} asks for an unknown image set {name!r}")

    def paint(
        self,
        memory: Sequence[LabelSpace],
        count: int | None = None,
    ) -> SyntheticSet:
        """The synthetic images for the task after ``memory``, painted unless they are stored.

        Args:
            memory: the tasks learned so far.
            count: how many prompts to draw; the configuration's number by default.
        """
        painted = self._store.fetch(
            self._pool(memory),
            generator=self.generator,
            task_index=len(memory) + 1,
            count=count or self._config.synthesis.images,
            seed=self._config.image_seed,
        )
        self.generator.release()  # the training needs the memory
        return painted

    def sentences(self, reference: ImageTexts | None) -> tuple[str, ...]:
        """The texts that go with the reference set, each once; none without such a set."""
        if reference is None:
            return ()
        texts = self._config.reference.texts
        if texts == "captions":
            lines: Iterable[str] = reference.texts
        elif texts.endswith(".txt"):
            lines = class_list(texts)
        else:
            lines = (fill(self._config.synthesis.base_template, name) for name in class_list(texts))
        return tuple(dict.fromkeys(lines))

    def pixels(self, images: Images) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Preprocessed images from the cache, each decoded once for all checkpoints and runs."""
        preprocess = self._model.preprocess
        return pixels(
            images,
            preprocess.test_array,
            key=preprocess.key,
            paths=self._paths,
        )

    def _pool(self, memory: Sequence[LabelSpace]) -> tuple[str, ...]:
        settings = self._config.synthesis
        return build_pool(
            self.base_classnames,
            () if settings.source == "synthetic_base_only" else memory,
            base_template=settings.base_template,
            plain_template=settings.plain_template,
            exclude=settings.exclude,
        )

    def _painted(
        self,
        task: Task,
        memory: Sequence[LabelSpace],
        folder: RunFolder | None,
    ) -> ImageTexts:
        started = time.perf_counter()
        painted = self.paint(memory)
        arrays = self.pixels(painted)
        if folder is not None:
            seconds = time.perf_counter() - started
            folder.log("paint", task=task.name, images=len(painted), seconds=seconds)
            if is_main():
                _keep_sample(painted, folder.task(len(memory) + 1, task.name) / "synthetic")
        return ImageTexts(arrays, painted.captions)

    @cached_property
    def _reference(self) -> Task:
        """The data set or image folder that real images of no task come from."""
        source = self._config.reference.source
        if Path(source).is_absolute():
            template = self._config.synthesis.base_template
            return Task.from_folder(source, templates=(template,), follow_links=True)
        return open_task(load_dataset(source), self._paths)

    def _real(self, count: int, seed: tuple[int, ...]) -> ImageTexts:
        """Images of the reference source, drawn without replacement, each with its class prompt."""
        images, prompts = self._reference.train, self._reference.labels.prompts
        assert isinstance(images, ImageSet)
        order = np.random.default_rng([*seed, *b"reference"]).permutation(len(images))
        drawn = images.select(order[:count].tolist())
        check_images(drawn, paths=self._paths)
        return ImageTexts(
            PreprocessedImages(drawn, self._model.preprocess),
            tuple(prompts[label] for label in drawn.labels),
        )

    def _refuse_missing(self, memory: Sequence[LabelSpace]) -> None:
        """Refuse a set that is not whole where nothing can paint the rest."""
        count = self._config.synthesis.images
        request = {"task_index": len(memory) + 1, "seed": self._config.image_seed}
        missing = self._store.missing(
            self._pool(memory), generator=self.generator, count=count, **request
        )
        if not missing:
            return
        wanted = self.generator.identity
        others = [stored["generator"] for stored in self._store.descriptions()]
        near = next((other for other in others if other["model"] == wanted["model"]), wanted)
        hint = (
            f" A stored set of it differs: {'; '.join(found)}."
            if (found := differences(near, wanted, "generator."))
            else ""
        )
        raise ValueError(
            f"{missing} of {count} synthetic images for task {len(memory) + 1} are not in "
            f"{self._store.root}, and synthesis.generator = {wanted['model']} is a checksum, which "
            f"cannot paint.{hint} Copy the whole set there, or give the generator's folder."
        )


def open_generator(settings: SynthesisSettings, device: torch.device) -> DiffusersGenerator:
    """The generator of a configuration; nothing is loaded or fetched yet.

    Raises:
        FileNotFoundError: its folder is not there.
        ValueError: it is no pipeline folder, or a setting is wrong.
    """
    return DiffusersGenerator.from_pretrained(
        locate(settings.generator),
        steps=settings.steps,
        guidance=settings.guidance,
        scheduler=settings.scheduler,
        size=settings.size,
        dtype=settings.dtype,
        device=device,
        batch_size=settings.batch_size,
        safety_checker=settings.safety_checker is None,
        revision=settings.revision,
    )


def _keep_sample(painted: SyntheticSet, folder: Path) -> None:
    """The first images of a set with a manifest, for the report; the store keeps the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for file, caption in zip(painted.files[:_GALLERY], painted.captions, strict=False):
        shutil.copyfile(file, folder / file.name)
        lines.append(json.dumps({"file": file.name, "prompt": caption}) + "\n")
    write_text(folder / "manifest.jsonl", "".join(lines))
