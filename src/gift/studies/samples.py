"""Generated images of every data set with the settings of every row; nothing is trained.

Wu et al., "Synthetic Data is an Elegant GIFT for Continual Vision-Language Models", figure 8.
"""

from __future__ import annotations

from collections.abc import Sequence

from gift.data import DatasetEntry, Paths, load_benchmark, open_task
from gift.progress import report
from gift.report.gallery import data_uri
from gift.settings import Settings
from gift.streams import open_generator
from gift.studies.pictures import Samples
from gift.studies.plan import PlannedRow
from gift.text import fill
from gift.train import training_device


class GeneratedSamples(Settings):
    """Generated images.

    Attributes:
        prompts: one per data set.
        images: by row of the experiment, one per prompt, each as a data URI.
    """

    prompts: tuple[str, ...]
    images: tuple[tuple[str, ...], ...]


def generate_samples(
    picture: Samples, rows: Sequence[PlannedRow], paths: Paths
) -> GeneratedSamples:
    """An image of the first class of every data set with the synthesis settings of every row.

    All rows generate an image from the same noise: of data set k (from 0) with seed
    ``picture.seed + k``.

    Args:
        picture: the seed.
        rows: whose settings are shown.
        paths: cache and data directories.

    Raises:
        ValueError: the generator cannot be loaded.
        FileNotFoundError: a data set whose folders name its classes is not there.
    """
    entries = load_benchmark(rows[0].benchmark).datasets(rows[0].config.tasks)
    prompts = [first_prompt(entry, paths) for entry in entries]
    seeds = range(picture.seed, picture.seed + len(prompts))
    total = len(rows) * len(prompts)
    images: list[list[str]] = []
    for row in rows:
        generator = open_generator(row.config.synthesis, training_device())
        own: list[str] = []
        for start in range(0, len(prompts), generator.batch_size):
            report("generate", len(images) * len(prompts) + start, total)
            batch = slice(start, start + generator.batch_size)
            made = generator.generate(prompts[batch], seeds[batch])
            own += [data_uri(image.convert("RGB")) for image in made]
        generator.release()
        images.append(own)
    report("generate", total, total)
    return GeneratedSamples(prompts=prompts, images=images)


def first_prompt(entry: DatasetEntry, paths: Paths) -> str:
    """The first class of a data set in its first template; images are opened only for the name."""
    names, label = entry.listed_names, entry.subset.labels[0] if entry.subset else 0
    if names is None:
        names, label = open_task(entry, paths).labels.classnames, 0
    return fill(entry.templates[0], names[label])
