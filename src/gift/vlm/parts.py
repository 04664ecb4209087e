"""Reading the parts of a CLIP-like model, and refusing those that would be silently misread."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from gift.model_files import OPENCLIP_HINT, reason, refusal
from gift.progress import silenced
from gift.text import one_line
from gift.vlm.folder import HAS_CAUSAL_TEXT_TOWER, check_source
from gift.vlm.preprocess import ImageProcessor, Preprocess

_SCALES = (0.01, 10_000.0)
"""Allowed factors on cosines; those of trained models are 10 to 120."""
_SMALLEST_STD = 0.01

_PROBES = ("a photo of a cat.", "a", "the picture of a long-haired dog " * 40)


class Parts(NamedTuple):
    """What a model folder holds."""

    towers: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    image_processor: ImageProcessor


def load_parts(path_or_id: str | Path, dtype: torch.dtype) -> Parts:
    """Read the parts of a CLIP-like model: towers, tokenizer, image processor.

    Args:
        path_or_id: a folder in Hugging Face's layout, or an id on its hub.
        dtype: the precision of the weights, whatever they were saved in.

    Raises:
        ValueError: nothing can be loaded from there, it is not a supported CLIP-like model, or not
            a whole one, or weights are not finite.
    """
    named = one_line(path_or_id)
    is_local = Path(path_or_id).expanduser().is_dir()
    with silenced(logging.CRITICAL, transformers_logging):
        try:
            source = check_source(path_or_id)
        except OSError as error:
            raise _not_on_hub(named, error) from error
        with _reading(named, "its weights", is_local):
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            towers, loading = AutoModel.from_pretrained(
                source,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                attn_implementation="sdpa",  # whatever the machine had that wrote config.json
                trust_remote_code=False,
                use_safetensors=True,
            )
        with _reading(named, "its tokenizer (tokenizer.json, tokenizer_config.json)", is_local):
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        with _reading(named, "preprocessor_config.json", is_local):
            image_processor = AutoImageProcessor.from_pretrained(
                source, backend="pil", trust_remote_code=False
            )
        problems = [*_weight_problems(towers, loading), *_tokenizer_problems(towers, tokenizer)]
        try:
            preprocess = Preprocess.from_processor(image_processor)
            problems += _image_problems(towers, preprocess)
        except (TypeError, ValueError) as error:
            problems.append(str(error))
    if problems:
        raise refusal(named, problems)
    return Parts(towers, tokenizer, image_processor)


@contextmanager
def _reading(source: str, what: str, is_local: bool) -> Iterator[None]:
    """Turns what the libraries raise while they read a part into a message that names it."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # damaged files make the libraries raise nearly every type
        if isinstance(error, OSError) and not is_local:
            raise _not_on_hub(source, error) from error
        if isinstance(error, ImportError) and "sentencepiece" in str(error).lower():
            raise ValueError(
                f"the tokenizer of {source} is in SentencePiece's format, which needs two more "
                "packages: pip install 'gift-cl[sentencepiece]'."
            ) from error
        raise ValueError(
            f"{source} is not a complete model folder: {what} cannot be read ({reason(error)}); "
            "copy it again from the model it belongs to."
        ) from error


def _not_on_hub(source: str, error: OSError) -> ValueError:
    if "does not appear to have a file named config.json" in str(error):
        return ValueError(
            f"{source} is on the hub, but not in the form of transformers: it has no config.json. "
            f"{OPENCLIP_HINT}"
        )
    return ValueError(
        f"there is no folder {source}, and the Hugging Face hub did not give a model of that "
        f"name ({reason(error)}). Check the spelling and the network, or give the folder of a "
        "downloaded model."
    )


