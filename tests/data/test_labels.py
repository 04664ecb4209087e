from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gift.data.labels import LabelSpace, grown, rivals, tasks_of
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
def test_wrong_names_are_refused(classnames, templates, message):
    with pytest.raises(ValueError, match=message):
        LabelSpace("pets", classnames, templates)


def test_prompts_use_the_first_template():
    assert LabelSpace("pets", ("cat", "dog"), ("a {}.", "the {}")).prompts == ("a cat.", "a dog.")


def test_a_task_grows_by_what_extends_it():
    pets, food = LabelSpace("pets", ("cat", "dog"), ("a {}",)), LabelSpace("food", ("pie",))
    more = LabelSpace("more", ("dog", "rat"), ("a {}",), extends="pets")
    last = LabelSpace("last", ("bat",), extends="pets")
    whole = LabelSpace("pets", ("cat", "dog", "rat", "bat"), ("a {}",))
    assert tasks_of([pets, food, more, last]) == (whole, food)
    assert grown(last, [pets, food, more]) == whole
    assert grown(food, [pets]) == food
    assert rivals(last, [pets, food, more]) == [pets, more]
    assert rivals(food, [pets, more]) == [pets, more]
    assert rivals(pets, [food]) == []
    assert LabelSpace(**more.as_dict()) == more
    assert "extends" not in pets.as_dict()
