"""What `step.py` and `gpu.py` measure: the same work, by the published step and by the library."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import published
import torch
import yaml
from PIL import Image
from published import PublishedStep, images_of, texts_of
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from gift import weights as consolidation
from gift.data import ImageFiles, Paths, class_list, pixels
from gift.data.labels import LabelSpace
from gift.data.loader import Batch, ImageTexts, PixelSet, PreprocessedImages
from gift.methods import TaskContext, create_method
from gift.runs import peak_memory_mb, reset_peak_memory
from gift.vlm import VisionLanguageModel, class_embeddings, pixel_batch
from gift_micro.clip import make_tokenizer

MODELS = Path(__file__).parent / "models"
CLASSES = (10, 100, 397, 1000)
CAPTIONS = 64
MEMORY_CLASSES = 25
TEMPLATE = "a photo of a {}."
PHOTO, PHOTOS = (500, 375), 32
"""Width and height of the test images in pixels, and how many are read."""

CPU = torch.device("cpu")

WHOLE_IMAGES, WHOLE_CLASSES = 4, (1, 25)
"""Sizes of the whole steps: as many classes per image as 16 and 400 are for 64."""


@dataclass(frozen=True)
class Subject:
    """The architecture and the words.

    The vocabulary is one of whole words, made from the names of ImageNet's classes, whose prompts
    have 9 tokens on average; with OpenAI's vocabulary it is about 10.

    Attributes:
        sizes: configuration of the CLIP.
        tokenizer: for it.
    """

    sizes: Mapping[str, Any]
    tokenizer: CLIPTokenizer

    @classmethod
    def load(cls, name: str) -> Subject:
        """An architecture by its file in ``benchmarks/models``."""
        sizes = yaml.safe_load((MODELS / f"{name}.yaml").read_text(encoding="utf-8"))["clip"]
        context = sizes["text_config"]["max_position_embeddings"]
        texts = [TEMPLATE.format(name) for name in class_list("imagenet")]
        return cls(sizes, make_tokenizer(texts, context))

    @property
    def context(self) -> int:
        """Most tokens of a text."""
        length: int = self.sizes["text_config"]["max_position_embeddings"]
        return length

    @property
    def side(self) -> int:
        """Pixels of an image's side."""
        pixels: int = self.sizes["vision_config"]["image_size"]
        return pixels

    @cached_property
    def names(self) -> list[str]:
        """ImageNet's 1000 class names, shuffled; two of them come twice."""
        names = list(class_list("imagenet"))
        random.Random(0).shuffle(names)
        return names

    def prompts(self, count: int) -> list[str]:
        """One prompt for each of so many classes."""
        return [TEMPLATE.format(name) for name in self.names[:count]]

    def captions(self, count: int) -> list[str]:
        """Captions of so many pairs, drawn with replacement."""
        return [TEMPLATE.format(name) for name in random.Random(1).choices(self.names, k=count)]

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Token ids [T, L] up to the longest text."""
        tokens: Tensor = self.tokenizer(
            list(texts), padding="longest", return_tensors="pt"
        ).input_ids
        return tokens


def make_towers(sizes: Mapping[str, Any], tokenizer: CLIPTokenizer) -> CLIPModel:
    """A CLIP with random weights that reads a text at the tokenizer's end token."""
    ends = {
        f"{end}_token_id": getattr(tokenizer, f"{end}_token_id") for end in ("bos", "eos", "pad")
    }
    return CLIPModel(CLIPConfig(**sizes | {"text_config": sizes["text_config"] | ends})).train()


def as_ours(towers: CLIPModel, subject: Subject) -> VisionLanguageModel:
    """The library's model around the same weights, in training mode."""
    square = {"height": subject.side, "width": subject.side}
    processor = CLIPImageProcessorPil(size={"shortest_edge": subject.side}, crop_size=square)
    return VisionLanguageModel(towers, subject.tokenizer, processor).train()


class OurStep:
    """The library's step, as its training loop runs it; ``half``: with forward passes in bf16."""

    def __init__(
        self,
        model: VisionLanguageModel,
        prompts: LabelSpace,
        pairs: ImageTexts,
        *,
        half: bool = False,
    ) -> None:
        self.model, self.method = model, create_method("gift")
        model.prepare_training(precision="bf16" if half else "fp32")
        model.eval()
        self.method.begin_task(model, TaskContext(prompts, 0.2, {"synthetic": pairs}))
        model.train()
        self.parameters = model.trainable_parameters()
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=1e-5, weight_decay=0.0, fused=True
        )

    def __call__(self, task: Batch, synthetic: Batch) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.method.step(self.model, {"task": task, "synthetic": synthetic}, Tensor.backward)
        self.optimizer.step()


