"""The CLIP-like model: an image and a text encoder that share one embedding space."""

from __future__ import annotations

import copy
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from gift import distributed
from gift.progress import silenced
from gift.vlm import lean
from gift.vlm.folder import HAS_CAUSAL_TEXT_TOWER
from gift.vlm.parts import load_parts
from gift.vlm.preprocess import ImageProcessor, Preprocess

_LOGIT_SCALARS = ("logit_scale", "logit_bias")
"""They turn cosines into logits, belong to no tower and are never trained."""


class VisionLanguageModel(nn.Module):
    """A CLIP-like dual encoder (CLIP, SigLIP and their kin) with its tokenizer and image transform.

    Both towers can be trained; what turns their cosines into logits cannot. Shape letters: B
    images, T texts, L tokens, S pixels, D embedding width.

    Attributes:
        towers: the transformers model.
        tokenizer: the tokenizer saved with it.
        preprocess: how images become its input.
        has_causal_text_tower: a text's embedding is independent of the padding after its end.
    """

    def __init__(
        self,
        towers: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        image_processor: ImageProcessor,
    ) -> None:
        super().__init__()
        self.towers = towers
        self.tokenizer = tokenizer
        self.preprocess = Preprocess.from_processor(image_processor)
        self._image_processor = image_processor
        self.has_causal_text_tower = HAS_CAUSAL_TEXT_TOWER[towers.config.model_type]
        self._is_frozen = False
        self._autocast: torch.dtype | None = None
        self._parts = 1
        self._backend: str | None = None
        self._added: str | None = None
        for name, parameter in towers.named_parameters():
            parameter.requires_grad_(name not in _LOGIT_SCALARS)

    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, *, dtype: torch.dtype = torch.float32) -> Self:
        """Loads a model in evaluation mode.

        Args:
            path_or_id: a folder in Hugging Face's layout, or an id on its hub.
            dtype: the precision of the weights, whatever they were saved in.

        Raises:
            ValueError: nothing can be loaded from there, it is not a supported CLIP-like model or
                not a whole one, its parts do not belong together, or its numbers are out of range;
                all that is wrong with a folder is told at once.
        """
        return cls(*load_parts(path_or_id, dtype)).eval()

    def save_pretrained(self, folder: Path) -> None:
        """Writes an ordinary Hugging Face folder, in the precision the model has now.

        The folder appears at once and whole, or not at all.

        Args:
            folder: where; it must not exist yet or be empty. Its parents are made.

        Raises:
            FileExistsError: the folder has something in it.
            ValueError: there are added modules, which have no place in such a folder.
        """
        if self.has_additions:
            raise ValueError(
                "the model has added modules, as in the middle of a task; end the task, or take "
                "them away with gift.vlm.remove_adapters(model) or remove_branches(model)."
            )
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(
                f"{folder} is not empty, and nothing in it is overwritten; choose a new folder."
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".model-", dir=folder.parent) as scratch:
            whole = Path(scratch) / "model"
            with silenced(logging.CRITICAL, transformers_logging):
                self.towers.save_pretrained(whole)
                self.tokenizer.save_pretrained(whole)
                self._image_processor.save_pretrained(whole)
            if folder.exists():
                folder.rmdir()
            whole.rename(folder)

    @property
    def logit_scale(self) -> Tensor:
        """The factor on cosines that gives logits, a positive scalar without gradient.

        Sigmoid models add a bias to all logits alike. Every loss and score here is a softmax or a
        ranking, in which it cancels, so it is dropped.
        """
        scale: Tensor = self.towers.logit_scale.detach().exp().squeeze()
        return scale

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(self.towers.device)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids, int64 [T, L], on the model's device.

        L is the longest text's length where the text tower is causal: it reads a text at its end
        token and never sees what follows. Other text towers see the padding, and L is the context
        length they were trained with. Longer texts are cut, and still end with their end token.
        """
        assert texts, "tokenize needs at least one text"
        tokens: Tensor = self.tokenizer(
            list(texts) if self.has_causal_text_tower else [text.lower() for text in texts],
            padding="longest" if self.has_causal_text_tower else "max_length",
            truncation=True,
            max_length=self.towers.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).input_ids
        return tokens.to(self.device)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Unit embeddings [B, D] of normalised pixels [B, 3, S, S], differentiable."""
        return _unit(self._encode(self._image_features, pixels))

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """Unit embeddings [T, D] of token ids [T, L] (see :meth:`tokenize`), differentiable."""
        return _unit(self._encode(self._text_features, tokens))

    @property
    def has_additions(self) -> bool:
        """Whether modules were added to the towers, such as adapters or branches."""
        return self._added is not None

    def mark_added(self, pattern: str | None) -> None:
        """Say which parameters belong to modules that were added to the towers; None: no more.

        Those in whose names the regular expression is found are trained from now on, and no others.
        """
        self._added = pattern
        trained = {} if self._is_frozen else self.trainable_parameters()
        for name, parameter in self.towers.named_parameters():
            parameter.requires_grad_(name in trained)

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """Every parameter of both towers, by its name in the checkpoint, in a fixed order.

        Where modules were added, their trained parameters alone, see :meth:`mark_added`.
        """
        named = self.towers.named_parameters()
        if self._added is None:
            return {name: value for name, value in named if name not in _LOGIT_SCALARS}
        return {name: value for name, value in named if re.search(self._added, name)}

    def prepare_training(
        self,
        *,
        precision: Literal["fp32", "bf16"] = "fp32",
        parts: int = 1,
        checkpoint_layers: bool = False,
        compile_layers: bool = False,
    ) -> None:
        """How the towers are computed in training mode; evaluation and teachers stay as they are.

        Args:
            precision: bf16 autocasts the towers; weights, embeddings and losses stay fp32.
            parts: each batch is encoded in that many parts, and only its embeddings are kept; the
                backward pass encodes one part after the other once more. Losses see whole batches.
            checkpoint_layers: only the inputs of layers are kept, and each layer is computed once
                more (gradient checkpointing).
            compile_layers: see :meth:`compile_layers`.
        """
        self._autocast = torch.bfloat16 if precision == "bf16" else None
        self._parts = parts
        if compile_layers:
            self.compile_layers()
        with warnings.catch_warnings():
            # The names of transformers 5.20; later versions warn that 6 will have others.
            warnings.simplefilter("ignore", FutureWarning)
            if checkpoint_layers:
                self.towers.gradient_checkpointing_enable()
            else:
                self.towers.gradient_checkpointing_disable()

    def compile_layers(self, backend: str = "inductor") -> None:
        """Run the towers' layers through torch.compile from now on; embeddings stay the same.

        Kernels are made when a layer runs for the first time, and again for a few kinds of batches.
        Copies are not compiled. ``backend`` is that of torch.compile.

        Raises:
            ValueError: no kernels can be made for the model's device.
        """
        if self._backend == backend:
            return
        try:
            torch.compile(lambda x: x + 1, backend=backend)(torch.zeros(2, device=self.device))
        except RuntimeError as error:
            raise ValueError(
                f"no kernels can be compiled for {self.device} here, since torch.compile needs a "
                "compiler (Triton on a GPU, g++ on a CPU); install it, or leave training.compile "
                f"out. It says: {str(error).strip().partition(chr(10))[0]}"
            ) from error
        self._backend = backend
        for tower in (self.towers.vision_model, self.towers.text_model):
            for layer in tower.encoder.layers:
                layer.compile(backend=backend, dynamic=True)  # where the lean way does not go

    def _image_features(self, pixels: Tensor) -> Tensor:
        if lean.knows_images(self.towers):
            return lean.image_features(self.towers, pixels, backend=self._backend)
        features: Tensor = self.towers.get_image_features(pixel_values=pixels).pooler_output
        return features

    def _text_features(self, tokens: Tensor) -> Tensor:
        if lean.knows_texts(self.towers):
            end = self.tokenizer.eos_token_id
            return lean.text_features(self.towers, tokens, end, backend=self._backend)
        # No attention mask. A causal tower is so by itself, and without one the fused kernels run;
        # other towers were trained to see the padding.
        features: Tensor = self.towers.get_text_features(input_ids=tokens).pooler_output
        return features

    def _encode(self, tower: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Features of all inputs; sharded over processes, in parts where memory is short."""

        def encode(rows: Tensor) -> Tensor:
            if self._parts == 1 or not self.training or not torch.is_grad_enabled():
                return tower(rows)
            parts = rows.chunk(self._parts)
            return torch.cat([checkpoint(tower, part, use_reentrant=False) for part in parts])

        is_half = self.training and self._autocast is not None
        device = inputs.device.type
        with torch.autocast(device, dtype=self._autocast) if is_half else nullcontext():
            return distributed.map_rows(encode, inputs)

    def frozen_copy(self) -> Self:
        """A teacher: a copy of the weights as they are now, without gradients or training mode."""
        teacher = type(self)(copy.deepcopy(self.towers), self.tokenizer, self._image_processor)
        teacher._is_frozen = True
        teacher._added = self._added
        return teacher.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Sets the training mode, which a frozen copy never enters."""
        return super().train(mode and not self._is_frozen)


def _unit(features: Tensor) -> Tensor:
    """Rows of length 1, in float32 or better: half precision would blur cosines once more."""
    return F.normalize(features.float() if features.dtype.itemsize < 4 else features, dim=-1)
