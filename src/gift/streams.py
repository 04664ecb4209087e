"""Streams: where the extra batches of a method come from.

============= ==================================================================================
``synthetic`` generated image-text pairs; real ones with ``synthesis.source = real``
``reference`` real images of no task; generated ones with ``reference.source = synthetic``
``current``   the task's training images under the test transform, each with its class prompt
``exemplar``  images of earlier tasks that the method keeps
============= ==================================================================================
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import torch

from gift.config import LearnerConfig, SynthesisSettings
from gift.data import (
    Paths,
    Task,
    check_images,
    class_list,
    fingerprint_of,
    load_dataset,
    open_task,
    pixels,
)
from gift.data.cache import tagged
from gift.data.images import ImageSet
from gift.data.labels import LabelSpace, tasks_of
from gift.data.loader import ImageTexts, PreprocessedImages
from gift.distributed import is_main
from gift.files import digest, write_text
from gift.methods import Method
from gift.runs import RunFolder
from gift.settings import locate
from gift.synthesis import DiffusersGenerator, ImageStore, SyntheticSet, build_pool
from gift.text import fill
from gift.vlm import VisionLanguageModel

Source = Literal["generated", "real", "current", "exemplars"]

_SAMPLE = 24
"""Synthetic images of a task that the run folder keeps for the report."""

_HELD_OUT = 200
"""Held-out images have the seeds of another G, see :func:`gift.synthesis.plan`.

