"""Text-to-image generators: the interface that the image store uses, and diffusers pipelines."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import diffusers
import torch
import transformers
from PIL.Image import Image

from gift.model_files import other_format, reason
from gift.progress import silenced
from gift.synthesis import pipelines
from gift.synthesis.pipelines import SCHEDULERS
from gift.text import one_line, unknown

DTYPES = ("float32", "float16", "bfloat16")
_HASHED = {".json", ".txt", ".model", ".safetensors"}
_STATES = ("prompt_embeds", "negative_prompt_embeds")
_EMBEDDINGS = {
    "StableDiffusionPipeline": _STATES,
    "StableDiffusionXLPipeline": (
        *_STATES,
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    ),
}
"""The values that ``encode_prompt`` returns, by the names of the pipeline's call arguments."""


Identity = dict[str, str | int | float | bool]
"""All that decides a generator's images besides prompt and seed, as JSON."""


class TextToImage(Protocol):
    """A text-to-image generator. An image depends on its prompt and seed, not on its batch."""

    @property
    def identity(self) -> Identity:
        """Model and settings; cheap before loading."""

    @property
    def batch_size(self) -> int: ...

    def load(self) -> None:
        """Get ready, so that the first batch takes no longer than the others."""

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        """One RGB image per prompt and seed; an all-black one means that it was withheld."""


