"""Names for single images: what goes in, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gift.data import ImageFiles, to_rgb
from gift.data.labels import LabelSpace
from gift.text import unknown


@dataclass(frozen=True)
class Prediction:
    """The best class name of an image with its probability, and the runners-up.

    ``names`` and ``probabilities`` are in falling order.
    """

    names: tuple[str, ...]
    probabilities: tuple[float, ...]


def competing(
    memory: Sequence[LabelSpace],
    *,
    classes: Sequence[str] | None,
    seen: bool | None,
    task: str | None,
) -> list[LabelSpace]:
    """The label spaces whose classes an image may be named after.

    Args:
        memory: the tasks learned so far.
        classes: further class names.
        seen: whether all learned tasks compete; by default where nothing else is given.
        task: a learned task that competes in any case.

    Raises:
        ValueError: no class to choose from, or a task that was not learned.
    """
    known = {labels.name: labels for labels in memory}
    if task is not None and task not in known:
        raise ValueError(unknown("task", task, known))
    found = [known[task]] if task is not None else []
    if classes is None and task is None if seen is None else seen:
        found = list(memory)
    if classes is not None:
        found.append(LabelSpace("given classes", tuple(classes)))
    if not found:
        raise ValueError("nothing was learned yet: give the class names to choose from.")
    return found


def opened(images: Sequence[Path | Image.Image]) -> list[Image.Image]:
    """The images as RGB.

    Raises:
        ValueError: files that cannot be read; all are named.
    """
    found: list[Image.Image] = []
    problems: list[str] = []
    for image in images:
        if isinstance(image, Image.Image):
            found.append(to_rgb(image))
            continue
        try:
            found.append(ImageFiles((Path(image),), (0,))[0])
        except OSError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return found


def best_names(names: Sequence[str], probabilities: Sequence[float], top: int) -> Prediction:
    """The most probable names; a name in several tasks counts with its best task."""
    found: dict[str, float] = {}
    for name, probability in zip(names, probabilities, strict=True):
        found[name] = max(probability, found.get(name, 0.0))
    ranked = sorted(found.items(), key=lambda item: -item[1])[:top]
    return Prediction(tuple(n for n, _ in ranked), tuple(p for _, p in ranked))
