"""The tasks' image folders."""

import hashlib
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest

from gift.data import Paths, load_dataset, open_task
from gift.progress import Progress, listening
from gift_micro import images
from gift_micro.concepts import BASE_NAMES, TASK_FAMILIES, concepts_of
from gift_micro.images import BASE_COUNTS, COUNTS, dataset_name, draw_image, make_dataset
from gift_micro.styles import FURTHER_STYLES


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer images per class, to be quick."""
    for split, count in {"train": 2, "validation": 1, "test": 1}.items():
        monkeypatch.setitem(COUNTS, split, count)


@pytest.mark.parametrize("family", ["mnist", "eurosat"])
def test_a_folder_is_what_the_catalogue_says(tmp_path: Path, family: str) -> None:
    calls: list[tuple[str, int, int]] = []
    folder = tmp_path / "micro-1" / family
    with listening(lambda now: calls.append(now[:3])):
        make_dataset(dataset_name(family), folder)
    task = open_task(load_dataset(dataset_name(family)), Paths.of(data=tmp_path))
    assert task.train is not None
    assert task.train[0].size == (32, 32)
    total = len(COUNTS) * len(concepts_of(family))
    assert calls[-1] == (dataset_name(family), total, total)
    before = sorted(path.stat().st_mtime_ns for path in folder.rglob("*.png"))
    make_dataset(family, folder)
    assert before == sorted(path.stat().st_mtime_ns for path in folder.rglob("*.png"))


def test_an_interrupted_folder_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch)

    def stop(now: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(stop):
        make_dataset("dtd", tmp_path / "dtd")
    assert not (tmp_path / "dtd").exists()
    make_dataset("dtd", tmp_path / "dtd")
    assert len(list((tmp_path / "dtd").rglob("*.png"))) == 4 * len(concepts_of("dtd"))


def test_two_at_once_draw_a_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    calls: list[tuple[str, int, int]] = []
    start = Barrier(2)

    def make() -> None:
        start.wait()
        with listening(lambda now: calls.append(now[:3])):
            make_dataset("dtd", tmp_path / "data" / "dtd")

    threads = [Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs = 3 * len(concepts_of("dtd"))
    assert calls == [("micro-dtd", done, jobs) for done in range(1, jobs + 1)]
    assert len(list((tmp_path / "data" / "dtd").rglob("*.png"))) == 4 * len(concepts_of("dtd"))


def test_the_published_data_seed_stays_as_it_is() -> None:
    """Results refer to these images: they are recorded here and must never change."""
    digest = hashlib.sha256()
    for family in TASK_FAMILIES:
        for concept in concepts_of(family):
            for split in COUNTS:
                digest.update(draw_image(concept, split, 5).tobytes())
    assert digest.hexdigest()[:16] == "6a63e2f5c703c86b"


def test_another_data_seed_splits_the_digits_differently() -> None:
    train = {digit.tobytes() for digit in images._digits(4, "train")}
    test = {digit.tobytes() for digit in images._digits(4, "test", 1)}
    assert train & test


def test_the_general_pictures_are_for_training_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BASE_COUNTS, "train", 1)
    make_dataset("micro-base", tmp_path / "base")
    assert [path.name for path in (tmp_path / "base").iterdir()] == ["train"]
    assert {path.name for path in (tmp_path / "base" / "train").iterdir()} == set(BASE_NAMES)


def test_a_concept_looks_different_in_another_data_set() -> None:
    concept = concepts_of("food")[0]
    own = np.asarray(draw_image(concept, "train", 0))
    for dataset in ("mixed", "base", *(f"food-{style}" for style in FURTHER_STYLES)):
        other = np.asarray(draw_image(concept, "train", 0, dataset=dataset))
        assert not np.array_equal(own, other)


@pytest.mark.parametrize("draw", [0, 2])
def test_no_handwritten_digit_is_in_two_splits(draw: int) -> None:
    for label in range(10):
        parts = [images._digits(label, split, draw) for split in COUNTS]
        assert [len(part) for part in parts] == list(COUNTS.values())
        kept = np.concatenate(parts).reshape(sum(COUNTS.values()), -1)
        assert len(np.unique(kept, axis=0)) == len(kept)


@pytest.mark.parametrize("family", TASK_FAMILIES)
def test_an_image_depends_on_split_class_and_number(family: str) -> None:
    first, second = concepts_of(family)[:2]
    same = np.asarray(draw_image(first, "train", 3))
    assert np.array_equal(same, np.asarray(draw_image(first, "train", 3)))
    for other in ((first, "test", 3), (second, "train", 3), (first, "train", 4)):
        assert not np.array_equal(same, np.asarray(draw_image(*other)))
    drawn = [np.asarray(draw_image(first, "train", 3, draw=draw)) for draw in (0, 1, 2)]
    assert np.array_equal(same, drawn[0])
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2])


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no data set 'micro-birds'.*micro-food"):
        make_dataset("micro-birds", tmp_path / "birds")
