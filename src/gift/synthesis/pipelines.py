"""Pipeline folders of diffusers and their samplers, checked before any weight is read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers

from gift.model_files import (
    damaged_settings,
    find_weights,
    other_format,
    read_object,
    reason,
    refusal,
)
from gift.text import one_line

# Classes of diffusers are imported on first use, while silenced: their import is slow and noisy.
SCHEDULERS = {
    "pndm": "PNDMScheduler",
    "ddim": "DDIMScheduler",
    "dpmpp": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "lcm": "LCMScheduler",
}

_HINT = "Give a folder that a text-to-image pipeline's save_pretrained wrote, or a hub id."
_OTHER_TASKS = {
    "Onnx": "is in ONNX's format",
    "Flax": "is in Flax's format",
    "OV": "is in OpenVINO's format",
    "Inpaint": "fills in images (inpainting)",
    "Upscale": "enlarges images",
    "InstructPix2Pix": "changes images",
    "Depth2Img": "changes images",
    "Video": "generates videos",
    "Audio": "generates sound",
}
"""Pipelines of which the name says that they need more than a text, or give no image."""
_WITHOUT_WEIGHTS = re.compile("Tokenizer|Processor|Extractor|Scheduler")
_STEMS = {
    "diffusers": "diffusion_pytorch_model",
    "transformers": "model",
    "stable_diffusion": "model",
}
"""How the weights of a library's models are called."""
_NOT_REHEARSED = {"DDPMScheduler", "DPMSolverSDEScheduler", "EDMEulerScheduler"}
"""They need more than a sample to take a step: a learned variance, a package, other noise."""
_T5 = ("text_encoder_3", "tokenizer_3")
_WITH_CHECKER = ("safety_checker", "feature_extractor")


def check_folder(folder: Path, *, scheduler: str, steps: int, safety_checker: bool) -> str | None:
    """Refuse a folder that is no whole text-to-image pipeline; no weight is read.

    Args:
        folder: of the pipeline.
        scheduler: "default" or one of :data:`SCHEDULERS`.
        steps: denoising steps.
        safety_checker: whether the pipeline keeps its safety checker; else it may be missing.

    Returns:
        The variant in which weights are there alone, such as ``fp16``; None for the plain ones.

    Raises:
        ValueError: with all that is wrong.
    """
    source, index_file = one_line(folder), folder / "model_index.json"
    if not index_file.exists():
        raise ValueError(
            f"{source} is not a diffusers pipeline: it has no model_index.json. "
            f"{_component_of(folder) or other_format(folder) or _HINT}"
        )
    try:
        index = read_object(index_file)
    except ValueError as error:
        raise ValueError(f"{source}: {error} {_HINT}") from None
    # A component is named with its library and class; an optional one that is absent, with nulls.
    components = {
        name: value[1]
        for name, value in index.items()
        if not name.startswith("_")
        and isinstance(value, list)
        and len(value) == 2
        and all(isinstance(part, str) for part in value)
    }
    if not safety_checker:
        for name in missing_checker(folder):
            components.pop(name, None)
    if programs := sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py")):
        raise ValueError(
            f"{source} brings programs of its own ({', '.join(programs)}), which are not run here; "
            "give a pipeline of the classes of diffusers and transformers."
        )
    if absent := [name for name in components if not (folder / name).is_dir()]:
        raise ValueError(
            f"{source} is not a whole pipeline: {', '.join(absent)} missing. {_absent_hint(absent)}"
        )
    variants: dict[str, str | None] = {}
    problems = [*_task_problems(folder, index)]
    for name, kind in components.items():
        problems += (f"{name}/{problem}" for problem in damaged_settings(folder / name))
        stem = _STEMS.get(index[name][0])
        if stem is None or _WITHOUT_WEIGHTS.search(kind):
            continue
        weights = find_weights(folder / name, stem)
        problems += (f"{name}: {problem}" for problem in weights.problems)
        if weights.files:
            variants[name] = weights.variant
    named = {variant for variant in variants.values() if variant is not None}
    if len(named) > 1:
        problems.append(
            f"its weights are there in several variants ({', '.join(sorted(named))}) and not all "
            "in one; download those of one variant."
        )
    sampler = components.get("scheduler")
    if sampler is not None and index["scheduler"][0] == "diffusers":
        problems += _scheduler_problems(folder / "scheduler", sampler, index, scheduler, steps)
    if problems:
        raise refusal(source, problems)
    return next(iter(named), None)


def without_t5(folder: Path) -> list[str]:
    """The parts of T5 that a pipeline of Stable Diffusion 3 says that it does not have."""
    if not folder.is_dir():
        return []
    index = read_object(folder / "model_index.json")
    return [name for name in _T5 if index.get(name) == [None, None]]


def missing_checker(folder: Path) -> list[str]:
    """The components of a safety checker that a pipeline's folder lacks."""
    return [name for name in _WITH_CHECKER if folder.is_dir() and not (folder / name).is_dir()]


