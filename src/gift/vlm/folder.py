"""Where a model is read from: references and folders, checked before any weight is read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from gift.model_files import (
    OPENCLIP_HINT,
    Shape,
    damaged_settings,
    find_weights,
    other_format,
    read_object,
    reason,
    refusal,
)
from gift.text import one_line

HAS_CAUSAL_TEXT_TOWER = {"clip": True, "metaclip_2": True, "siglip": False}
"""The supported families of dual encoders by their ``model_type``.

A causal text tower is read at a text's end token. The other kind (SigLIP) sees the whole context,
padding included, is read at its last position and was trained on texts in lower case, which not
all its tokenizers see to.
"""

_SIZES = {
    "vision_config.hidden_size": ("vision_model.embeddings.patch_embedding.weight", 0),
    "vision_config.num_channels": ("vision_model.embeddings.patch_embedding.weight", 1),
    "vision_config.patch_size": ("vision_model.embeddings.patch_embedding.weight", 2),
    "vision_config.intermediate_size": ("vision_model.encoder.layers.0.mlp.fc1.weight", 0),
    "text_config.hidden_size": ("text_model.embeddings.token_embedding.weight", 1),
    "text_config.vocab_size": ("text_model.embeddings.token_embedding.weight", 0),
    "text_config.max_position_embeddings": (
        "text_model.embeddings.position_embedding.weight",
        0,
    ),
    "text_config.intermediate_size": ("text_model.encoder.layers.0.mlp.fc1.weight", 0),
    "projection_dim": ("text_projection.weight", 0),
    "text_config.projection_size": ("text_model.head.weight", 0),
}
"""Settings of ``config.json``, and the tensor and its dimension that must have that size."""

_OPENAI_NAMES = {
    "ViT-B/32": "openai/clip-vit-base-patch32",
    "ViT-B/16": "openai/clip-vit-base-patch16",
    "ViT-L/14": "openai/clip-vit-large-patch14",
    "ViT-L/14@336px": "openai/clip-vit-large-patch14-336",
}


def check_source(path_or_id: str | Path) -> str:
    """A reference as transformers takes it, after all checks that need no weights.

    A folder is checked whole; of a hub id only the form, and its config.json, which is fetched.

    Raises:
        ValueError: no such folder, or it is no supported CLIP-like model, or not a whole one; all
            that is wrong is told at once.
        OSError: the hub gives no such id.
    """
    folder, source = Path(path_or_id).expanduser(), str(path_or_id)
    if folder.is_dir():
        _check_folder(folder)
        return str(folder)
    if folder.is_file():
        raise ValueError(f"{one_line(source)} is no model folder: {other_format(folder)}")
    _check_name(source)
    config, _ = PreTrainedConfig.get_config_dict(source)
    if "model_type" not in config:
        raise ValueError(
            f"{source} on the hub is no model of transformers: it has no config.json with a "
            f"model_type. {OPENCLIP_HINT}"
        )
    if problem := _type_problem(config):
        raise ValueError(f"{source}: {problem}")
    return source


def _check_name(source: str) -> None:
    """Refuses what is neither a folder nor the form of a hub id."""
    name = one_line(source)
    if known := _OPENAI_NAMES.get(source):
        raise ValueError(
            f"{name} is OpenAI's name of a model; give the hub id of the same weights, {known}."
        )
    if match := re.match(r"(hf-hub:|hf://|https?://(www\.)?huggingface\.co/)(?P<id>.+)", source):
        raise ValueError(
            f"{name} is an address, not a folder or a hub id; give '{one_line(match['id'])}'. "
            "Where that is in OpenCLIP's format only, download it and make a model folder of it "
            "with 'gift import' (see docs/models.md)."
        )
    if re.fullmatch(r"(ViT|RN\d|convnext|coca|EVA|MobileCLIP)[\w-]*(/\w+)?", source):
        raise ValueError(f"there is no folder {name}; it looks like OpenCLIP's. {OPENCLIP_HINT}")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", source):
        raise ValueError(
            f"there is no folder {name}; give the folder of a model, or a hub id such as "
            "'openai/clip-vit-base-patch16'."
        )


def _check_folder(folder: Path) -> None:
    """Refuses a folder that is not a whole CLIP-like model, with all that is wrong with it."""
    source = one_line(folder)
    if not (folder / "config.json").exists():
        found = other_format(folder) or (
            "it has no config.json with a model_type. Give a folder as save_pretrained writes it, "
            "or a hub id such as 'openai/clip-vit-base-patch16'."
        )
        raise ValueError(f"{source} is no model folder: {found}")
    try:
        config = read_object(folder / "config.json")
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    if "model_type" not in config:
        found = other_format(folder) or "give a folder as save_pretrained writes it."
        raise ValueError(f"{source} is no model folder: its config.json has no model_type; {found}")
    if problem := _type_problem(config):
        raise ValueError(f"{source}: {problem}")
    problems = list(_problems(folder, config))
    if problems:
        raise refusal(source, problems)


def _problems(folder: Path, config: Mapping[str, Any]) -> Iterator[str]:
    names = sorted(os.listdir(folder))
    if "adapter_config.json" in names:
        yield (
            "adapters (adapter_config.json) lie beside the weights, which would be added to them "
            "and trained in their place; move them away to use the model itself, or merge them "
            "into it (peft: merge_and_unload, then save_pretrained)."
        )
    yield from damaged_settings(folder)
    if not {"preprocessor_config.json", "processor_config.json"} & set(names):
        yield (
            "preprocessor_config.json is missing, so nothing says how images become its input; "
            "copy it from the model that this one was made of."
        )
    if not any(
        name in {"tokenizer.json", "vocab.json"} or name.endswith(".model") for name in names
    ):
        yield (
            "it has no tokenizer (tokenizer.json); copy tokenizer.json and tokenizer_config.json "
            "from the model that this one was made of."
        )
    weights = find_weights(folder, "model")
    if weights.variant is not None:
        yield (
            f"its weights are called {weights.files[0].name}; rename the file to "
            f"{weights.files[0].name.replace(f'.{weights.variant}', '')}."
        )
    if weights.quantised or "quantization_config" in config:
        what = weights.quantised[0] if weights.quantised else "quantization_config"
        yield (
            f"its weights are quantised ({what}), and cannot be trained; give the model in full or "
            "half precision."
        )
    yield from weights.problems
    if not weights.problems:
        yield from _size_problems(folder, weights.shapes)


def _type_problem(config: Mapping[str, Any]) -> str:
    """Why a model of that type is not supported; empty if it is."""
    found = config["model_type"]
    if found == "siglip2":
        return (
            "it is a SigLIP 2 of the NaFlex variant, whose images keep their shape; take a variant "
            "of fixed resolution, such as google/siglip2-base-patch16-224."
        )
    if isinstance(found, str) and found in HAS_CAUSAL_TEXT_TOWER:
        return ""
    return (
        f"it is a model of type {one_line(repr(found))}, but one with an image tower and a text "
        f"tower of a known kind is needed; allowed types: {', '.join(HAS_CAUSAL_TEXT_TOWER)}."
    )


def _size_problems(folder: Path, shapes: Mapping[str, Shape]) -> Iterator[str]:
    """Settings of config.json that the shapes of the weights contradict."""
    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        numbers = config.to_dict()
        vision, text = numbers["vision_config"], numbers["text_config"]
        patches = (int(vision["image_size"]) // int(vision["patch_size"])) ** 2
    except Exception as error:  # wrong values make the library raise nearly every type
        yield f"config.json cannot be used ({reason(error)}); copy it again."
        return
    for setting, (tensor, dimension) in _SIZES.items():
        part, _, key = setting.rpartition(".")
        said = (numbers[part] if part else numbers).get(key)
        shape = shapes.get(tensor, ())
        if said is not None and dimension < len(shape) and said != shape[dimension]:
            yield _contradiction(setting, said, shape[dimension])
    for tower, said in (("vision", vision), ("text", text)):
        pattern = re.compile(rf"{tower}_model\.encoder\.layers\.(\d+)\.")
        layers = {match[1] for name in shapes if (match := pattern.match(name))}
        if layers and len(layers) != said["num_hidden_layers"]:
            setting = f"{tower}_config.num_hidden_layers"
            yield _contradiction(setting, said["num_hidden_layers"], len(layers))
        heads = said["num_attention_heads"]
        if heads < 1 or said["hidden_size"] % heads:
            yield (
                f"config.json says {tower}_config.num_attention_heads = {heads}, which does not "
                f"divide hidden_size = {said['hidden_size']}; correct it."
            )
    positions = shapes.get("vision_model.embeddings.position_embedding.weight")
    expected = patches + (numbers["model_type"] != "siglip")  # and the class token
    if positions and positions[0] != expected:
        yield (
            f"config.json says vision_config.image_size = {vision['image_size']} and patch_size = "
            f"{vision['patch_size']}, which are {expected} positions, but the weights have "
            f"{positions[0]}; correct it."
        )
    scale, wanted = shapes.get("logit_scale"), (1,) if numbers["model_type"] == "siglip" else ()
    if scale is not None and scale != wanted:
        yield (
            f"logit_scale has the shape {list(scale)} in its weights, and {list(wanted)} in a "
            f"model of type {numbers['model_type']!r}; load the file with safetensors, "
            f'\'weights["logit_scale"] = weights["logit_scale"].reshape({wanted})\', and save it.'
        )


def _contradiction(setting: str, said: object, found: int) -> str:
    return (
        f"config.json says {setting} = {said!r}, but the weights have {found}; correct it, or take "
        "the config.json of this very model."
    )
