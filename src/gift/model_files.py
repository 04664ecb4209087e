"""Folders of weights as they lie around: what they hold, seen without reading the weights."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gift.text import one_line

Shape = tuple[int, ...]

_POINTER = b"version https://git-lfs"
_LARGEST_HEADER = 100 * 2**20
"""Bytes of a safetensors header, the format's own limit."""
_SETTINGS = {
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "scheduler_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
}
_VOCABULARIES = {"merges.txt", "tokenizer.json", "vocab.json", "vocab.txt"}
_FLOATS = {"F64", "F32", "F16", "BF16"}
_SHARD = re.compile(r"-\d+-of-\d+\.")
_PICKLES = {".bin", ".pt", ".pth", ".ckpt"}
_OTHER_FORMATS = {
    ".onnx": "ONNX",
    ".gguf": "GGUF",
    ".msgpack": "Flax",
    ".h5": "TensorFlow",
    ".pb": "TensorFlow",
    ".mlpackage": "Core ML",
}


@dataclass(frozen=True)
class Weights:
    """The safetensors files of one model.

    Attributes:
        files: that its weights are in, as far as they are there.
        variant: the part of their names that says which of several sets they are, such as
            ``fp16``; None for the plain names.
        shapes: of all tensors, by name.
        quantised: the matrices that are not stored as floating-point numbers.
        problems: why they cannot be read, a sentence each.
    """

    files: tuple[Path, ...] = ()
    variant: str | None = None
    shapes: dict[str, Shape] = field(default_factory=dict)
    quantised: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def find_weights(folder: Path, stem: str) -> Weights:
    """Look for the weights of a model, of which only the headers are read.

    Args:
        folder: where they are.
        stem: how their files are called, ``model`` or ``diffusion_pytorch_model``.

    Returns:
        Those of the plain name; where there are none, those of the first variant.
    """
    names = sorted(os.listdir(folder))
    pattern = re.compile(rf"{re.escape(stem)}(?:\.(?P<v>[\w-]+))?\.safetensors")
    index = re.compile(rf"{re.escape(stem)}\.safetensors\.index(?:\.(?P<v>[\w-]+))?\.json")
    found: dict[str, tuple[str, bool]] = {}
    for name in names:
        if match := index.fullmatch(name):
            found.setdefault(match["v"] or "", (name, True))
        elif (match := pattern.fullmatch(name)) and not re.search(
            r"-\d+-of-\d+$", match["v"] or ""
        ):
            found[match["v"] or ""] = (name, False)
    if not found:
        return Weights(problems=(_no_weights(names),))
    variant = min(found, key=lambda v: (v != "", v != "fp16", v))  # the plain name first
    name, is_index = found[variant]
    files, problems = [folder / name], list[str]()
    if is_index:
        try:
            shards = _shards(folder / name)
        except ValueError as error:
            return Weights(variant=variant or None, problems=(str(error),))
        if missing := [shard for shard in shards if shard not in names]:
            problems.append(
                f"{len(missing)} of {len(shards)} files that {name} lists are missing, "
                f"{missing[0]} among them; download them, too."
            )
        files = [folder / shard for shard in shards if shard in names]
    shapes: dict[str, Shape] = {}
    quantised: list[str] = []
    for file in files:
        try:
            tensors = _header(file)
        except ValueError as error:
            problems.append(str(error))
            continue
        shapes |= {tensor: shape for tensor, (_, shape) in tensors.items()}
        quantised += (
            tensor
            for tensor, (kind, _) in tensors.items()
            if kind not in _FLOATS and tensor.endswith(".weight")
        )
    return Weights(tuple(files), variant or None, shapes, tuple(quantised), tuple(problems))


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object of a configuration file.

    Raises:
        ValueError: it is none; the message begins with the file's name.
    """
    if problem := odd_file(path):
        raise ValueError(problem)
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise ValueError(f"{path.name} cannot be read ({reason}); copy it again.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no JSON object {{...}}; copy it again.")
    return value


def odd_file(path: Path) -> str:
    """Why an entry of a folder cannot be read at all; empty where nothing is odd about it."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return ""
        if not stat.S_ISREG(mode):
            return f"{one_line(path.name)} is no regular file; remove it."
        with path.open("rb") as file:
            is_pointer = file.read(len(_POINTER)) == _POINTER
    except OSError as error:
        return f"{one_line(path.name)} cannot be read ({error.strerror}); copy it again."
    if is_pointer:
        return (
            f"{one_line(path.name)} is a pointer of Git LFS, not the file itself; run "
            "'git lfs pull' in the folder, or download it from the hub."
        )
    return ""


