"""Make a model folder of a checkpoint in another library's format."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from gift.export.licence import licence_of
from gift.files import write_text, writing_to
from gift.text import one_line, user_path
from gift.vlm import VisionLanguageModel
from gift.vlm.open_clip import Checkpoint, convert

_CARD = """---
license: {licence}
library_name: transformers
pipeline_tag: zero-shot-image-classification
tags:
- clip
---

Weights of an OpenCLIP checkpoint in the form of transformers, converted by gift-cl.
"""


@dataclass(frozen=True)
class Imported:
    """A model folder that was made.

    Attributes:
        folder: where it is.
        parameters: of both towers.
        image_size: the side of its images, in pixels.
        licence: that the checkpoint's own card names, or ``unknown``.
    """

    folder: Path
    parameters: int
    image_size: int
    licence: str


def import_open_clip(
    source: Path, out: Path, *, config: Path | None = None, tokenizer: Path | None = None
) -> Imported:
    """Make a model folder of the transformers library of an OpenCLIP checkpoint.

    The folder is opened and checked like every model before it appears.

    Args:
        source: the checkpoint's folder, or its file of weights.
        out: made; it may not be there.
        config: the configuration, where it does not lie beside the weights.
        tokenizer: the folder of the tokenizer, where that does not.

    Raises:
        ValueError: the folder is there, files are missing or damaged, or the architecture is none
            that transformers' CLIP has.
        OSError: the folder cannot be written.
    """
    source, out = user_path(source), user_path(out)
    if out.exists():
        raise ValueError(f"{one_line(out)} exists; give a folder that is not there yet.")
    checkpoint = Checkpoint.find(source, config, tokenizer)
    with writing_to(out.parent, "the folder", "give another one, or free some space"):
        unfinished = out.with_name(f".{out.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            convert(checkpoint, unfinished)
            licence = licence_of(str(checkpoint.weights.parent))
            write_text(unfinished / "README.md", _CARD.format(licence=licence))
            model = VisionLanguageModel.from_pretrained(unfinished)
            unfinished.rename(out)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    parameters = sum(p.numel() for p in model.trainable_parameters().values())
    return Imported(out, parameters, model.preprocess.size, licence)
