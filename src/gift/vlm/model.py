"""The two-tower model: an image and a text encoder that share one embedding space."""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    PreTrainedConfig,
)
from transformers.utils import logging

from gift.vlm.preprocess import Preprocess

# Each supported two-tower family (its `model_type`), and whether its text tower is causal.
_CAUSAL_TEXT_TOWER = {"clip": True}


class VisionLanguageModel(nn.Module):
    """A CLIP model with its tokenizer and image transform.

    Both towers can be trained; the temperature cannot. Shape letters: B images, T texts, L tokens,
    S pixels, D embedding width.

    Attributes:
        towers: the transformers model.
        tokenizer: the tokenizer saved with it.
        preprocess: how images become its input.
    """

    def __init__(
        self, towers: CLIPModel, tokenizer: CLIPTokenizer, image_processor: CLIPImageProcessorPil
    ) -> None:
        super().__init__()
        self.towers = towers
        self.tokenizer = tokenizer
        self.preprocess = Preprocess.from_processor(image_processor)
        self._image_processor = image_processor
        self._is_frozen = False
        _check_parts_match(towers, tokenizer, self.preprocess)
        self.towers.logit_scale.requires_grad_(False)

    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, *, dtype: torch.dtype = torch.float32) -> Self:
        """Loads a model in evaluation mode.

        Args:
            path_or_id: a folder in Hugging Face's layout, or an id on its hub.
            dtype: the precision of the weights, whatever they were saved in.

        Raises:
            ValueError: nothing can be loaded from there, it is not a supported two-tower model,
                or its parts do not belong together.
        """
        source = _folder_or_hub_id(path_or_id)
        try:
            with _quiet_transformers():
                _check_family(source)
                towers, loading = AutoModel.from_pretrained(
                    source, dtype=dtype, output_loading_info=True
                )
                tokenizer = AutoTokenizer.from_pretrained(source)
                image_processor = CLIPImageProcessorPil.from_pretrained(source)
        except (OSError, SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            if Path(source).is_dir():
                raise ValueError(f"{source} is not a complete model folder: {reason}") from error
            raise ValueError(
                f"there is no folder {source}, and the Hugging Face hub did not give a model of "
                f"that name: {reason} Check the spelling and the network, or give the folder of "
                "a downloaded model."
            ) from error
        missing = sorted(loading["missing_keys"])
        if missing:
            raise ValueError(
                f"{source} holds no complete two-tower model: {len(missing)} of its weights are "
                f"missing, {missing[0]} among them. Give a model with both towers and projections."
            )
        for parameter in towers.parameters():
            # Out of the memory-mapped file, whose alignment is arbitrary: CPU kernels round
            # differently by alignment, and a resumed run must give the same bits.
            parameter.data = parameter.data.clone()
        try:
            return cls(towers, tokenizer, image_processor).eval()
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error

    def save_pretrained(self, folder: Path) -> None:
        """Writes an ordinary Hugging Face folder, in the precision the model has now.

        The folder appears at once and whole, or not at all.

        Args:
            folder: where; it must not exist yet or be empty. Its parents are made.

        Raises:
            FileExistsError: the folder has something in it.
        """
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(
                f"{folder} is not empty, and nothing in it is overwritten; choose a new folder."
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".model-", dir=folder.parent) as scratch:
            whole = Path(scratch) / "model"
            with _quiet_transformers():
                self.towers.save_pretrained(whole)
                self.tokenizer.save_pretrained(whole)
                self._image_processor.save_pretrained(whole)
            if folder.exists():
                folder.rmdir()
            whole.rename(folder)

    @property
    def logit_scale(self) -> Tensor:
        """The factor on cosines that gives logits, a positive scalar without gradient."""
        scale: Tensor = self.towers.logit_scale.detach().exp()
        return scale

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.towers.device
        return device

    @property
    def has_causal_text_tower(self) -> bool:
        """Whether a text's embedding is independent of the padding after its end."""
        return _CAUSAL_TEXT_TOWER[self.towers.config.model_type]

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids, int64 [T, L], on the model's device.

        L is the longest text's length: a causal text tower reads a text at its end token and never
        sees what follows. Texts longer than the context are cut, and still end with that token.

        Args:
            texts: at least one.
        """
        assert texts, "tokenize needs at least one text"
        tokens: Tensor = self.tokenizer(
            list(texts),
            padding="longest" if self.has_causal_text_tower else "max_length",
            truncation=True,
            max_length=self.towers.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).input_ids
        return tokens.to(self.device)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Unit embeddings [B, D] of normalised pixels [B, 3, S, S], differentiable."""
        features = self.towers.get_image_features(pixel_values=pixels).pooler_output
        return F.normalize(features, dim=-1)

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """Unit embeddings [T, D] of token ids [T, L] (see :meth:`tokenize`), differentiable."""
        # No attention mask: the tower is causal by itself, and without one the fused kernels run.
        features = self.towers.get_text_features(input_ids=tokens).pooler_output
        return F.normalize(features, dim=-1)

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """Every parameter but the temperature, by its name in the checkpoint, in a fixed order."""
        named = dict(self.towers.named_parameters())
        del named["logit_scale"]
        return named

    def frozen_copy(self) -> Self:
        """A teacher: a copy of the weights as they are now, without gradients or training mode."""
        towers = copy.deepcopy(self.towers)
        teacher = type(self)(towers, self.tokenizer, self._image_processor)
        teacher._is_frozen = True
        return teacher.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Sets the training mode, which a frozen copy never enters."""
        return super().train(mode and not self._is_frozen)


def _folder_or_hub_id(path_or_id: str | Path) -> str:
    folder = Path(path_or_id).expanduser()
    if folder.is_dir():
        return str(folder)
    if re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", str(path_or_id)):
        return str(path_or_id)
    raise ValueError(
        f"there is no folder {folder}; give the folder of a model, or a hub id such as "
        "'openai/clip-vit-base-patch16'."
    )


def _check_family(source: str) -> None:
    config, _ = PreTrainedConfig.get_config_dict(source)
    if "model_type" not in config:
        raise ValueError(f"{source} is no model folder: it has no config.json with a model_type.")
    if config["model_type"] not in _CAUSAL_TEXT_TOWER:
        raise ValueError(
            f"{source} holds a model of type {config['model_type']!r}, but one with an image tower "
            f"and a text tower is needed; allowed types: {', '.join(_CAUSAL_TEXT_TOWER)}."
        )


def _check_parts_match(towers: CLIPModel, tokenizer: CLIPTokenizer, preprocess: Preprocess) -> None:
    """Refuses a tokenizer or an image transform that the towers would silently misread."""
    text = towers.config.text_config
    # transformers reads a text at its first `eos_token_id`, or, in configurations as old as
    # OpenAI's own (which say 2, wrongly), at the first occurrence of its largest token id.
    read_at = text.vocab_size - 1 if text.eos_token_id == 2 else text.eos_token_id
    if tokenizer.eos_token_id != read_at:
        raise ValueError(
            f"the text tower reads a text at token {read_at} (text_config.eos_token_id is "
            f"{text.eos_token_id}), but the tokenizer ends texts with {tokenizer.eos_token_id}; "
            "use the tokenizer of this very model."
        )
    if preprocess.size != towers.config.vision_config.image_size:
        raise ValueError(
            f"the image processor makes images of {preprocess.size} pixels, but the image tower "
            f"takes {towers.config.vision_config.image_size}; correct preprocessor_config.json."
        )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bars or load reports; what matters in them is checked here and raised."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
