"""Text-to-image generators: what the store asks of them, and diffusers pipelines as one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import diffusers
import torch
import transformers
from PIL.Image import Image

from gift.config import unknown

# Classes of diffusers are imported on first use, inside _quiet: their import is slow and noisy.
SCHEDULERS = {
    "pndm": "PNDMScheduler",
    "ddim": "DDIMScheduler",
    "dpmpp": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
}
_HASHED = {".json", ".txt", ".model", ".safetensors"}


class TextToImage(Protocol):
    """Paints prompts. An image depends on its prompt and seed, not on the batch it is in."""

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides an image besides prompt and seed, as JSON; cheap before loading."""
        ...

    @property
    def batch_size(self) -> int: ...

    def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        """One RGB image per prompt and seed; an all-black one means that it was withheld."""
        ...


@dataclass(frozen=True)
class DiffusersGenerator:
    """A diffusers text-to-image pipeline, loaded when the first image is painted.

    Use :meth:`from_pretrained`, which checks the settings.
    """

    source: str
    steps: int
    guidance: float
    scheduler: str
    dtype: torch.dtype
    device: torch.device
    batch_size: int
    _embeddings: dict[str, torch.Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        steps: int = 50,
        guidance: float = 7.5,
        scheduler: str = "default",
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        batch_size: int = 8,
    ) -> DiffusersGenerator:
        """Describe a pipeline; nothing is loaded yet.

        Args:
            path_or_id: A pipeline folder or an id on the Hugging Face hub.
            steps: Denoising steps.
            guidance: Classifier-free guidance scale; 1 or less switches guidance off.
            scheduler: "default" (as saved), "pndm", "ddim", "dpmpp" or "euler".
            dtype: By default float16 on a GPU and float32 on a CPU.
            device: Where to paint.
            batch_size: Images per call of the pipeline; does not change them.

        Raises:
            FileNotFoundError: a path to nowhere.
            ValueError: a folder without a whole pipeline, or a setting out of range.
        """
        path = Path(path_or_id)
        if path.is_dir():
            _check_parts(path)
        elif path.is_absolute() or str(path_or_id)[:1] in {".", "~"} or len(path.parts) > 2:
            raise FileNotFoundError(f"{path} is not a folder; give a pipeline folder or a hub id.")
        if steps < 1 or batch_size < 1:
            raise ValueError(f"steps = {steps} and batch_size = {batch_size} must be 1 or more.")
        if scheduler not in {"default", *SCHEDULERS}:
            raise ValueError(unknown("scheduler", scheduler, ["default", *SCHEDULERS]))
        device = torch.device(device)
        dtype = dtype or (torch.float32 if device.type == "cpu" else torch.float16)
        return cls(str(path_or_id), steps, guidance, scheduler, dtype, device, batch_size)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Model and settings. A folder is known by the content of its files, not by its place."""
        folder = Path(self.source)
        return {
            "model": f"sha256:{_hash_folder(folder)}" if folder.is_dir() else self.source,
            "steps": self.steps,
            "guidance": self.guidance,
            "scheduler": self.scheduler,
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    @cached_property
    def pipeline(self) -> Any:
        """The loaded diffusers pipeline.

        Raises:
            ValueError: the hub id cannot be fetched, a file is missing or damaged, there are no
                safetensors weights, or the pipeline does not paint from text.
        """
        try:
            with _quiet():
                pipeline = self._load()
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

    def _load(self) -> Any:
        # The dtype is set afterwards: the argument's name differs between diffusers versions.
        pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
            self.source, use_safetensors=True
        )
        if self.scheduler != "default":
            scheduler = getattr(diffusers, SCHEDULERS[self.scheduler])
            pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
        return pipeline.to(device=self.device, dtype=self.dtype)

    def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        """One image per prompt, its noise drawn from the seed beside it."""
        images: list[Image] = self.run(prompts, seeds, output_type="pil")
        return images

    def run(self, prompts: Sequence[str], seeds: Sequence[int], *, output_type: str) -> Any:
        """The pipeline's output of one batch: "pil" images, "np" arrays or "latent" tensors."""
        assert len(prompts) == len(seeds) > 0
        return self.pipeline(
            **self._text_arguments(prompts),
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            output_type=output_type,
        ).images

    def _text_arguments(self, prompts: Sequence[str]) -> dict[str, Any]:
        # Other classes need more than the two embeddings (pooled ones, masks): they get the text.
        if type(self.pipeline) is not diffusers.StableDiffusionPipeline:
            return {"prompt": list(prompts)}
        arguments = {"prompt_embeds": torch.stack([self._embed(prompt) for prompt in prompts])}
        if self.guidance > 1:
            arguments["negative_prompt_embeds"] = torch.stack([self._embed("")] * len(prompts))
        return {name: value.to(self.device) for name, value in arguments.items()}

    @torch.no_grad()
    def _embed(self, prompt: str) -> torch.Tensor:
        """Text states [L, D] on the CPU; each distinct prompt runs through the encoder once."""
        if prompt not in self._embeddings:
            states, _ = self.pipeline.encode_prompt(
                prompt,
                self.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
            self._embeddings[prompt] = states[0].cpu()
        return self._embeddings[prompt]


def _check_parts(folder: Path) -> None:
    """Refuse a folder that a glance shows to be no whole pipeline; nothing is loaded."""
    cure = "Give a folder that a pipeline's save_pretrained wrote, or a hub id."
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError(
            f"{folder} is not a diffusers pipeline: it has no model_index.json. {cure}"
        )
    try:
        entries = json.loads(index.read_text(encoding="utf-8")).items()
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{index} is not a JSON object ({error}). {cure}") from error
    # A part is named with its library and class; an optional one that is absent, with nulls.
    parts = [name for name, value in entries if isinstance(value, list) and all(value)]
    if missing := [name for name in parts if not (folder / name).is_dir()]:
        raise ValueError(f"{folder} is not a whole pipeline: {', '.join(missing)} missing. {cure}")


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.suffix in _HASHED and path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the loading bars and reports of diffusers and transformers."""
    libraries = [diffusers.utils.logging, transformers.utils.logging]
    before = [(library.is_progress_bar_enabled(), library.get_verbosity()) for library in libraries]
    for library in libraries:
        library.disable_progress_bar()
        library.set_verbosity_error()
    try:
        yield
    finally:
        for library, (bars, verbosity) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if bars:
                library.enable_progress_bar()
