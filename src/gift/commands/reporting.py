"""The page of a learner: its tasks, and how the images of folders are classified."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gift.calibration import probabilities, reliability
from gift.commands.inspecting import info
from gift.commands.keeping import check_folders
from gift.commands.measuring import known_labels, measured_images
from gift.data import (
    SKIP_HINT,
    ImageSet,
    Paths,
    Task,
    TaskLike,
    as_tasks,
    check_images,
    pixels,
    provenance,
    readable,
)
from gift.data.labels import LabelSpace, grown, tasks_of
from gift.data.sources import is_table
from gift.evaluate import (
    EvaluationSet,
    Images,
    accuracy_among,
    class_names,
    seen_with,
)
from gift.learner import Learner
from gift.predict import Classifier
from gift.progress import track
from gift.report.classified import Classified, Confusion, most_confused
from gift.report.gallery import Picture, data_uri, is_pixelated
from gift.report.learner_page import write_learner_page
from gift.runs import RunFolder
from gift.text import one_line
from gift.vlm import read_alike

log = logging.getLogger(__name__)

_PAIRS, _PICTURES, _BINS = 8, 4, 10
_WORDS: dict[Images, str] = {
    "test": "test images",
    "validation": "validation images",
    "held-out": "held-out images",
    "training": "images that were learned",
    "all": "all of its images, learned ones too",
}


def report_learner(
    folder: Path,
    out: Path,
    tasks: TaskLike | Sequence[TaskLike] = (),
    *,
    paths: Paths | None = None,
) -> Path:
    """Write the page of a learner.

    Args:
        folder: the learner's.
        out: folder of the page.
        tasks: folders whose images are classified; by default those of the learned tasks that
            still lie where they were, as they were.
        paths: cache and data directories.

    Returns:
        The page.

    Raises:
        ValueError: no whole learner in the folder, nothing to classify in one of ``tasks``, or
            ``out`` lies among images.
        OSError: an image cannot be read, or the page cannot be written.
    """
    found, learner = info(folder), Learner.load(folder, paths=paths)
    notes: list[str] = []
    chosen = [readable(task, learner.paths) for task in as_tasks(tasks)]
    if not chosen:
        chosen, notes = _learned_folders(RunFolder(folder), learner)
    check_folders(learner, chosen)
    used = [task.evaluation for task in chosen if task.evaluation is not None]
    check_images(*used, paths=learner.paths, hint=SKIP_HINT)
    classified = [_classified(learner, task) for task in track(chosen, "classifying")]
    return write_learner_page(found, classified, out, notes=notes)


def _learned_folders(folder: RunFolder, learner: Learner) -> tuple[list[Task], list[str]]:
    """The folders of learned tasks that can be measured as they were, and why others cannot."""
    data, found, notes = folder.data(), [], []
    for labels in learner.memory:
        described = dict(data.get(labels.name, {}))
        try:
            task = _as_it_was(labels, described, learner.paths).extending(labels.extends)
        except (ValueError, OSError) as error:
            log.info("%s", one_line(error))
            notes.append(
                f"{labels.name} is not classified below: its images are not where they were, or "
                "not as they were. Give its folder with --task."
            )
        else:
            found.append(task)
    return found, notes


def _as_it_was(labels: LabelSpace, described: dict[str, object], paths: Paths) -> Task:
    """The task in the folder that it was learned from.

    Raises:
        ValueError: it is not known, or what would be measured has changed.
        OSError: it is not there.
    """
    place = described.get("place")
    if not isinstance(place, str) or not place:
        raise ValueError(f"{labels.name}: nothing says where its images are.")
    read = Task.from_csv if is_table(Path(place)) else Task.from_folder
    task = read(
        paths.data / place, name=labels.name, templates=labels.templates, on_bad_image="skip"
    )
    task = readable(task, paths)
    now = asdict(provenance(task, paths))
    if any(now[what] != described.get(what) for what in ("words", "test")):
        raise ValueError(f"{labels.name}: other images than were measured are in {place}.")
    return task


def _classified(learner: Learner, task: Task) -> Classified:
    """How a task's images are classified among all classes seen; the method is not told the task.

    Its accuracy among its own classes is that of :meth:`gift.Learner.measure`.
    """
    images = task.evaluation
    assert images is not None, "it was checked"
    known = learner.known_task(task.labels)
    labels = known_labels(learner, task.labels)
    tasks = tasks_of(learner.memory)
    candidates = seen_with(tasks, labels)
    preprocess = learner.model.preprocess
    decoded = pixels(images, preprocess.test_array, preprocess.key, learner.paths)
    data = EvaluationSet(labels, decoded, tuple(images.labels), task.metric)
    alike = read_alike(learner.model, class_names(candidates))
    told = labels.name if learner.method.uses_task_id() else None
    own = accuracy_among(
        learner.predictor(), learner.model, data, [grown(labels, tasks)], task=told
    )
    rule = Classifier(learner.predictor(), learner.model, candidates)
    fitted = learner.calibration if candidates == list(tasks) else None
    found = probabilities(rule.logits(decoded).numpy(), fitted.temperature if fitted else 1.0)
    names, answers = data.names(alike), np.array(rule.classes, dtype=object)[found.argmax(axis=1)]
    correct = names == answers
    classes = class_names([labels], alike)
    column = {name: index for index, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes) + 1), dtype=np.int64)
    places = [column.get(answer, len(classes)) for answer in answers]
    np.add.at(counts, (list(images.labels), places), 1)
    return Classified(
        name=task.name,
        place=task.place,
        known=None if known is None else known.name,
        measured_on=_WORDS[measured_images(task, known)],
        own=own,
        seen=data.accuracy(correct),
        others=len(set(rule.classes) - set(classes)),
        classes=labels.classnames,
        counts=counts,
        reliability=reliability(found.max(axis=1), correct, bins=_BINS),
        temperature=fitted.temperature if fitted else None,
        confusions=_confusions(images, names, answers),
    )


def _confusions(
    images: ImageSet, names: NDArray[np.object_], answers: NDArray[np.object_]
) -> tuple[Confusion, ...]:
    """The most frequent mistakes, with pictures."""
    pairs = list(zip(names.tolist(), answers.tolist(), strict=True))
    numbers = {name: int((names == name).sum()) for name in set(names)}
    return tuple(
        Confusion(
            name=name,
            taken_for=answer,
            count=pairs.count((name, answer)),
            images=numbers[name],
            pictures=tuple(_picture(images, position, name, answer) for position in positions),
        )
        for (name, answer), positions in most_confused(pairs, _PAIRS, _PICTURES)
    )


def _picture(images: ImageSet, position: int, name: str, answer: str) -> Picture:
    """A small copy of an image."""
    image = images[position]
    return Picture(data_uri(image), f"{name}, taken for {answer}", is_pixelated(image))