def _weight_problems(towers: PreTrainedModel, loading: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with weights as read; puts them into memory of their own."""
    kind = towers.config.model_type
    if getattr(towers, "_hf_peft_config_loaded", False):
        yield (
            "adapters (adapter_config.json) lie beside its weights and were added to them; give a "
            "model without, or merge them into it (peft: merge_and_unload)."
        )
    if missing := sorted(map(str, loading["missing_keys"])):
        yield (
            f"{len(missing)} of its weights are missing, {missing[0]} among them, so it is no "
            "complete CLIP-like model. Give a model with both towers and projections."
        )
    if unread := sorted(map(str, loading["unexpected_keys"])):
        yield (
            f"it holds weights that a model of type {kind!r} has no place for and that would be "
            f"dropped: {len(unread)}, {unread[0]} among them. Correct the model_type in its "
            "config.json, or give another model."
        )
    if mismatched := sorted(map(tuple, loading["mismatched_keys"]), key=str):
        name, found, wanted = mismatched[0]
        yield (
            f"{len(mismatched)} of its weights do not fit config.json: {name} has the shape "
            f"{list(found)}, and {list(wanted)} by config.json. Correct config.json."
        )
    broken = []
    for name, parameter in towers.named_parameters():
        # Out of the memory-mapped file, whose alignment is arbitrary: CPU kernels round
        # differently by alignment, and a resumed run must give the same bits.
        parameter.data = parameter.data.clone()
        # One fast pass; a sum may overflow where no number does.
        if not parameter.data.sum().isfinite() and not parameter.data.isfinite().all():
            broken.append(name)
    if broken:
        yield (
            f"{len(broken)} of its weights hold numbers that are not finite (NaN or infinite), "
            f"{broken[0]} among them; a training failed or the file is damaged. Give a whole model."
        )
    else:
        yield from _scale_problem(towers)


def _scale_problem(towers: PreTrainedModel) -> Iterator[str]:
    stored = float(towers.logit_scale.detach().float().squeeze())
    least, most = _SCALES
    if not math.log(least) <= stored <= math.log(most):
        yield (
            f"its logit_scale is {stored:g}, so cosines are multiplied by exp({stored:g}); allowed "
            f"are factors from {least:g} to {most:g}. The weights hold the factor's natural "
            "logarithm, such as 4.6052 for 100: correct it."
        )


def _tokenizer_problems(
    towers: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> Iterator[str]:
    text, family = towers.config.text_config, towers.config.model_type
    is_causal = HAS_CAUSAL_TEXT_TOWER[family]
    # transformers reads a text at its first `eos_token_id`, or, in CLIP configurations as old as
    # OpenAI's own (which say 2, wrongly), at the first occurrence of its largest token id.
    is_old = family == "clip" and text.eos_token_id == 2
    read_at = text.vocab_size - 1 if is_old else text.eos_token_id
    if is_causal and tokenizer.eos_token_id != read_at:
        yield (
            f"the text tower reads a text at token {read_at} (text_config.eos_token_id is "
            f"{text.eos_token_id}), but the tokenizer ends texts with {tokenizer.eos_token_id}; "
            "use the tokenizer of this very model."
        )
        return
    # Not to the token: some tables are padded, some vocabularies have ids that no text gets.
    difference = abs(len(tokenizer) - text.vocab_size)
    if not is_causal and difference > 0.01 * text.vocab_size:
        yield (
            f"the text tower knows {text.vocab_size} tokens, but the tokenizer {len(tokenizer)}; "
            "use the tokenizer of this very model."
        )
        return
    yield from _probe(tokenizer, text.vocab_size, text.max_position_embeddings, is_causal)


def _probe(
    tokenizer: PreTrainedTokenizerBase, vocabulary: int, context: int, is_causal: bool
) -> Iterator[str]:
    """Tokenises texts and compares where they end with where a text tower reads them."""
    hint = "correct tokenizer_config.json, or use the tokenizer of this very model."
    end, start = tokenizer.eos_token_id, tokenizer.bos_token_id
    options = {"truncation": True, "max_length": context}
    try:
        rows = tokenizer(list(_PROBES), padding="max_length", **options).input_ids
        # Afterwards, since options stay set in a tokenizer and are saved with it.
        whole = [tokenizer(text).input_ids for text in _PROBES]
    except Exception as error:  # tokenizers raise nearly every type
        yield f"the tokenizer cannot make tokens of {_PROBES[0]!r} ({reason(error)}); {hint}"
        return
    short, single, long = whole
    if short[-1:] != [end] or end in short[:-1]:
        yield (
            f"the tokenizer does not end a text with its end token {end}, where the text tower "
            f"reads it: {_PROBES[0]!r} becomes {short}; {hint}"
        )
    elif is_causal and start is not None and short[:1] != [start]:
        yield (
            f"the tokenizer does not begin a text with its start token {start}: {_PROBES[0]!r} "
            f"becomes {short}; {hint}"
        )
    elif len(set(short)) < 4 or short == single:
        yield f"the tokenizer tells no words apart: {_PROBES[0]!r} becomes {short}; {hint}"
    elif rows[0][: len(short)] != short or rows[1][: len(single)] != single:
        yield (
            "the tokenizer pads texts at their beginning (padding_side = "
            f"{tokenizer.padding_side!r}), so that they are read at other places than they were "
            "learned; set padding_side to 'right' in tokenizer_config.json."
        )
    elif len(long) > context and rows[2] != [*long[: context - 1], end]:
        yield (
            "the tokenizer does not cut long texts at their end and close them with the end token "
            f"(truncation_side = {tokenizer.truncation_side!r}); set truncation_side to 'right' "
            "in tokenizer_config.json, or use the tokenizer of this very model."
        )
    if (largest := max(map(max, rows))) >= vocabulary:
        yield (
            f"the tokenizer makes the token {largest}, but the text tower knows {vocabulary}; "
            "use the tokenizer of this very model."
        )


def _image_problems(towers: PreTrainedModel, preprocess: Preprocess) -> Iterator[str]:
    if preprocess.size != towers.config.vision_config.image_size:
        yield (
            f"the image processor makes images of {preprocess.size} pixels, but the image tower "
            f"takes {towers.config.vision_config.image_size}; correct preprocessor_config.json."
        )
    if preprocess.resample not in set(Image.Resampling):
        yield (
            f"the image processor has resample = {preprocess.resample}, which names no filter of "
            "Pillow; allowed are 0 to 5, such as 3 (bicubic). Correct preprocessor_config.json."
        )
    mean, std = preprocess.mean, preprocess.std
    if not len(mean) == len(std) == 3:
        yield (
            f"the image processor has {len(mean)} numbers as image_mean and {len(std)} as "
            "image_std; three are needed, for red, green and blue. Correct "
            "preprocessor_config.json."
        )
    if not all(0 <= value <= 1 for value in mean):
        yield (
            f"the image processor has image_mean = {list(mean)}; allowed are three numbers from 0 "
            "to 1, for values in [0, 1]. Correct preprocessor_config.json (divide by 255 where "
            "they are for 0 to 255)."
        )
    if not all(_SMALLEST_STD <= value <= 1 for value in std):
        yield (
            f"the image processor has image_std = {list(std)}; allowed are three numbers from "
            f"{_SMALLEST_STD} to 1, for values in [0, 1]. Correct preprocessor_config.json "
            "(divide by 255 where they are for 0 to 255)."
        )
