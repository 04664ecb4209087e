"""Generate images for a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gift import distributed
from gift.commands.downloads import missing_download
from gift.commands.planning import Confirm
from gift.config import SynthesisSettings
from gift.data.labels import LabelSpace
from gift.data.output import refuse_data
from gift.estimate import Plan, Timings, device_words
from gift.settings import validate
from gift.streams import open_generator
from gift.synthesis import DiffusersGenerator, ImageStore, SyntheticSet
from gift.text import check_list
from gift.train import training_device


def synthesize(
    out: Path,
    classnames: Sequence[str],
    settings: Mapping[str, object] | None = None,
    *,
    confirm: Confirm | None = None,
) -> SyntheticSet:
    """Generate image-text pairs from class names into a store below ``out``.

    Args:
        out: where the sets are; what is there already is not generated again.
        classnames: what to generate, each name put into ``base_template``.
        settings: fields of :class:`~gift.config.SynthesisSettings`; those that choose the names of
            a learner's sets (``base_classnames``, ``source``, ``exclude``) have no meaning here.
        confirm: see :data:`gift.commands.planning.Confirm`.

    Raises:
        ValueError: a wrong setting, no class name, or a generator that cannot be loaded.
        OSError: the folder cannot be written.
    """
    wanted = _wanted(out, classnames, settings)
    if confirm is not None:
        plan = wanted.plan(timed=False)
        confirm(wanted.plan(timed=True) if plan.generate > _FEW else plan)
    return wanted.store.fetch(
        wanted.prompts,
        generator=wanted.generator,
        task_index=1,
        count=wanted.count,
        seed=wanted.seed,
    )


def preview_synthesis(
    out: Path, classnames: Sequence[str], settings: Mapping[str, object] | None = None
) -> Plan:
    """What :func:`synthesize` would do with these arguments; nothing is written.

    The generation of an image is timed, unless the generator is still to be downloaded.

    Raises:
        ValueError: as :func:`synthesize`.
    """
    return _wanted(out, classnames, settings).plan(timed=True)


_FEW = 8
"""Images up to which generating them is not timed beforehand: that would generate as many."""


@dataclass(frozen=True)
class _Wanted:
    """A set of images that shall be generated into a store."""

    store: ImageStore
    prompts: tuple[str, ...]
    generator: DiffusersGenerator
    count: int
    seed: int

    def plan(self, *, timed: bool) -> Plan:
        """What is left to be done, with the time that it takes."""
        stored = self.store.stored(
            self.prompts,
            generator=self.generator,
            task_index=1,
            count=self.count,
            seed=self.seed,
        )
        downloads = missing_download(str(self.generator.source), "model_index.json")
        timings = None
        alone = distributed.world_size() == 1  # several processes would find other times
        if timed and alone and stored < self.count and not downloads:
            timings = Timings(generated=self.generator.seconds_per_image())
        return Plan(
            device=device_words(self.generator.device),
            generator=str(self.generator.source),
            generate=self.count - stored,
            stored=stored,
            downloads=downloads,
            timings=timings,
        )


def _wanted(out: Path, classnames: Sequence[str], settings: Mapping[str, object] | None) -> _Wanted:
    """The set that is asked for.

    Raises:
        ValueError: a wrong setting, no class name, or a generator that is none.
    """
    refuse_data(out, "the folder of image sets")
    check_list("classnames", classnames, "['cat', 'dog']")
    wanted = validate(SynthesisSettings, settings or {})
    labels = LabelSpace("classes", tuple(classnames), (wanted.base_template,))
    return _Wanted(
        ImageStore(out),
        labels.prompts,
        open_generator(wanted, training_device()),
        wanted.images,
        42 if wanted.seed is None else wanted.seed,
    )