Their noise is another one's also in the 32 bits of a seed that torch's CPU generator looks at: it
would take 20,000 tasks until a seed came again.
"""


class _Set(TypedDict):
    """A set of synthetic images, see :meth:`gift.synthesis.ImageStore.fetch`."""

    pool: tuple[str, ...]
    generator: DiffusersGenerator
    task_index: int
    seed: int


class Streams:
    """The image sets that one learner's method asks for.

    Args:
        config: the learner's configuration.
        method: names the sets that it wants (``streams`` and ``sets``).
        model: its preprocessing and its device serve.
        paths: cache and data directories.
    """

    def __init__(
        self, config: LearnerConfig, method: Method, model: VisionLanguageModel, paths: Paths
    ) -> None:
        self._config = config
        self._method = method
        self._model = model
        self._paths = paths
        self._wanted = (*method.streams, *method.sets)
        self._begun, self._begun_seconds = 0, 0.0

    def check(self) -> None:
        """Find out now what would only be found out when images are needed; nothing is loaded.

        Raises:
            ValueError: the generator is no whole text-to-image pipeline, its scheduler does not go
                with it, or a class list or the reference data set is unknown.
            FileNotFoundError: the generator's folder or the reference images are not there.
        """
        if self.generates:
            _ = self.generator, self.base_classnames
        if self.needs_reference:
            _ = self._reference_images

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Checksums of what the sets are made from, by the setting that names it."""
        found = {}
        if self.generates:
            found["synthesis.generator"] = digest(self.generator.identity)
            found["synthesis.base_classnames"] = digest(self.base_classnames)
        if self.needs_reference:
            listed, task = self._reference_images.checksum, self._reference
            found["reference.source"] = digest([listed, task.labels.classnames])
        reference = self._config.reference
        if "reference" in self._wanted and self._source("reference") == "real":
            sample = self._sample(reference.images, reference.seed)
            found["reference.images"] = fingerprint_of(sample, self._paths)
        if "reference" in self._wanted and reference.texts != "captions":
            found["reference.texts"] = digest(class_list(reference.texts))
        return found

    @property
    def generates(self) -> bool:
        """Whether images will be generated for the method."""
        return generates(self._config, self._method)

    @property
    def needs_reference(self) -> bool:
        """Whether images of ``config.reference.source`` will be used."""
        return "real" in map(self._source, self._wanted)

    @cached_property
    def base_classnames(self) -> tuple[str, ...]:
        """The general class names that images are generated of from the first task on."""
        return class_list(self._config.synthesis.base_classnames)

    @cached_property
    def generator(self) -> DiffusersGenerator:
        """The text-to-image generator; it is loaded when the first image is missing."""
        return open_generator(self._config.synthesis, self._model.device, self._paths)

    def open(
        self, task: Task, learned: Sequence[LabelSpace], folder: RunFolder | None = None
    ) -> dict[str, ImageTexts]:
        """All sets that the method wants for a task, by name; without exemplars while it has none.

        Args:
            task: the task about to be learned.
            learned: the label spaces before it.
            folder: where a sample of the synthetic images is kept.
        """
        found = {name: self._open(name, task, learned, folder) for name in self._wanted}
        return {name: images for name, images in found.items() if images is not None}

    def begin(self, learned: Sequence[LabelSpace]) -> None:
        """Generate the first synthetic images for the task after the learned ones.

        So a generator that does not work is found before anything is measured or learned. Those
        images are needed anyway and stay in the store; the pipeline stays loaded until the rest is
        generated. Nothing is loaded where they are in the store already.

        Raises:
            ValueError: no images can be generated.
        """
        if not self.generates:
            return
        started = time.perf_counter()
        self._begun = self._store.begin(**self._set(learned), count=self._config.synthesis.images)
        self._begun_seconds = time.perf_counter() - started if self._begun else 0.0

    def generate(self, learned: Sequence[LabelSpace], count: int | None = None) -> SyntheticSet:
        """The synthetic images for the task after the learned ones, generated unless stored.

        ``count`` prompts are sampled, by default as many as the configuration says.
        """
        images = self._store.fetch(
            **self._set(learned), count=count or self._config.synthesis.images
        )
        self.generator.release()  # training needs the memory
        return images

    def held_out(self, prompts: Sequence[str], count: int) -> SyntheticSet:
        """Generated images that no task is learned with; each prompt has as many, or one more.

        They depend on the prompts alone, not on the tasks so far, so each is generated once.

        Args:
            prompts: each once.
            count: number of images.
        """
        images = self._store.fetch(**self._held_out(prompts), count=count, balanced=True)
        if not self.generates:
            self.generator.release()
        return images

    def held_out_stored(self, prompts: Sequence[str], count: int) -> int:
        """How many of these images are in the store."""
        return self._store.stored(**self._held_out(prompts), count=count, balanced=True)

    def _held_out(self, prompts: Sequence[str]) -> _Set:
        """What decides held-out images."""
        return {
            "pool": tuple(prompts),
            "generator": self.generator,
            "task_index": 1,
            "seed": self._config.image_seed + _HELD_OUT,
        }

    def stored(self, learned: Sequence[LabelSpace]) -> tuple[int, int]:
        """How many synthetic images the next task needs, and how many are in the store."""
        if not self.generates:
            return 0, 0
        count = self._config.synthesis.images
        return count, self._store.stored(**self._set(learned), count=count)

    @property
    def _store(self) -> ImageStore:
        return ImageStore(tagged(self._paths.images))

    def _set(self, learned: Sequence[LabelSpace]) -> _Set:
        """What decides the synthetic images for the task after the learned ones."""
        settings = self._config.synthesis
        pool = build_pool(
            self.base_classnames,
            () if settings.source == "synthetic_base_only" else tasks_of(learned),
            base_template=settings.base_template,
            plain_template=settings.plain_template,
            templates=settings.templates,
            exclude=settings.exclude,
        )
        return {
            "pool": pool,
            "generator": self.generator,
            "task_index": len(learned) + 1,
            "seed": self._config.image_seed,
        }

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

    def _source(self, name: str) -> Source:
        return _source(self._config, name)

    def _open(
        self, name: str, task: Task, learned: Sequence[LabelSpace], folder: RunFolder | None
    ) -> ImageTexts | None:
        config = self._config
        match self._source(name):
            case "exemplars":
                return self._method.exemplars()
            case "current":
                return self._preprocessed(task, task.train)
            case "generated":
                return self._generated(task, learned, folder)
            case "real" if name == "synthetic":
                return self._sampled(config.synthesis.images, config.image_seed, len(learned) + 1)
            case "real":
                return self._sampled(config.reference.images, config.reference.seed)

    def _generated(
        self, task: Task, learned: Sequence[LabelSpace], folder: RunFolder | None
    ) -> ImageTexts:
        started = time.perf_counter()
        images = self.generate(learned)
        preprocess = self._model.preprocess
        arrays = pixels(images, preprocess.test_array, preprocess.key, self._paths)
        # What this object began before the first measurement was not in the store before either.
        cached, seconds = max(0, images.cached - self._begun), self._begun_seconds
        self._begun, self._begun_seconds = 0, 0.0
        if folder is not None:
            seconds += time.perf_counter() - started
            counts = {"images": len(images), "cached": cached}
            folder.log("generate", task=task.name, **counts, seconds=seconds)
            if is_main():
                _keep_sample(images, folder.task(len(learned) + 1, task.name) / "synthetic")
        return ImageTexts(arrays, images.captions)

    @cached_property
    def _reference(self) -> Task:
        """The data set or image folder that real images of no task come from."""
        source = self._config.reference.source
        if Path(source).is_absolute():
            template = self._config.synthesis.base_template
            return Task.from_folder(source, templates=(template,), follow_links=True)
        return open_task(load_dataset(source), self._paths)

    @property
    def _reference_images(self) -> ImageSet:
        if not (images := self._reference.train):
            source = self._config.reference.source
            raise ValueError(f"reference.source: {source} has no training images; add some.")
        return images

    def _sampled(self, count: int, *seed: int) -> ImageTexts:
        """Images of the reference source, decoded once."""
        sample = self._sample(count, *seed)
        check_images(sample, paths=self._paths)
        return self._preprocessed(self._reference, sample)

    def _sample(self, count: int, *seed: int) -> ImageSet:
        """Images of the reference source, sampled without replacement."""
        images = self._reference_images
        order = np.random.default_rng([*seed, *b"reference"]).permutation(len(images))
        return images.select(order[:count].tolist())

    def _preprocessed(self, task: Task, images: ImageSet | None) -> ImageTexts:
        """A task's images under the test transform, each with its class prompt."""
        assert images is not None
        prompts = task.labels.prompts
        return ImageTexts(
            PreprocessedImages(images, self._model.preprocess),
            tuple(prompts[label] for label in images.labels),
        )


