from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gift.data.labels import LabelSpace
from gift.metrics import AccuracyMatrix
from gift.text import fill


@given(st.text())
def test_class_names_are_data(name):
    assert fill("a photo of a {}.", name) == "a photo of a " + name + "."


@pytest.mark.parametrize(
    ("classnames", "templates", "message"),
    [
        ((), ("a {}.",), "at least one class name"),
        (("cat", " "), ("a {}.",), "label 1 is empty"),
        (("cat", "dog", "cat"), ("a {}.",), "repeated: 'cat'"),
        (("cat",), (), "at least one template"),
        (("cat",), ("a {}.", "a photo"), "'a photo' has no '{}'"),
    ],
)
def test_wrong_words_are_refused(classnames, templates, message):
    with pytest.raises(ValueError, match=message):
        LabelSpace("pets", classnames, templates)


def test_prompts_use_the_first_template():
    assert LabelSpace("pets", ("cat", "dog"), ("a {}.", "the {}")).prompts == ("a cat.", "a dog.")


def test_a_matrix_survives_its_file():
    setting = {"label_space": "seen", "task_id": "hidden", "split": "test", "draw": 0}
    matrix = AccuracyMatrix(
        "b", 2, ("x", "y"), (90.0, 60.0), setting=setting, images=(10, 20)
    ).with_row([95.0, None])
    assert AccuracyMatrix.from_json(json.loads(json.dumps(matrix.to_json()))) == matrix
    assert matrix.seen_only
    assert not matrix.complete
    assert matrix.with_row([80.0, 90.0]).complete


def test_a_file_of_an_older_version_is_read():
    old = {"benchmark": "b", "version": 1, "tasks": ["x"], "zero_shot": [1.0], "accuracy": [[2.0]]}
    matrix = AccuracyMatrix.from_json(old)
    assert (matrix.images, matrix.setting, matrix.seen_only) == ((), {}, False)