def sampler(own: Any, scheduler: str, steps: int, *, pipeline: str = "") -> Any:
    """The sampler of a pipeline, checked: that of its own, or another one of the same kind.

    Args:
        own: the scheduler that the pipeline was saved with.
        scheduler: "default" or one of :data:`SCHEDULERS`.
        steps: denoising steps.
        pipeline: the name of its class.

    Raises:
        ValueError: the pipeline does not go with that scheduler, or the scheduler cannot take so
            few or so many steps.
    """
    allowed = ["default", *(name for name in SCHEDULERS if _goes_with(own, name, pipeline))]
    if scheduler not in allowed:
        raise ValueError(
            f"scheduler = {scheduler!r} is of another kind than the pipeline's own sampler "
            f"({type(own).__name__}): noise would be left in the images. Allowed here: "
            f"{', '.join(allowed)}."
        )
    try:
        chosen = own if scheduler == "default" else _class(scheduler).from_config(own.config)
    except Exception as error:  # wrong values make the library raise nearly every type
        raise ValueError(
            f"scheduler = {scheduler!r} cannot be made of the pipeline's own sampler "
            f"({reason(error)}); correct its scheduler_config.json, or use 'default'."
        ) from error
    if problem := _rehearse(chosen, steps):
        possible = [n for n in (1, 2, 4, 8, 10, 20, 25, 50, 100) if not _rehearse(chosen, n)]
        raise ValueError(
            f"steps = {steps} cannot be sampled by {type(chosen).__name__} ({problem}); possible "
            f"are for instance {', '.join(map(str, possible)) or 'none'}. Change steps or "
            "scheduler."
        )
    return chosen


def _class(scheduler: str) -> Any:
    return getattr(diffusers, SCHEDULERS[scheduler])


def _goes_with(own: Any, scheduler: str, pipeline: str) -> bool:
    """Whether a pipeline's own sampler lists another one as compatible.

    None lists ``lcm``: it samples as those of Stable Diffusion do, with weights distilled for it.
    """
    if pipeline == "LatentConsistencyModelPipeline":
        return scheduler == "lcm"
    is_karras = type(own).__name__ in {kind.name for kind in KarrasDiffusionSchedulers}
    return _class(scheduler) in own.compatibles or (scheduler == "lcm" and is_karras)


def _rehearse(scheduler: Any, steps: int) -> str:
    """Why a sampler cannot take so many steps, tried on a few numbers; empty if it can."""
    known = {kind.name for kind in KarrasDiffusionSchedulers} | {"LCMScheduler"}
    if type(scheduler).__name__ not in known - _NOT_REHEARSED:
        return ""
    trial = type(scheduler).from_config(scheduler.config)
    with torch.random.fork_rng(devices=[]):  # some samplers add noise
        try:
            trial.set_timesteps(steps)
            sample = torch.ones(1, 1, 2, 2) * trial.init_noise_sigma
            for step in trial.timesteps:
                trial.scale_model_input(sample, step)
                output = torch.full_like(sample, 0.5)
                sample = trial.step(output, step, sample, return_dict=False)[0]
        except Exception as error:  # IndexError, ValueError, TypeError, by the sampler
            return reason(error)
    return "" if bool(sample.isfinite().all()) else "its numbers are not finite"


def _scheduler_problems(
    folder: Path, kind: str, index: dict[str, Any], scheduler: str, steps: int
) -> Iterator[str]:
    known = getattr(diffusers, kind, None) if kind.endswith("Scheduler") else None
    if not isinstance(known, type):
        yield f"its scheduler is a {one_line(kind)}, which diffusers does not have."
        return
    try:
        own = known.from_pretrained(str(folder))  # type: ignore[attr-defined]
    except Exception as error:  # wrong values make the library raise nearly every type
        yield f"scheduler/scheduler_config.json cannot be used ({reason(error)}); copy it again."
        return
    try:
        sampler(own, scheduler, steps, pipeline=str(index.get("_class_name")))
    except ValueError as error:
        yield str(error)


def _task_problems(folder: Path, index: dict[str, Any]) -> Iterator[str]:
    """Why a pipeline makes no images of texts alone."""
    kind = index.get("_class_name")
    if not isinstance(kind, str):
        yield f"model_index.json names no class of pipeline (_class_name). {_HINT}"
        return
    for part, does in _OTHER_TASKS.items():
        if part in kind:
            yield f"it is a {one_line(kind)}, which {does}. {_HINT}"
            return
    if index.get("requires_aesthetics_score") is True:
        yield f"it is a refiner, which improves images of another pipeline. {_HINT}"
    try:
        taken = read_object(folder / "unet" / "config.json").get("in_channels")
        made = read_object(folder / "vae" / "config.json").get("latent_channels")
    except ValueError:
        return  # without these parts, or told below
    if isinstance(taken, int) and isinstance(made, int) and taken != made:
        yield (
            f"its network takes {taken} channels, but its images have {made}: it needs an image "
            f"beside the text, as for inpainting or enlarging. {_HINT}"
        )


def _absent_hint(absent: Collection[str]) -> str:
    if set(absent) <= {*_WITH_CHECKER}:
        return (
            "Download it, or generate without it: synthesis.safety_checker = false "
            "(--no-safety-checker)."
        )
    if set(absent) <= {*_T5}:
        return (
            "Download them, or set both to [null, null] in model_index.json to generate without "
            "T5, which gives other images."
        )
    return _HINT


def _component_of(folder: Path) -> str:
    """What a folder is that holds one component of a pipeline; empty for other folders."""
    try:
        kind = read_object(folder / "config.json").get("_class_name")
    except ValueError:
        return ""
    return f"It is one component, {one_line(kind)}; give the folder above it." if kind else ""