def damaged_settings(folder: Path) -> list[str]:
    """What is wrong with a model's settings and vocabularies in a folder; a sentence each."""
    problems = []
    for path in sorted(folder.iterdir()):
        if path.name in _SETTINGS:
            try:
                read_object(path)
            except ValueError as error:
                problems.append(str(error))
        elif path.name in _VOCABULARIES or path.suffix == ".model":
            problems += filter(None, [odd_file(path)])
    return problems


def reason(error: Exception) -> str:
    """What a library says, on one line of at most 200 letters.

    >>> reason(ValueError("the hidden size is 5"))
    'ValueError: the hidden size is 5'
    """
    said = one_line(" ".join(str(error).split()))
    return f"{type(error).__name__}: {said if len(said) <= 200 else f'{said[:200]}...'}"


def refusal(source: str, problems: Sequence[str]) -> ValueError:
    """All that is wrong with a folder, as one error.

    >>> print(refusal("my-clip", ["no weights.", "no tokenizer."]))
    my-clip: 2 problems.
      - no weights.
      - no tokenizer.
    """
    if len(problems) == 1:
        return ValueError(f"{source}: {problems[0]}")
    lines = "".join(f"\n  - {problem}" for problem in problems)
    return ValueError(f"{source}: {len(problems)} problems.{lines}")


def other_format(path: Path) -> str:
    """What a path holds that is no folder of transformers or diffusers, and the way from there.

    A sentence or two; empty where nothing is recognised.
    """
    if path.is_file():
        return _single_file(path)
    names = set(os.listdir(path))

    def inside(pattern: str) -> str:
        """The first matching sub-folder that is a model or pipeline, as a hint."""
        models = (folder for folder in sorted(path.glob(pattern)) if _is_model_folder(folder))
        return next((f"give {one_line(folder)}." for folder in models), "")

    if "model_index.json" in names:
        return "it is a diffusers pipeline, a generator of images; give it as the generator."
    if "config.json" in names and _is_dual_encoder(path):
        return "it is a CLIP-like model; give it as the model."
    if "adapter_config.json" in names or "pytorch_lora_weights.safetensors" in names:
        base = _base_of_adapters(path)
        return (
            f"it holds adapters (LoRA) of another model{base} and no model; merge them into it "
            "(peft: PeftModel.from_pretrained(model, folder).merge_and_unload(), then "
            "save_pretrained), and give the merged one."
        )
    if {"modules.json", "config_sentence_transformers.json"} & names:
        within = inside("*") or "give the hub id of the model that it was made of."
        return f"it is a folder of sentence-transformers, which keeps the model inside; {within}"
    if any(name.startswith("open_clip") for name in names):
        return f"it is in OpenCLIP's format. {OPENCLIP_HINT}"
    if "snapshots" in names and (within := inside("snapshots/*")):
        return f"it is a folder of the hub's cache, which keeps the model inside; {within}"
    if "learner" in names and (within := inside("learner/model")):
        return f"it is a learner, which keeps its model inside; {within}"
    if within := inside("*") or inside("*/*"):
        return f"it holds a model in a sub-folder; {within}"
    for name in sorted(names):
        if kind := _OTHER_FORMATS.get(Path(name).suffix):
            return (
                f"{one_line(name)} is in {kind}'s format; give a folder with safetensors weights, "
                "as save_pretrained writes it."
            )
    files = (name for name in sorted(names) if Path(name).suffix in {*_PICKLES, ".safetensors"})
    return next((_single_file(path / name) for name in files), "")


