"""The tasks' image folders."""

from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest

from gift.data.benchmark import load_dataset, open_task
from gift.micro import images
from gift.micro.images import COUNTS, dataset_name, draw_image, make_dataset
from gift.micro.world import TASK_FAMILIES, concepts_of


@pytest.mark.parametrize("family", ["mnist", "eurosat"])
def test_a_folder_is_what_the_catalogue_says(tmp_path: Path, family: str) -> None:
    calls: list[tuple[str, int, int]] = []
    folder = tmp_path / "micro-1" / family
    make_dataset(dataset_name(family), folder, lambda *call: calls.append(call))
    task = open_task(load_dataset(dataset_name(family)), tmp_path)
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
    monkeypatch.setattr(images, "COUNTS", {"train": 2, "validation": 1, "test": 1})

    def stop(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_dataset("dtd", tmp_path / "dtd", stop)
    assert not (tmp_path / "dtd").exists()
    make_dataset("dtd", tmp_path / "dtd")
    assert len(list((tmp_path / "dtd").rglob("*.png"))) == 4 * len(concepts_of("dtd"))


def test_two_at_once_draw_a_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "COUNTS", {"train": 2, "validation": 1, "test": 1})
    calls: list[tuple[str, int, int]] = []
    start = Barrier(2)

    def make() -> None:
        start.wait()
        make_dataset("dtd", tmp_path / "data" / "dtd", lambda *call: calls.append(call))

    threads = [Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs = 3 * len(concepts_of("dtd"))
    assert calls == [("micro-dtd", done, jobs) for done in range(1, jobs + 1)]
    assert len(list((tmp_path / "data" / "dtd").rglob("*.png"))) == 4 * len(concepts_of("dtd"))


def test_no_handwritten_digit_is_in_two_splits() -> None:
    for label in range(10):
        shares = [images._digits(label, split) for split in COUNTS]
        assert [len(share) for share in shares] == list(COUNTS.values())
        kept = np.concatenate(shares).reshape(sum(COUNTS.values()), -1)
        assert len(np.unique(kept, axis=0)) == len(kept)


@pytest.mark.parametrize("family", TASK_FAMILIES)
def test_an_image_depends_on_split_class_and_number(family: str) -> None:
    first, second = concepts_of(family)[:2]
    same = np.asarray(draw_image(first, "train", 3))
    assert np.array_equal(same, np.asarray(draw_image(first, "train", 3)))
    for other in ((first, "test", 3), (second, "train", 3), (first, "train", 4)):
        assert not np.array_equal(same, np.asarray(draw_image(*other)))


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no task 'micro-birds'.*micro-food"):
        make_dataset("micro-birds", tmp_path / "birds")
