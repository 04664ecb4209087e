"""Generate images for a look."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from gift.config import SynthesisSettings
from gift.data.labels import LabelSpace
from gift.data.output import refuse_data
from gift.settings import validate
from gift.streams import open_generator
from gift.synthesis import ImageStore, SyntheticSet
from gift.text import check_list
from gift.train import training_device

log = logging.getLogger(__name__)


def synthesize(
    out: Path, classnames: Sequence[str], settings: Mapping[str, object] | None = None
) -> SyntheticSet:
    """Generate image-text pairs from class names into a store below ``out``.

    Args:
        out: where the sets are; what is there already is not generated again.
        classnames: what to generate, each name put into ``base_template``.
        settings: fields of :class:`~gift.config.SynthesisSettings`; those that choose the names of
            a learner's sets (``base_classnames``, ``source``, ``exclude``) have no meaning here.

    Raises:
        ValueError: a wrong setting, no class name, or a generator that cannot be loaded.
        OSError: the folder cannot be written.
    """
    refuse_data(out, "the folder of image sets")
    check_list("classnames", classnames, "['cat', 'dog']")
    wanted = validate(SynthesisSettings, settings or {})
    labels = LabelSpace("classes", tuple(classnames), (wanted.base_template,))
    return ImageStore(out).fetch(
        labels.prompts,
        generator=open_generator(wanted, training_device()),
        task_index=1,
        count=wanted.images,
        seed=42 if wanted.seed is None else wanted.seed,
    )
