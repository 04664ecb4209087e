"""What of a learner lies on disk: its configuration, an ordinary model folder, and its memory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from gift.config import LearnerConfig
from gift.data.labels import LabelSpace
from gift.files import damage, read_json, replacing, write_json
from gift.methods import Method
from gift.runs import RunFolder
from gift.settings import validate
from gift.vlm import VisionLanguageModel


@dataclass(frozen=True)
class StoredLearner:
    """A learner as it was written.

    Attributes:
        config: its configuration.
        model: the folder of its model.
        method: the tensors that its method keeps.
        memory: the tasks it has learned.
    """

    config: LearnerConfig
    model: Path
    method: Mapping[str, Tensor]
    memory: tuple[LabelSpace, ...]


def write_learner(
    run: RunFolder, model: VisionLanguageModel, method: Method, memory: Sequence[LabelSpace]
) -> None:
    """Write ``learner/``, whole or not at all; the checkpoints of what it has learned are removed.

    Args:
        run: the folder.
        model: saved as transformers does.
        method: its name, settings and tensors are kept.
        memory: the tasks learned so far.
    """
    previous = None if damage(run.learner) else run.previous_learner
    with replacing(run.learner, previous) as new:
        model.save_pretrained(new / "model")
        save_file(
            {key: value.contiguous().cpu() for key, value in method.state_dict().items()},
            new / "method.safetensors",
        )
        write_json(
            new / "method.json",
            {"method": method.name(), "settings": method.settings.model_dump(mode="json")},
        )
        write_json(new / "memory.json", [asdict(labels) for labels in memory])
    for position, labels in enumerate(memory, start=1):
        shutil.rmtree(run.task(position, labels.name) / "checkpoint", ignore_errors=True)


def read_learner(run: RunFolder) -> StoredLearner:
    """Read what :func:`write_learner` wrote.

    Raises:
        ValueError: the folder holds no learner, or none that is whole.
    """
    if not (run.has_config and run.has_learner):
        raise ValueError(
            f"{run.path} holds no learner (no config.yaml and learner/ in it). Make one with "
            "'gift learn DIR --task FOLDER --model MODEL'."
        )
    whole = run.whole_learner()
    return StoredLearner(
        config=stored_config(run),
        model=whole / "model",
        method=load_file(whole / "method.safetensors"),
        memory=tuple(LabelSpace(**task) for task in read_json(whole / "memory.json")),
    )


def stored_config(run: RunFolder) -> LearnerConfig:
    """What of a folder's configuration decides its learner."""
    stored, known = run.read_config(), LearnerConfig.model_fields
    own = {key: value for key, value in stored.items() if key in known}
    return validate(LearnerConfig, own, where=str(run.path / "config.yaml"))
