"""OpenCLIP's checkpoints as model folders of the transformers library.

OpenCLIP stores the same dual encoder under other names: query, key and value as one matrix, the
projections transposed. What transformers' CLIP has no place for is refused by name. The mapping of
names is :data:`NAMES` and :data:`LAYER_NAMES`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    PreTrainedTokenizerBase,
)

from gift.model_files import odd_file, read_object, reason, refusal
from gift.text import one_line

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Names of the weights in a folder, the preferred one first."""

NAMES = {
    "logit_scale": "logit_scale",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
}
"""OpenCLIP's name of a tensor outside the layers, and transformers'."""

LAYER_NAMES = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
"""The same of the modules in a layer; ``attn.in_proj_*`` are query, key and value, stacked."""

_TRANSPOSED = {"visual.proj", "text_projection"}
"""They are multiplied from the right in OpenCLIP, and are weights of a linear layer here."""

_LAYER = re.compile(
    r"(?P<tower>visual\.)?transformer\.resblocks\.(?P<number>\d+)\."
    r"(?P<module>[\w.]+)[._](?P<kind>weight|bias)"
)
_NO_WEIGHTS = {"attn_mask", "input_resolution", "context_length", "vocab_size"}
"""What older checkpoints hold beside weights."""

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)

_HARMLESS = {
    "eos_id", "final_ln_after_pool", "init_logit_scale", "nonscalar_logit_scale", "output_dict",
    "output_tokens", "pad_id", "patch_dropout", "pos_embed_type",
}  # fmt: skip
"""Options that do not change what the trained model computes, or only where others are set."""

Interpolation = Literal["bicubic", "bilinear", "random"]
_RESAMPLE = {"bicubic": 3, "random": 3, "bilinear": 2}


class _Part(BaseModel):
    """A part of OpenCLIP's configuration; further keys are kept and looked at by name."""

    model_config = ConfigDict(extra="allow", frozen=True)