@dataclass(frozen=True, eq=False)
class DiffusersGenerator:
    """A diffusers text-to-image pipeline, loaded or fetched when the first image is generated.

    Args:
        source: a pipeline folder or an id on the Hugging Face hub.
        steps: denoising steps.
        guidance: classifier-free guidance scale; 1 or less switches guidance off.
        scheduler: "default" (as saved) or one of :data:`SCHEDULERS`.
        size: height and width in pixels; the pipeline's own by default.
        dtype: one of :data:`DTYPES`; by default float16 on a GPU and float32 on a CPU.
        device: where the pipeline runs.
        batch_size: images per call of the pipeline; does not change them.
        safety_checker: whether the pipeline keeps its safety checker, if it has one.
        revision: branch, tag or commit of a hub id; the main branch by default.

    Raises:
        FileNotFoundError: a path to nowhere.
        ValueError: a folder without a whole text-to-image pipeline (with all that is wrong), a
            scheduler that is unknown or does not go with the pipeline or the steps, or an unknown
            dtype. Of a hub id this is found when it is loaded.
    """

    source: str | Path
    steps: int = 50
    guidance: float = 7.5
    scheduler: str = "default"
    size: int | None = None
    dtype: str | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    batch_size: int = 8
    safety_checker: bool = True
    revision: str | None = None
    _embeddings: dict[str, dict[str, torch.Tensor]] = field(
        default_factory=dict, init=False, repr=False
    )
    """Of each prompt: states [L, D] and, for some pipelines, a vector [D]."""

    def __post_init__(self) -> None:
        if self.scheduler not in {"default", *SCHEDULERS}:
            raise ValueError(unknown("scheduler", self.scheduler, ["default", *SCHEDULERS]))
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(unknown("dtype", self.dtype, DTYPES))
        _check_reference(str(self.source))
        if self.revision and Path(self.source).is_dir():
            raise ValueError(
                f"revision = {self.revision!r} belongs to a hub id, but {self.source} is a folder; "
                "remove it."
            )
        _ = self._variant

    @cached_property
    def _variant(self) -> str | None:
        """Which weights of a folder are read, see :func:`gift.synthesis.pipelines.check_folder`."""
        folder = Path(self.source)
        if not folder.is_dir():
            return None
        with silenced(logging.ERROR, diffusers.utils.logging):
            return pipelines.check_folder(
                folder,
                scheduler=self.scheduler,
                steps=self.steps,
                safety_checker=self.safety_checker,
            )

    @property
    def precision(self) -> str:
        """The dtype's name, the default filled in."""
        return self.dtype or ("float32" if self.device.type == "cpu" else "float16")

    @cached_property
    def identity(self) -> Identity:
        """Model and settings. A folder is known by the content of its files, not by its place.

        Settings that came later are named only where they are used, so older sets keep their
        identity.
        """
        folder = Path(self.source)
        named: dict[str, str | int | float | bool | None] = {
            "model": f"sha256:{_hash_folder(folder)}" if folder.is_dir() else str(self.source),
            "steps": self.steps,
            "guidance": self.guidance,
            "scheduler": self.scheduler,
            "dtype": self.precision,
            "size": self.size,
            "safety_checker": None if self.safety_checker else False,
            "revision": self.revision,
        }
        return {name: value for name, value in named.items() if value is not None}

    def load(self) -> None:
        """Load the pipeline, see :attr:`pipeline`."""
        _ = self.pipeline

    @cached_property
    def pipeline(self) -> Any:
        """The loaded diffusers pipeline.

        Raises:
            ValueError: the hub id cannot be fetched, a file is missing or damaged, there are no
                safetensors weights or some that are not finite, the pipeline is not a
                text-to-image one, or the scheduler does not go with it or the steps.
        """
        try:
            with silenced(logging.ERROR, diffusers.utils.logging, transformers.utils.logging):
                pipeline = self._read()
                if "scheduler" in pipeline.components:
                    own, kind = pipeline.scheduler, type(pipeline).__name__
                    pipeline.scheduler = pipelines.sampler(
                        own, self.scheduler, self.steps, pipeline=kind
                    )
                if isinstance(pipeline, diffusers.StableDiffusionXLPipeline):
                    # It is on where the package invisible-watermark happens to be installed.
                    pipeline.watermark = None
                # The argument of from_pretrained has other names in other diffusers versions.
                pipeline = pipeline.to(device=self.device, dtype=getattr(torch, self.precision))
                _check_finite(pipeline, self.precision)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # damaged files make the libraries raise nearly every type
            raise ValueError(
                f"the generator {self.source} cannot be loaded on {self.device} "
                f"({reason(error)}); give a whole text-to-image pipeline with safetensors "
                "weights, as save_pretrained writes it, or its id on the hub."
            ) from error
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _read(self) -> Any:
        folder = Path(self.source)
        absent = pipelines.without_t5(folder)
        if not self.safety_checker:
            absent += ["safety_checker", *pipelines.missing_checker(folder)]
        options: dict[str, Any] = dict.fromkeys(absent) | {"revision": self.revision}
        try:
            return self._from_pretrained(self._variant, options)
        except (OSError, ValueError):
            if folder.is_dir():
                raise
            try:  # some hub ids have their weights in half precision alone
                return self._from_pretrained("fp16", options)
            except (OSError, ValueError):
                pass
            raise

    def _from_pretrained(self, variant: str | None, options: Mapping[str, Any]) -> Any:
        return diffusers.AutoPipelineForText2Image.from_pretrained(
            self.source, use_safetensors=True, variant=variant, **options
        )

    def release(self) -> None:
        """Free the pipeline's memory; it is loaded again when it is needed again."""
        self.__dict__.pop("pipeline", None)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        """One image per prompt, its noise sampled with the seed at the same position."""
        images: list[Image] = self.run(prompts, seeds, output_type="pil")
        return images

    def seconds_per_image(self) -> float:
        """About how long an image takes here, timed with few denoising steps.

        Raises:
            ValueError: as :meth:`generate`.
        """

        def seconds(size: int, steps: int) -> float:
            started = time.perf_counter()
            self.run(["a photo."] * size, range(size), output_type="pil", steps=steps)
            return (time.perf_counter() - started) / size

        few = min(2, self.steps)
        seconds(1, few)  # the first call of a pipeline takes longer
        short, size = seconds(1, few), 1
        if short * self.batch_size < _SHORT:  # many at once take less time each
            short, size = seconds(self.batch_size, few), self.batch_size
        more = min(2 * few, self.steps)
        per_step = (seconds(size, more) - short) / (more - few) if more > few else 0.0
        return max(short, short + (self.steps - few) * per_step)

    def run(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        output_type: str,
        steps: int | None = None,
    ) -> Any:
        """The pipeline's output of one batch: "pil" images, "np" arrays or "latent" tensors.

        ``steps`` are the generator's by default.
        """
        assert len(prompts) == len(seeds) > 0
        sides = {} if self.size is None else {"height": self.size, "width": self.size}
        pipeline = self.pipeline
        try:
            return pipeline(
                **self._text_arguments(prompts),
                **sides,
                num_inference_steps=steps or self.steps,
                guidance_scale=self.guidance,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                output_type=output_type,
            ).images
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # pipelines raise nearly every type, by what does not fit
            settings = ("steps", "guidance", "scheduler", "size", "dtype")
            given = ", ".join(f"{name} = {getattr(self, name)}" for name in settings)
            raise ValueError(
                f"the generator {self.source} (a {type(pipeline).__name__}) cannot generate images "
                f"with {given} ({reason(error)}); change these "
                "settings, or give another text-to-image pipeline."
            ) from error

    def _text_arguments(self, prompts: Sequence[str]) -> dict[str, Any]:
        if type(self.pipeline).__name__ not in _EMBEDDINGS:
            return {"prompt": list(prompts)}
        for prompt in prompts:
            if prompt not in self._embeddings:
                self._embeddings[prompt] = self._encode(prompt, guided=False)
        rows = [self._embeddings[prompt] for prompt in prompts]
        if self.guidance > 1:
            rows = [row | self._negative for row in rows]
        return {name: torch.stack([row[name] for row in rows]).to(self.device) for name in rows[0]}

    @cached_property
    def _negative(self) -> dict[str, torch.Tensor]:
        """The embeddings of the unconditional branch: the pipeline's own for no negative prompt."""
        found = self._encode("", guided=True)
        return {name: value for name, value in found.items() if name.startswith("negative_")}

    @torch.no_grad()
    def _encode(self, prompt: str, *, guided: bool) -> dict[str, torch.Tensor]:
        """The embeddings of one prompt on the CPU, by the names of the pipeline's arguments."""
        values = self.pipeline.encode_prompt(
            prompt=prompt,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
        )
        names = _EMBEDDINGS[type(self.pipeline).__name__]
        pairs = zip(names, values, strict=True)
        return {name: value[0].cpu() for name, value in pairs if value is not None}


