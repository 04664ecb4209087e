"""The page of a learner: what it shows, and that names on it are data."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gift.calibration import reliability
from gift.report.classified import Classified, Confusion, confusion_matrix, reliability_curve
from gift.report.gallery import Picture, data_uri
from gift.report.learner_page import write_learner_page
from gift.runs import Kept, KeptFolder, KeptGroup
from gift.runs.description import LearnerInfo, TaskInfo

HOSTILE = "<script>alert(1)</script> \" $x_{}' & ünï"

KEPT = Kept(
    task=HOSTILE,
    generated=(KeptGroup(name="", classes=9, images=40, agreement=87.5, before=62.0, after=61.0),),
    folders=(
        KeptFolder(
            name=HOSTILE,
            place=HOSTILE,
            images=7,
            known=None,
            before=50.0,
            after=43.2,
            before_seen=40.0,
            after_seen=30.0,
        ),
    ),
)


def task(name=HOSTILE, **known):
    unknown = dict.fromkeys(TaskInfo.__dataclass_fields__)
    values = {
        "name": name,
        "classes": ("ant", HOSTILE),
        "templates": ("a {}",),
        "settings": {},
        "extends": "",
    }
    return TaskInfo(**{**unknown, **values, **known})


def learner(*tasks):
    return LearnerInfo(
        folder=f"some/{HOSTILE}",
        model=HOSTILE,
        method="gift",
        generator=HOSTILE,
        settings={"synthesis.base_classnames": HOSTILE},
        plain_model="the model after the last task",
        tasks=tasks,
        model_bytes=10**6,
        method_bytes=10**6,
        previous_bytes=10**6,
        undo=HOSTILE,
    )


def classified(names=("ant", HOSTILE, "bee"), seed=0):
    """A folder with ten images of each class, some of which are mistaken."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(10, np.ones(len(names) + 1) / (len(names) + 1), size=len(names))
    confidences = rng.random(100)
    picture = Picture(data_uri(Image.new("RGB", (300, 200), "red")), HOSTILE, pixelated=False)
    return Classified(
        name=HOSTILE,
        place=f"/photos/{HOSTILE}",
        known=None,
        measured_on="test images",
        own=71.2,
        seen=64.3,
        others=5,
        classes=tuple(names),
        counts=counts,
        reliability=reliability(confidences, rng.random(100) < confidences, bins=10),
        temperature=1.25,
        confusions=(Confusion(HOSTILE, "ant", 3, 10, (picture,) * 4),),
    )


@pytest.fixture
def page(tmp_path):
    tasks = (task(), task("later", images=9, then=80.0, now=75.5, kept=KEPT, device="cpu"))
    path = write_learner_page(learner(*tasks), [classified()], tmp_path / "out", notes=[HOSTILE])
    return path.read_text()


def test_names_are_data(page):
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") > 15


def test_the_page_is_one_file(page):
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "default-src 'none'" in page
    assert page.count("data:image/jpeg;base64,") == 4


def test_everything_is_on_it(page):
    for text in (
        "87.5",
        "40 generated",
        "7 images of its folder",
        "75.5",
        "1.25",
        "71.2",
        "64.3",
        "3 of 10",
    ):
        assert text in page
    assert "takes back" in page
    ids = re.findall(r" id=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids)), "ids of figures do not meet"


def test_a_learner_without_anything_measured_has_a_page(tmp_path):
    bare = replace(learner(task()), undo=None, generator=None, settings={}, method_bytes=0)
    page = write_learner_page(bare, [], tmp_path).read_text()
    assert "the defaults" in page
    assert "What was kept" not in page
    assert "small copies" not in page


def test_classes_are_sorted_by_their_accuracy_and_empty_ones_are_left_out():
    found = replace(
        classified(),
        counts=np.array([[3, 1, 0, 0], [0, 0, 0, 0], [2, 0, 1, 1]]),
    )
    assert [(one.name, one.images, one.correct) for one in found.per_class] == [
        ("bee", 4, 1),
        ("ant", 4, 3),
    ]
    assert found.images == 8


def test_of_many_classes_those_with_the_most_mistakes_are_in_the_matrix():
    names = [f"class {number}" for number in range(200)]
    counts = np.zeros((200, 201), dtype=np.int64)
    np.fill_diagonal(counts, 5)
    counts[150, 7] = 4
    counts[20, 200] = 1
    figure = confusion_matrix(replace(classified(names), counts=counts))
    axes = figure.axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert len(shown) == 30
    assert {"class 150", "class 20"} <= set(shown)
    assert [label.get_text() for label in axes.get_xticklabels()] == [*shown, "another"]


def test_bins_without_images_have_no_point():
    figure = reliability_curve(reliability(np.array([0.95, 0.91]), np.array([True, False]), 10))
    (_, curve), below = figure.axes[0].lines, figure.axes[1]
    assert np.asarray(curve.get_xydata()).round(3).tolist() == [[0.93, 0.5]]
    assert [bar.get_height() for bar in below.patches] == [0] * 9 + [2]