def best(rounds: int, tasks: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """CPU seconds of each task, run in turns: the best of the rounds."""
    found = dict.fromkeys(tasks, float("inf"))
    for number in range(rounds):
        for name, task in tasks.items():
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            started = time.process_time()
            task()
            found[name] = min(found[name], time.process_time() - started)
    return found


def trained(model: torch.nn.Module, features: Callable[[], Tensor]) -> Callable[[], None]:
    """A forward and a backward pass, into new gradients."""

    def run() -> None:
        model.zero_grad(set_to_none=True)
        features().sum().backward()

    return run


def parts(subject: Subject, images: int, texts: int, rounds: int) -> dict[str, Any]:
    """CPU seconds of the parts of a step.

    One image or text where the published step's cost is in proportion to their number and the
    name is singular; the whole set where it is plural. "only" is a forward pass without gradient,
    "rest" the consolidation and the optimiser.
    """
    torch.manual_seed(0)
    towers = make_towers(subject.sizes, subject.tokenizer)
    ours = as_ours(towers, subject)
    batch = torch.randn(images, 3, subject.side, subject.side)
    padded = published.tokens_of(subject.tokenizer, subject.captions(texts), subject.context)
    captions = subject.tokens(dict.fromkeys(subject.captions(CAPTIONS)))
    prompts = {count: subject.tokens(subject.prompts(count)) for count in CLASSES}
    no_grad = torch.no_grad()
    tasks: dict[str, Callable[[], object]] = {
        "published image": trained(towers, lambda: images_of(towers, batch)),
        "image": trained(towers, lambda: ours.encode_images(batch)),
        "published image only": no_grad(lambda: images_of(towers, batch)),
        "image only": no_grad(lambda: ours.encode_images(batch)),
        "published text": trained(towers, lambda: texts_of(towers, padded)),
        "published text only": no_grad(lambda: texts_of(towers, padded)),
        "captions": trained(towers, lambda: ours.encode_texts(captions)),
        "captions only": no_grad(lambda: ours.encode_texts(captions)),
    }
    for count, tokens in prompts.items():
        tasks[f"prompts {count}"] = trained(towers, lambda t=tokens: ours.encode_texts(t))
    found = best(rounds, tasks)
    sizes = {"image": images, "image only": images, "text": texts, "text only": texts}
    for name, size in sizes.items():
        for key in {name, f"published {name}"} & found.keys():
            found[key] /= size
    others = preparations(towers, ours, subject, rounds)
    rest = updates(towers, rounds)
    return {
        **{name: seconds for name, seconds in found.items() if not name.startswith("prompts")},
        "prompts": {count: found[f"prompts {count}"] for count in CLASSES},
        **others,
        **rest,
        "published rest": rest["published consolidation"] + rest["published optimiser"],
        "rest": rest["consolidation"] + rest["optimiser"],
    }


def updates(towers: CLIPModel, rounds: int) -> dict[str, float]:
    """CPU seconds of what follows the anchor loss's backward pass: Fisher, penalty, AdamW."""
    named = towers.named_parameters()
    parameters = {name: value for name, value in named if name != "logit_scale"}
    anchors = consolidation.snapshot(parameters)
    groups = consolidation.normalization_groups(parameters)
    for parameter in parameters.values():
        parameter.grad = torch.randn_like(parameter)
    adam = partial(torch.optim.AdamW, parameters.values(), lr=1e-5, weight_decay=0.0)

    def penalty() -> None:
        published.distance(parameters, anchors, published.fisher(parameters)).backward()

    return best(
        rounds + 1,  # the first step of an optimiser makes its state
        {
            "published consolidation": penalty,
            "consolidation": partial(
                consolidation.add_adaptive_gradient, parameters, anchors, groups, weight=1.0
            ),
            "published optimiser": adam().step,
            "optimiser": adam(fused=True).step,
        },
    )


def preparations(
    towers: CLIPModel, ours: VisionLanguageModel, subject: Subject, rounds: int
) -> dict[str, float]:
    """CPU seconds of a zero-shot classifier of 24 classes, and of reading a test image."""
    labels = LabelSpace("classes", tuple(dict.fromkeys(subject.names))[:24], (TEMPLATE,))
    with tempfile.TemporaryDirectory() as name:
        decoded, cached = photos(Path(name), ours, PHOTOS)
        found = best(
            rounds,
            {
                "published classifier": lambda: published.classifier(
                    towers, subject.tokenizer, [[prompt] for prompt in labels.prompts]
                ),
                "classifier": lambda: class_embeddings(ours, labels),
                "published test image": lambda: pixel_batch(ours, decoded, range(PHOTOS)),
                "test image": lambda: pixel_batch(ours, cached, range(PHOTOS)),
            },
        )
    return {key: value / (PHOTOS if "image" in key else 1) for key, value in found.items()}


def photos(
    folder: Path, model: VisionLanguageModel, count: int
) -> tuple[PreprocessedImages, PixelSet]:
    """Test images as the model takes them: decoded each time, and from the cache."""
    rng = np.random.default_rng(0)
    paths = tuple(folder / f"{number}.jpg" for number in range(count))
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        coarse.resize(PHOTO, Image.Resampling.BICUBIC).save(path, quality=90)
    transform = model.preprocess
    decoded = PreprocessedImages(ImageFiles(paths, (0,) * count), transform)
    return decoded, pixels(decoded.images, transform.test_array, transform.key, Paths.of(folder))


def peak_rate() -> float:
    """Operations per second of a large product of matrices in float32, the best of ten."""
    one, other = torch.randn(2, 2048, 2048)
    (seconds,) = best(10, {"product": lambda: one @ other}).values()
    return 2 * 2048**3 / seconds


def sides(
    subject: Subject,
    classes: int,
    images: int,
    *,
    device: torch.device = CPU,
    half: bool = False,
    backend: str | None = None,
) -> dict[str, Callable[[], Callable[[], object]]]:
    """Makers of both sides' step of ``images`` images of the task and as many pairs.

    Args:
        subject: the architecture.
        classes: of the task.
        images: of each batch.
        device: where both work.
        half: our forward passes are in bf16.
        backend: of torch.compile for our layers; None does not compile.
    """
    rng = np.random.default_rng(0)
    shape = (2, images, subject.side, subject.side, 3)
    task, synthetic = rng.integers(0, 256, shape, dtype=np.uint8)
    labels = LabelSpace("classes", tuple(dict.fromkeys(subject.names))[:classes], (TEMPLATE,))
    captions = tuple(subject.captions(images))
    index = torch.arange(images, device=device)

    def towers() -> CLIPModel:
        torch.manual_seed(0)
        return make_towers(subject.sizes, subject.tokenizer).to(device)

    def batches_of(model: CLIPModel) -> list[Tensor]:
        normalize = as_ours(model, subject).preprocess.normalize
        return [normalize(torch.from_numpy(array)).to(device) for array in (task, synthetic)]

    def published_side() -> Callable[[], object]:
        model = towers()
        batches = batches_of(model)
        step = PublishedStep(model, subject.tokenizer, labels.prompts)
        return lambda: step(batches[0], index % classes, batches[1], captions)

    def our_side() -> Callable[[], object]:
        model = as_ours(towers(), subject)
        if backend:
            model.compile_layers(backend)
        step = OurStep(model, labels, ImageTexts(synthetic, captions), half=half)
        batches = [Batch(batch, index, index % classes) for batch in batches_of(model.towers)]
        return lambda: step(*batches)

    return {"published": published_side, "ours": our_side}


def whole_steps(subject: Subject) -> dict[int, tuple[float, float]]:
    """CPU seconds of whole steps of both sides by the number of classes, the better of two."""
    found = {}
    for classes in WHOLE_CLASSES:
        steps = {name: make() for name, make in sides(subject, classes, WHOLE_IMAGES).items()}
        seconds = best(2, steps)
        found[classes] = seconds["published"], seconds["ours"]
    return found


def peak_of_second_step(subject: Subject, side: str, images: int) -> float:
    """Peak memory of this process in MiB during the second step of one side."""
    step = sides(subject, MEMORY_CLASSES, images)[side]()
    step()
    reset_peak_memory()
    step()
    return peak_memory_mb()