_SHORT = 5.0
"""Seconds that a timing may take before it is made with fewer images."""


def _check_reference(source: str) -> None:
    """Refuse what is neither a folder nor a hub id."""
    folder, name = Path(source), one_line(source)
    if folder.is_dir():
        return
    if source.startswith("sha256:"):
        raise ValueError(
            f"{name} is the checksum of a generator, which generates nothing; give the "
            "pipeline's folder or its id on the hub."
        )
    if folder.is_file():
        raise ValueError(f"{name} is not a diffusers pipeline: {other_format(folder)}")
    if address := re.match(r"(hf-hub:|hf://|https?://(www\.)?huggingface\.co/)(?P<id>.+)", source):
        raise ValueError(
            f"{name} is an address, not a folder or a hub id; give '{one_line(address['id'])}'."
        )
    if folder.is_absolute() or source[:1] in {".", "~"} or len(folder.parts) > 2:
        raise FileNotFoundError(f"{name} is not a folder; give a pipeline folder or a hub id.")


def _check_finite(pipeline: Any, precision: str) -> None:
    """Refuse weights that are not finite, of which images would be black or noise."""
    for name, part in pipeline.components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        for key, parameter in part.named_parameters():
            # One fast pass; a sum may overflow where no number does.
            if not parameter.sum().isfinite() and not parameter.isfinite().all():
                raise ValueError(
                    f"{key} of its {name} is not finite in {precision}: the file is damaged, or "
                    "the dtype cannot hold its numbers (try float32)"
                )


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.suffix in _HASHED and path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()
