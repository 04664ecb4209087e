"""An export's folder: its formats, the class list, the preprocessing and the model card."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gift.calibration import Calibration
from gift.export.agreement import check
from gift.export.card import Facts, model_card
from gift.export.formats import FORMATS
from gift.export.labels import PipelineLabels
from gift.export.source import Source
from gift.files import write_json, write_text, writing_to
from gift.progress import track
from gift.vlm import Preprocess

CLASSES = "classes.json"
PREPROCESSING = "preprocessing.json"


@dataclass(frozen=True)
class Exported:
    """A folder that was exported.

    Attributes:
        folder: where it is.
        classes: the class names, in the order of logits.
        task: the task whose model it is; None for all tasks.
        differences: of each format, the largest difference of a cosine or a probability from the
            learner's on the images that they were compared on.
    """

    folder: Path
    classes: tuple[str, ...]
    task: str | None
    differences: dict[str, float]


def write(
    source: Source,
    folder: Path,
    formats: Sequence[str],
    facts: Facts,
) -> Exported:
    """Write an export, whole or not at all; each format is compared with the learner first.

    Args:
        source: what is exported.
        folder: made; checked with the formats, see :func:`~gift.export.formats.check_request`.
        formats: names out of :data:`~gift.export.formats.FORMATS`.
        facts: of the learner, for the model card.

    Raises:
        ValueError: a format does not compute what the learner does.
        OSError: the folder cannot be written.
    """
    with writing_to(folder.parent, "the folder", "give another one, or free some space"):
        unfinished = folder.with_name(f".{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            differences = {
                name: check(name, FORMATS[name](source, unfinished))
                for name in track(sorted(formats, key=list(FORMATS).index), "exporting")
            }
            write_json(unfinished / CLASSES, class_list(source, facts.calibration))
            if set(formats) != {"transformers"}:
                write_json(unfinished / PREPROCESSING, preprocessing(source.model.preprocess))
            card = model_card(source, facts, differences)
            write_text(unfinished / "README.md", card)
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    return Exported(folder, source.classes, source.task, differences)


def class_list(source: Source, calibration: Calibration | None = None) -> dict[str, Any]:
    """The content of ``classes.json``, see docs/exporting.md.

    Args:
        source: what is exported.
        calibration: of predictions among all classes seen.
    """
    every = PipelineLabels.of(source.model, source.spaces)
    tasks = []
    class_of_label = dict(zip(every.labels, every.classes, strict=True))
    for labels in source.spaces:
        own = PipelineLabels.of(source.model, [labels])
        class_of_label |= dict(zip(own.labels, own.classes, strict=True))
        tasks.append(
            {
                "name": labels.name,
                "classes": list(labels.classnames),
                "templates": list(labels.templates),
                "pipeline": own.arguments,
            }
        )
    fitted = (
        {}
        if calibration is None or source.task is not None
        else {
            "calibration": {
                "temperature": calibration.temperature,
                "threshold": calibration.threshold,
            }
        }
    )
    return {
        "classes": list(source.classes),
        "class_of_row": source.class_of_row.tolist(),
        "pipeline": every.arguments,
        "class_of_label": class_of_label,
        "tasks": tasks,
        **fitted,
    }


def preprocessing(steps: Preprocess) -> dict[str, Any]:
    """The content of ``preprocessing.json``: how an image becomes the input ``pixels``."""
    return {
        "size": steps.size,
        "resize": steps.resize,
        "interpolation": Image.Resampling(steps.resample).name.lower(),
        "rescale": "1/255",
        "mean": list(steps.mean),
        "std": list(steps.std),
        "channels": "RGB",
        "layout": "float32 [B, 3, size, size]",
    }
