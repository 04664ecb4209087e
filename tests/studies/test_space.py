from __future__ import annotations

import pytest

from gift.studies import Interval, parse_space
from gift.studies.space import check_space


def test_a_space_from_the_command_line():
    texts = ["a.b=1e-3,2", "c=0.1..10", "d=true,null,word", "e=1.", "model=../clip,x..y"]
    assert parse_space(texts) == {
        "a.b": [1e-3, 2],
        "c": Interval(0.1, 10.0),
        "d": [True, None, "word"],
        "e": [1.0],
        "model": ["../clip", "x..y"],
    }


@pytest.mark.parametrize("text", ["a", "=1", "a=", "a=1,,2", "a=[1", "a=3..1", "a=0..1", "a=1..1"])
def test_a_space_that_cannot_be_read(text):
    with pytest.raises(ValueError, match=r"KEY=low\.\.high|value|interval"):
        parse_space([text])


def test_a_key_twice_is_refused():
    with pytest.raises(ValueError, match="a is given twice"):
        parse_space(["a=1", "a=2"])


def test_a_grid_of_millions_is_refused_before_it_is_made():
    space = {f"training.setting{number}": list(range(100)) for number in range(4)}
    with pytest.raises(ValueError, match="100,000,000 combinations, more than 10,000"):
        check_space(space, lambda values: pytest.fail("nothing is configured"))