class _Norm(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    eps: float = Field(1e-5, gt=0)


class _Vision(_Part):
    layers: int = Field(12, ge=1)
    width: int = Field(768, ge=1)
    head_width: int = Field(64, ge=1)
    mlp_ratio: float = Field(4.0, gt=0)
    patch_size: int = Field(16, ge=1)
    image_size: int | tuple[int, int] = 224
    pool_type: Literal["tok"] = "tok"
    norm_kwargs: _Norm | None = None


class _Text(_Part):
    context_length: int = Field(77, ge=1)
    vocab_size: int = Field(49408, ge=1)
    width: int = Field(512, ge=1)
    heads: int = Field(8, ge=1)
    layers: int = Field(12, ge=1)
    mlp_ratio: float = Field(4.0, gt=0)
    pool_type: Literal["argmax"] = "argmax"
    proj_type: Literal["linear"] = "linear"
    norm_kwargs: _Norm | None = None
    hf_tokenizer_name: str | None = None
    tokenizer_mode: str | None = None
    tokenizer_kwargs: dict[str, Any] | None = None


class _Model(_Part):
    embed_dim: int = Field(ge=1)
    vision_cfg: _Vision
    text_cfg: _Text
    quick_gelu: bool = False
    custom_text: bool = False


class _Preprocess(_Part):
    mean: tuple[float, float, float] = _MEAN
    std: tuple[float, float, float] = _STD
    interpolation: Interpolation = "bicubic"
    resize_mode: Literal["shortest", "squash"] = "shortest"


@dataclass(frozen=True)
class Checkpoint:
    """The files of an OpenCLIP checkpoint.

    Attributes:
        weights: the state dict, as safetensors or as a pickle of tensors alone.
        config: OpenCLIP's configuration, of the hub or of a model alone.
        tokenizer: the folder with ``tokenizer.json``.
    """

    weights: Path
    config: Path
    tokenizer: Path

    @classmethod
    def find(
        cls, source: Path, config: Path | None = None, tokenizer: Path | None = None
    ) -> Checkpoint:
        """The files in a folder, or beside a file of weights.

        Args:
            source: the folder, or the file.
            config: the configuration, where it is elsewhere.
            tokenizer: the folder of a tokenizer, where that is elsewhere.

        Raises:
            ValueError: what is missing, all at once, and where to get it.
        """
        named = one_line(source)
        if not source.exists():
            raise ValueError(
                f"there is no {named}; give the folder of an OpenCLIP checkpoint ({CONFIG} and "
                f"{WEIGHTS[0]}), or a file of weights with --config. Of a hub id, download the "
                "folder first: hf download ID --local-dir FOLDER."
            )
        folder = source if source.is_dir() else source.parent
        found = [folder / name for name in WEIGHTS if (folder / name).is_file()]
        weights = source if source.is_file() else next(iter(found), None)
        config, words = config or folder / CONFIG, tokenizer or folder
        problems = []
        if weights is None:
            problems.append(f"it has no weights ({' or '.join(WEIGHTS)}); download them, too.")
        if not config.is_file():
            problems.append(
                f"there is no {one_line(config)}, which says what the weights are; download it, or "
                "give the model's JSON file out of open_clip's model_configs (--config FILE)."
            )
        if not any((words / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            problems.append(
                f"there is no tokenizer (tokenizer.json) in {one_line(words)}; OpenCLIP has its "
                "own inside its package, so give a folder with the same one, such as that of "
                "openai/clip-vit-base-patch32 (--tokenizer FOLDER)."
            )
        if problems:
            raise refusal(named, problems)
        assert weights is not None
        return cls(weights, config, words)


def convert(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint as a model folder of the transformers library.

    Args:
        checkpoint: its files.
        folder: an empty one.

    Raises:
        ValueError: files that cannot be read, or an architecture that transformers' CLIP does not
            have; all that is wrong is told at once.
    """
    settings, preprocess = _read_config(checkpoint.config)
    tokenizer = _read_tokenizer(checkpoint.tokenizer)
    problems = [*_tokenizer_problems(tokenizer, settings), *_size_problems(settings)]
    if problems:
        raise refusal(one_line(checkpoint.config), problems)
    config = _clip_config(settings, tokenizer)
    weights = converted(read_weights(checkpoint.weights))
    if problems := list(_weight_problems(weights, config)):
        raise refusal(one_line(checkpoint.weights), problems)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _image_processor(config.vision_config.image_size, preprocess).save_pretrained(folder)


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of OpenCLIP under transformers' names.

    Args:
        state: of its ``CLIP``, or of ``CustomTextCLIP``, whose text tower's names begin with
            ``text.``; tensors that are not known keep their names.
    """
    found: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = key.removeprefix("module.").removeprefix("text.")
        if name in _NO_WEIGHTS:
            continue
        if name in NAMES:
            value = tensor.T if name in _TRANSPOSED else tensor
            found[NAMES[name]] = value.reshape(()) if name == "logit_scale" else value.contiguous()
        elif match := _LAYER.fullmatch(name):
            found |= _of_layer(match, tensor, key)
        else:
            found[key] = tensor
    return found


def _of_layer(match: re.Match[str], tensor: Tensor, key: str) -> dict[str, Tensor]:
    tower = "vision_model" if match["tower"] else "text_model"
    layer, kind = f"{tower}.encoder.layers.{match['number']}", match["kind"]
    if match["module"] == "attn.in_proj" and len(tensor) % 3 == 0:
        parts = zip(("q_proj", "k_proj", "v_proj"), tensor.chunk(3), strict=True)
        return {f"{layer}.self_attn.{name}.{kind}": part.contiguous() for name, part in parts}
    if match["module"] in LAYER_NAMES:
        return {f"{layer}.{LAYER_NAMES[match['module']]}.{kind}": tensor.contiguous()}
    return {key: tensor}


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint; of one that a training wrote, those of the model.

    Args:
        path: of a safetensors file, or of a pickle, of which PyTorch's restricted reader takes
            tensors and plain values only.

    Raises:
        ValueError: it cannot be read, or holds anything else.
    """
    if problem := odd_file(path):
        raise ValueError(problem)
    name = one_line(path)
    try:
        if path.suffix == ".safetensors":
            tensors: dict[str, Tensor] = load_file(path)
            return tensors
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about what is refused below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # damaged files make the libraries raise nearly every type
        if "TorchScript" in str(error):
            raise ValueError(
                f"{name} is a TorchScript program, as OpenAI's own files are, and programs are not "
                "run; give the hub id of the same weights, such as openai/clip-vit-base-patch16."
            ) from None
        raise ValueError(
            f"{name} cannot be read as tensors alone ({reason(error)}); it is damaged, or holds "
            "more than weights, which is not read. Save its state dict as safetensors "
            "(safetensors.torch.save_file) where you trust it."
        ) from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    found = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if not found:
        raise ValueError(f"{name} holds no state dict of a model; give OpenCLIP's checkpoint.")
    return found


def _read_config(path: Path) -> tuple[_Model, _Preprocess]:
    """The configuration of the model and of its images.

    Raises:
        ValueError: it is none, or not one of an architecture that transformers' CLIP has.
    """
    named = one_line(path)
    values = read_object(path)
    model = values.get("model_cfg", values)
    try:
        settings = _Model.model_validate(model)
        preprocess = _Preprocess.model_validate(values.get("preprocess_cfg") or {})
    except ValidationError as error:
        raise refusal(named, [_told(one) for one in error.errors()]) from None
    if problems := list(_option_problems(settings)):
        raise refusal(named, problems)
    return settings, preprocess


def _told(error: Any) -> str:
    where = one_line(".".join(map(str, error["loc"])) or "model_cfg")
    return f"{where}: {one_line(error['msg'])}; {_SUPPORTED}"


_SUPPORTED = (
    "supported are ViT image towers that are read at the class token, and text towers with CLIP's "
    "own tokenizer, such as ViT-B-32, ViT-L-14 and ViT-H-14; SigLIP and MetaCLIP 2 are on the hub "
    "in transformers' own form (see docs/models.md)."
)


def _option_problems(settings: _Model) -> Iterator[str]:
    """Options beside the known ones that are set, and so change the architecture."""
    parts = {"": settings, "vision_cfg.": settings.vision_cfg, "text_cfg.": settings.text_cfg}
    for prefix, part in parts.items():
        for name, value in (part.model_extra or {}).items():
            is_idle = name.startswith(("attn_pooler", "timm_", "hf_")) and not name.endswith("name")
            if value not in (None, False, {}) and name not in _HARMLESS and not is_idle:
                shown = one_line(f"{prefix}{name} = {value!r}"[:200])
                yield f"{shown} is not known here; {_SUPPORTED}"


def _size_problems(settings: _Model) -> Iterator[str]:
    vision, text = settings.vision_cfg, settings.text_cfg
    if vision.width % vision.head_width:
        yield (
            f"vision_cfg.head_width = {vision.head_width} does not divide width = {vision.width}; "
            "correct it."
        )
    if text.width % text.heads:
        yield f"text_cfg.heads = {text.heads} do not divide width = {text.width}; correct it."
    size = vision.image_size
    if isinstance(size, tuple) and size[0] != size[1]:
        yield f"vision_cfg.image_size = {list(size)} is not square, which is not supported."


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    says = folder / "tokenizer_config.json"
    try:
        if says.is_file() and read_object(says).get("tokenizer_class"):
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return CLIPTokenizer.from_pretrained(folder)
    except Exception as error:  # damaged files make the libraries raise nearly every type
        raise ValueError(
            f"the tokenizer in {one_line(folder)} cannot be read ({reason(error)}); copy its files "
            "again, or give another one (--tokenizer FOLDER)."
        ) from error


def _tokenizer_problems(tokenizer: PreTrainedTokenizerBase, settings: _Model) -> Iterator[str]:
    """A text is read at its largest token, which must be the tokenizer's end token."""
    known = settings.text_cfg.vocab_size
    if tokenizer.eos_token_id != known - 1:
        yield (
            f"the text tower knows {known} tokens and reads a text at the largest, but the "
            f"tokenizer ends texts with {tokenizer.eos_token_id}; give the model's own tokenizer "
            "(--tokenizer FOLDER)."
        )


def _clip_config(settings: _Model, tokenizer: PreTrainedTokenizerBase) -> CLIPConfig:
    vision, text = settings.vision_cfg, settings.text_cfg
    size = vision.image_size if isinstance(vision.image_size, int) else vision.image_size[0]
    act = {"hidden_act": "quick_gelu" if settings.quick_gelu else "gelu"}
    return CLIPConfig(
        architectures=["CLIPModel"],
        projection_dim=settings.embed_dim,
        vision_config={
            "hidden_size": vision.width,
            "intermediate_size": int(vision.width * vision.mlp_ratio),
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.width // vision.head_width,
            "patch_size": vision.patch_size,
            "image_size": size,
            "projection_dim": settings.embed_dim,
            "layer_norm_eps": (vision.norm_kwargs or _Norm()).eps,
            **act,
        },
        text_config={
            "hidden_size": text.width,
            "intermediate_size": int(text.width * text.mlp_ratio),
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.context_length,
            "vocab_size": text.vocab_size,
            "projection_dim": settings.embed_dim,
            "layer_norm_eps": (text.norm_kwargs or _Norm()).eps,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **act,
        },
    )


def _weight_problems(weights: Mapping[str, Tensor], config: CLIPConfig) -> Iterator[str]:
    """Tensors that are missing, have no place, or another shape than the configuration says."""
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in CLIPModel(config).state_dict().items()}
    if "logit_bias" in weights:
        yield (
            "it was trained with a sigmoid loss (logit_bias), which transformers' CLIP does not "
            "have; take a SigLIP in transformers' form, such as google/siglip-base-patch16-224."
        )
    back = {ours: theirs for theirs, ours in NAMES.items()}
    missing = sorted(back.get(name, name) for name in expected.keys() - weights.keys())
    if missing:
        yield f"{len(missing)} weights are missing, {missing[0]} among them; {_SUPPORTED}"
    if unknown := sorted(weights.keys() - expected.keys() - {"logit_bias"}):
        yield (
            f"{len(unknown)} weights have no place in transformers' CLIP, {one_line(unknown[0])} "
            f"among them; {_SUPPORTED}"
        )
    for name in sorted(expected.keys() & weights.keys()):
        if (found := tuple(weights[name].shape)) != expected[name]:
            yield (
                f"{name} has the shape {list(found)}, and {list(expected[name])} by the "
                "configuration; give the configuration of this very checkpoint (--config FILE)."
            )


def _image_processor(size: int, steps: _Preprocess) -> CLIPImageProcessorPil:
    square = {"height": size, "width": size}
    is_squash = steps.resize_mode == "squash"
    return CLIPImageProcessorPil(
        size=square if is_squash else {"shortest_edge": size},
        crop_size=square,
        do_center_crop=not is_squash,
        image_mean=list(steps.mean),
        image_std=list(steps.std),
        resample=_RESAMPLE[steps.interpolation],
    )
