"""Classification of single images, with a predictor whose scores are known."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from gift.calibration import Calibration
from gift.data.labels import LabelSpace
from gift.evaluate import EvaluationSet
from gift.predict import Classifier, Prediction, Rule, Unreadable, answering, competing

PETS, TOYS = LabelSpace("pets", ("cat", "dog")), LabelSpace("toys", ("Dog", "ball"))
SIDE = 4


class Model:
    """Stands for the model: an image is its mean value; names that differ in case are one."""

    has_causal_text_tower = False
    device = torch.device("cpu")
    size = SIDE

    def __init__(self):
        self.preprocess = self
        self.alive = self.most_alive = 0

    def tokenize(self, texts):
        width = max(map(len, texts))
        return torch.tensor([list(text.lower().ljust(width).encode()) for text in texts])

    def test_array(self, image):
        assert image.mode == "RGB"
        return np.array(image.resize((SIDE, SIDE)))

    def normalize(self, pixels):
        return pixels.float()


class Brightness:
    """Scores: each class likes its own brightness, 0, 60, 120, 180."""

    def __init__(self):
        self.batches = []

    def scores(self, pixels, candidates, task=None):
        self.batches.append(len(pixels))
        classes = sum(len(labels.classnames) for labels in candidates)
        return -(pixels.mean(dim=(1, 2, 3))[:, None] - 60 * torch.arange(classes)).abs() / 20


def classifier(*candidates, **rule):
    return Classifier(Brightness(), Model(), candidates or (PETS,), Rule(**rule))


def picture(value, size=(8, 6), mode="RGB"):
    return Image.new(mode, size, (value,) * len(mode) if mode != "L" else value)


DARK, BRIGHT = 3, 58


def test_one_image_in_every_form_is_the_same(tmp_path):
    path = tmp_path / "photo.png"
    picture(BRIGHT).save(path)
    forms = [
        path,
        str(path),
        picture(BRIGHT),
        np.full((6, 8, 3), BRIGHT, np.uint8),
        np.full((6, 8), BRIGHT, np.uint8),
        np.full((6, 8, 4), BRIGHT, np.uint8),
        np.full((8, 6, 3), BRIGHT, np.uint8).transpose(1, 0, 2),  # not contiguous
    ]
    found = [classifier().predict(form) for form in forms]
    assert all(one == found[0] for one in found)
    assert [len(one) for one in found] == [1] * len(forms)
    assert classifier()(path) == found[0][0]
    assert found[0][0].answer == "dog"
    assert classifier().predict(forms) == [found[0][0]] * len(forms)
    assert classifier().predict(np.full((2, 6, 8, 3), BRIGHT, np.uint8)) == found[0] * 2
    assert classifier().predict(iter(forms)) == classifier().predict(tuple(forms))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((6, 8, 3), np.float32), r"images\[1\] is an array of float32; .*255 \* array"),
        (np.zeros((6, 8, 3), np.int64), r"images\[1\] is an array of int64; give uint8"),
        (np.zeros((3, 6, 8), np.uint8), r"array of 3 x 6 x 8; .*transpose\(1, 2, 0\)"),
        (np.zeros((6, 8, 2), np.uint8), r"array of 6 x 8 x 2; give height x width"),
        (np.zeros((0, 8, 3), np.uint8), r"array of 0 x 8 x 3"),
        ({"image": 1, "label": 0}, r"images\[1\] is a dict .*row\['image'\]"),
        (b"\xff\xd8", r"images\[1\] is a bytes .*BytesIO"),
        (torch.zeros(3, 4, 4), r"images\[1\] is a Tensor .*numpy\(\)"),
        (None, r"images\[1\] is a NoneType \(None\); give a path"),
    ],
)
def test_what_is_no_image_is_named_with_the_way_out(image, message):
    with pytest.raises(ValueError, match=message):
        classifier().predict([picture(DARK), image])


@pytest.mark.parametrize("images", [{"image": 1}, b"\xff\xd8", 3, None])
def test_what_is_no_list_of_images_is_refused(images):
    with pytest.raises(ValueError, match=r"images is a .*; give a path, a PIL image or"):
        classifier().predict(images)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_is_taken_as_it_is_needed(workers):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield picture(DARK)

    found = classifier().predict_each(endless(), batch_size=3, workers=workers)
    assert next(found).answer == "cat"
    assert len(taken) <= 2 * 3 + 3
    for _ in range(20):
        next(found)
    assert len(taken) <= 21 + 3 + 2 * 3


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_batches_and_workers_change_no_answer_and_no_order(tmp_path, workers, batch_size):
    images = []
    for number in range(10):
        images.append(tmp_path / f"{number}.png")
        picture(20 * number).save(images[-1])
    images[3:3] = [picture(DARK), tmp_path / "missing.png", np.zeros((3, 3), np.uint8)]
    rule = classifier(PETS, LabelSpace("more", ("x", "y")))
    found = list(rule.predict_each(images, batch_size=batch_size, workers=workers))
    plain = list(rule.predict_each(images))
    assert found == plain
    assert [n for n, one in enumerate(found) if isinstance(one, Unreadable)] == [4]
    assert len({one.answer for one in found if isinstance(one, Prediction)}) == 4


def test_workers_decode_at_the_same_time(tmp_path, monkeypatch):
    inside = threading.Barrier(2, timeout=20)  # two threads at once, or the test fails
    model = Model()

    def test_array(image):
        inside.wait()
        return Model.test_array(model, image)

    monkeypatch.setattr(model, "test_array", test_array)
    for number in range(4):
        picture(DARK).save(tmp_path / f"{number}.png")
    rule = Classifier(Brightness(), model, (PETS,))
    found = list(rule.predict_each(sorted(tmp_path.iterdir()), workers=2))
    assert [one.answer for one in found] == ["cat"] * 4


def test_threads_end_when_nobody_wants_more(tmp_path):
    picture(DARK).save(tmp_path / "x.png")
    before = threading.active_count()
    found = classifier().predict_each([tmp_path / "x.png"] * 100, batch_size=2, workers=2)
    next(found)
    assert threading.active_count() == before + 2
    found.close()
    for _ in range(100):
        if threading.active_count() == before:
            break
        time.sleep(0.05)
    assert threading.active_count() == before


def test_a_broken_image_costs_that_image():
    class Broken(Image.Image):
        def load(self):
            raise SyntaxError("broken\nstream")

    found = list(classifier().predict_each([picture(DARK), Broken(), picture(BRIGHT)]))
    assert found[1] == Unreadable("images[1] cannot be read (broken\\nstream); leave it out.")
    with pytest.raises(ValueError, match=r"images\[0\] cannot be read"):
        classifier()(Broken())


@pytest.mark.parametrize(("suffix", "side"), [("jpg", 2 * SIDE), ("png", 64)])
def test_fast_decoding_makes_jpeg_files_smaller_first(tmp_path, monkeypatch, suffix, side):
    path, model, sizes = tmp_path / f"x.{suffix}", Model(), []
    picture(BRIGHT, (64, 64)).save(path)

    def test_array(image):
        sizes.append(image.size)
        return Model.test_array(model, image)

    monkeypatch.setattr(model, "test_array", test_array)
    rule = Classifier(Brightness(), model, (PETS,))
    exact, fast = (next(rule.predict_each(path, fast_decode=is_fast)) for is_fast in (False, True))
    assert fast.probabilities == pytest.approx(exact.probabilities, abs=0.02)
    assert sizes == [(64, 64), (side, side)]


def test_a_class_of_two_label_spaces_is_one():
    rule = classifier(PETS, TOYS, top=9)
    assert rule.classes == ("cat", "dog", "ball")
    found = rule(picture(2 * 60))  # most like "Dog", which is "dog"
    assert found.names[0] == "dog"
    assert sum(found.probabilities) == pytest.approx(1)
    assert classifier(PETS, TOYS).top == 3


def test_below_the_threshold_the_answer_is_unknown():
    sure, doubtful = picture(DARK), picture(31)
    for threshold in (0.0, 0.6):
        found = classifier(threshold=threshold).predict([sure, doubtful])
        assert [one.answer for one in found] == ["cat", "dog" if threshold == 0 else None]
        assert found[1].names == ("dog", "cat")
    assert "unknown (dog " in str(found[1])
    assert "unknown (dog " in repr(found[1])
    assert repr(found[0]) == f"<Prediction: {found[0]}>"


def test_the_temperature_flattens_the_probabilities():
    plain, flat = classifier()(picture(DARK)), classifier(temperature=3.0)(picture(DARK))
    odds = [np.log(one.probabilities[0] / one.probabilities[1]) for one in (plain, flat)]
    assert odds[0] == pytest.approx(3 * odds[1], rel=1e-4)
    assert flat.names == plain.names


CALIBRATION = Calibration(
    temperature=2.0,
    threshold=0.7,
    goal="precision",
    target=0.9,
    answers=9,
    precision=0.95,
    coverage=0.8,
    rejected=None,
    accuracy=0.9,
    error_before=0.2,
    error=0.1,
    known=10,
    others=0,
)


def test_the_rule_that_is_asked_for():
    assert answering(2, None, CALIBRATION, is_usual=True) == Rule(2, 0.0, 1.0)
    assert answering(2, 0.5, CALIBRATION, is_usual=True) == Rule(2, 0.5, 1.0)
    assert answering(2, "calibrated", CALIBRATION, is_usual=True) == Rule(2, 0.7, 2.0)


@pytest.mark.parametrize(
    ("top", "threshold", "message"),
    [
        (0, None, "top = 0"),
        (1, 95, r"threshold = 95: give a probability in 0\.\.1"),
        (1, -0.1, "threshold = -0.1"),
        (1, float("nan"), "threshold = nan"),
        (1, "high", "threshold = 'high'"),
        (1, "calibrated", "no calibration since its last task"),
    ],
)
def test_a_rule_out_of_range_is_refused(top, threshold, message):
    with pytest.raises(ValueError, match=message):
        answering(top, threshold, None, is_usual=True)


def test_a_calibration_is_of_all_classes_seen_alone():
    with pytest.raises(ValueError, match="the calibration is of all classes seen"):
        answering(1, "calibrated", CALIBRATION, is_usual=False)


def test_the_classes_that_compete():
    learned = [PETS, TOYS]

    def chosen(classes=None, seen=None, task=None):
        return [space.name for space in competing(learned, classes=classes, seen=seen, task=task)]

    assert chosen() == ["pets", "toys"]
    assert chosen(task="toys") == ["toys"]
    assert chosen(["x"]) == ["given classes"]
    assert chosen(["x"], seen=True) == ["pets", "toys", "given classes"]
    assert chosen(["x"], task="pets") == ["pets", "given classes"]
    with pytest.raises(ValueError, match=r"unknown task 'toy'.*toys"):
        chosen(task="toy")
    with pytest.raises(ValueError, match="nothing was learned yet"):
        competing([], classes=None, seen=None, task=None)


def test_calibration_knows_classes_that_were_never_learned():
    values = [3, 5, 8, 55, 61, 64, 31, 33]  # the last two show neither
    labels = LabelSpace("folder", ("CAT", "dog", "stone"))
    pixels = np.array(values, np.uint8)[:, None, None, None].repeat(SIDE, 1).repeat(SIDE, 2)
    data = EvaluationSet(labels, pixels.repeat(3, 3), (0, 0, 0, 1, 1, 1, 2, 2))
    found = classifier().calibrate([data], goal="coverage", target=1.0)
    assert (found.known, found.others, found.accuracy, found.rejected) == (6, 2, 1.0, 1.0)
    assert (found.precision, found.coverage, found.answers) == (1.0, 1.0, 6)
    with pytest.raises(ValueError, match=r"a precision of 95 cannot be reached"):
        classifier().calibrate([data], goal="precision", target=95)


def test_settings_that_decide_the_answers_are_told_apart():
    same = {classifier(top=2).identity, classifier(top=2).identity}
    others = [classifier(top=1), classifier(threshold=0.5), classifier(PETS, TOYS)]
    assert len(same | {one.identity for one in others}) == 4