OPENCLIP_HINT = (
    "Make a model folder of the checkpoint with 'gift import', or give the same weights in the "
    "form of transformers, which the hub has, such as openai/clip-vit-base-patch16 (OpenAI's "
    "ViT-B-16), laion/CLIP-ViT-B-32-laion2B-s34B-b79K, facebook/metaclip-b16-400m or "
    "google/siglip-base-patch16-224 (see docs/models.md)."
)


def _single_file(path: Path) -> str:
    name = one_line(path.name)
    if path.suffix == ".safetensors":
        return (
            f"{name} is a file of weights alone; give the folder that holds it together with "
            "its config.json. A Stable Diffusion in one file becomes a folder by diffusers' "
            "StableDiffusionPipeline.from_single_file(file).save_pretrained(folder)."
        )
    if path.suffix in _PICKLES:
        return (
            f"{name} is a checkpoint as OpenCLIP, OpenAI or a training script writes it, a pickle, "
            f"which can hold programs and is not read here. {OPENCLIP_HINT}"
        )
    if kind := _OTHER_FORMATS.get(path.suffix):
        return f"{name} is in {kind}'s format; give a folder with safetensors weights."
    return f"{name} is a file; give the folder of a model."


def _is_model_folder(folder: Path) -> bool:
    return (folder / "model_index.json").is_file() or (
        (folder / "config.json").is_file() and _is_dual_encoder(folder)
    )


def _is_dual_encoder(folder: Path) -> bool:
    try:
        config = read_object(folder / "config.json")
    except ValueError:
        return False
    return {"text_config", "vision_config"} <= config.keys() or config.get("model_type") == "clip"


def _base_of_adapters(folder: Path) -> str:
    try:
        base = read_object(folder / "adapter_config.json").get("base_model_name_or_path")
    except ValueError:
        return ""
    return f" ({one_line(base)})" if isinstance(base, str) else ""


def _no_weights(names: Iterable[str]) -> str:
    pickles = [name for name in names if Path(name).suffix in _PICKLES]
    if not pickles:
        return "it has no weights as safetensors; download them, too."
    return (
        f"it has no weights as safetensors, and pickled ones ({one_line(pickles[0])}) are not "
        "read; let the library that wrote them save the model again (save_pretrained), or take "
        "another revision."
    )


def _shards(index: Path) -> list[str]:
    """The files that an index names, which lie beside it."""
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index.name} lists no files of weights (weight_map); copy it again.")
    shards = sorted({str(name) for name in weight_map.values()})
    if outside := [name for name in shards if Path(name).name != name]:
        raise ValueError(
            f"{index.name} names {one_line(outside[0])}, which is no file beside it; copy it again."
        )
    return shards


def _header(path: Path) -> dict[str, tuple[str, Shape]]:
    """The types and shapes of a safetensors file's tensors, by name.

    Raises:
        ValueError: it is none, or not whole.
    """
    if problem := odd_file(path):
        raise ValueError(problem)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= min(size, _LARGEST_HEADER) else b""
    try:
        entries = json.loads(text)
        described = {name: entry for name, entry in entries.items() if name != "__metadata__"}
        tensors = {
            name: (str(entry["dtype"]), tuple(map(int, entry["shape"])))
            for name, entry in described.items()
        }
        end = 8 + length + max((int(e["data_offsets"][1]) for e in described.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        raise ValueError(
            f"{path.name} is no safetensors file, or its beginning is damaged; copy it again."
        ) from None
    if size < end:
        raise ValueError(
            f"{path.name} is cut off: {size} of {end} bytes are there; copy or download it again."
        )
    return tensors