def generates(config: LearnerConfig, method: Method) -> bool:
    """Whether images will be generated for a method with this configuration."""
    wanted = (*method.streams, *method.sets)
    return "generated" in [_source(config, name) for name in wanted]


def _source(config: LearnerConfig, name: str) -> Source:
    """Where the images of a set come from."""
    if name == "synthetic":
        return "real" if config.synthesis.source == "real" else "generated"
    if name == "reference":
        return "generated" if config.reference.source == "synthetic" else "real"
    assert name in {"current", "exemplar"}, f"{config.method} wants an unknown set {name}"
    return "current" if name == "current" else "exemplars"


def open_generator(
    settings: SynthesisSettings, device: torch.device, paths: Paths | None = None
) -> DiffusersGenerator:
    """The generator of a configuration; nothing is loaded or fetched yet.

    Raises:
        FileNotFoundError: its folder is not there.
        ValueError: it is no pipeline folder or still to be built, or a setting is wrong.
    """
    return DiffusersGenerator(
        locate(settings.generator, (paths or Paths.of()).models),
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


def _keep_sample(images: SyntheticSet, folder: Path) -> None:
    """The first images of a set with a manifest, for the report; the store keeps the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for file, caption in zip(images.files[:_SAMPLE], images.captions, strict=False):
        shutil.copyfile(file, folder / file.name)
        lines.append(json.dumps({"file": file.name, "prompt": caption}) + "\n")
    write_text(folder / "manifest.jsonl", "".join(lines))
