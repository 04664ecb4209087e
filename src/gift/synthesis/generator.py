"""Text-to-image generators: the interface that the image store uses, and diffusers pipelines."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import diffusers
import torch
import transformers
from PIL.Image import Image

from gift.progress import silenced
from gift.text import unknown

# Classes of diffusers are imported on first use, while silenced: their import is slow and noisy.
SCHEDULERS = {
    "pndm": "PNDMScheduler",
    "ddim": "DDIMScheduler",
    "dpmpp": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "lcm": "LCMScheduler",
}
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
        ValueError: a folder without a whole pipeline, an unknown scheduler or dtype.
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
        _check_source(str(self.source))
        if self.revision and Path(self.source).is_dir():
            raise ValueError(
                f"revision = {self.revision!r} belongs to a hub id, but {self.source} is a folder; "
                "remove it."
            )
        if self.scheduler not in {"default", *SCHEDULERS}:
            raise ValueError(unknown("scheduler", self.scheduler, ["default", *SCHEDULERS]))
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ValueError(unknown("dtype", self.dtype, DTYPES))

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
                safetensors weights, or the pipeline is not a text-to-image one.
        """
        # The dtype is set afterwards: the argument's name differs between diffusers versions.
        without = {} if self.safety_checker else {"safety_checker": None}
        try:
            with silenced(logging.ERROR, diffusers.utils.logging, transformers.utils.logging):
                pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
                    self.source, use_safetensors=True, revision=self.revision, **without
                )
                if self.scheduler != "default":
                    scheduler = getattr(diffusers, SCHEDULERS[self.scheduler])
                    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
                if isinstance(pipeline, diffusers.StableDiffusionXLPipeline):
                    # It is on where the package invisible-watermark happens to be installed.
                    pipeline.watermark = None
                pipeline = pipeline.to(device=self.device, dtype=getattr(torch, self.precision))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # damaged files make the libraries raise nearly every type
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"the generator {self.source} cannot be loaded on {self.device} "
                f"({type(error).__name__}: {reason}); give a whole text-to-image pipeline with "
                "safetensors weights, as save_pretrained writes it, or its id on the hub."
            ) from error
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def release(self) -> None:
        """Free the pipeline's memory; it is loaded again when it is needed again."""
        self.__dict__.pop("pipeline", None)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        """One image per prompt, its noise sampled with the seed at the same position."""
        images: list[Image] = self.run(prompts, seeds, output_type="pil")
        return images

    def run(self, prompts: Sequence[str], seeds: Sequence[int], *, output_type: str) -> Any:
        """The pipeline's output of one batch: "pil" images, "np" arrays or "latent" tensors."""
        assert len(prompts) == len(seeds) > 0
        sides = {} if self.size is None else {"height": self.size, "width": self.size}
        return self.pipeline(
            **self._text_arguments(prompts),
            **sides,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            output_type=output_type,
        ).images

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


def _check_source(source: str) -> None:
    """Refuse what a glance shows to be no whole pipeline; nothing is loaded."""
    folder = Path(source)
    if source.startswith("sha256:") and not folder.is_dir():
        raise ValueError(
            f"{source} is the checksum of a generator, which generates nothing; give the "
            "pipeline's folder or its id on the hub."
        )
    if not folder.is_dir():
        if folder.is_absolute() or source[:1] in {".", "~"} or len(folder.parts) > 2:
            raise FileNotFoundError(
                f"{folder} is not a folder; give a pipeline folder or a hub id."
            )
        return
    hint = "Give a folder that a pipeline's save_pretrained wrote, or a hub id."
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError(
            f"{folder} is not a diffusers pipeline: it has no model_index.json. {hint}"
        )
    try:
        entries = json.loads(index.read_text(encoding="utf-8")).items()
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{index} is not a JSON object ({error}). {hint}") from error
    # A component is named with its library and class; an optional one that is absent, with nulls.
    components = [name for name, value in entries if isinstance(value, list) and all(value)]
    if missing := [name for name in components if not (folder / name).is_dir()]:
        raise ValueError(f"{folder} is not a whole pipeline: {', '.join(missing)} missing. {hint}")
    if programs := sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py")):
        raise ValueError(
            f"{folder} brings programs of its own ({', '.join(programs)}), which are not run here; "
            "give a pipeline of the classes of diffusers and transformers."
        )


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.suffix in _HASHED and path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()
