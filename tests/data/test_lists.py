"""General names that do not overlap with a data set's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gift.data import class_list, draw_names, without_overlap

name = st.lists(st.sampled_from(["cat", "Cats", "big", "sea", "lion", "(old)"]), min_size=1).map(
    " ".join
)


@pytest.mark.parametrize(
    ("general", "own", "overlap"),
    [
        ("cat", "cat", True),
        ("Persian cat", "cat", True),
        ("cat", "persian_cat", True),
        ("cats", "cat", True),
        ("sea-lion", "sea lion", True),
        ("crane (bird)", "crane", True),
        ("bobcat", "cat", False),
        ("sea otter", "sea lion", False),
        ("cat and dog", "cat dog", False),
        ("glass", "glasses", False),
    ],
)
def test_overlap_is_of_whole_words(general: str, own: str, overlap: bool) -> None:
    assert (without_overlap([general], [own]) == ()) == overlap
    assert (without_overlap([own], [general]) == ()) == overlap


@given(st.lists(name), st.lists(name), st.lists(name))
def test_more_names_to_avoid_never_free_one(a: list[str], b: list[str], c: list[str]) -> None:
    few, many = without_overlap(a, b), without_overlap(a, [*b, *c])
    assert set(many) <= set(few) <= set(a)
    assert without_overlap(few, b) == few
    assert without_overlap(a, a) == ()


@given(st.lists(st.integers(0, 999).map(str), min_size=1, unique=True), st.integers(1, 30))
def test_a_draw_is_seeded_and_without_return(names: list[str], count: int) -> None:
    drawn = draw_names(names, ["x"], count=count, seed=3)
    assert drawn == draw_names(names, ["x"], count=count, seed=3)
    assert len(drawn) == len(set(drawn)) == min(count, len(names))
    assert list(drawn) == [name for name in names if name in drawn]


def test_another_seed_is_another_draw() -> None:
    names = class_list("imagenet")
    first, second = (draw_names(names, ["cat"], count=100, seed=seed) for seed in (0, 1))
    assert first != second


def test_nothing_left_is_refused() -> None:
    with pytest.raises(ValueError, match="all 2 general names overlap"):
        draw_names(["cat", "big cat"], ["cat"], count=1, seed=0)


@pytest.mark.parametrize(("dataset", "left"), [("cifar100", 854), ("tinyimagenet", 778)])
def test_what_remains_of_imagenet(dataset: str, left: int) -> None:
    assert len(without_overlap(class_list("imagenet"), class_list(dataset))) == left


def test_a_repeated_name_counts_once() -> None:
    assert draw_names(["owl", "fox", "owl"], ["cat"], count=3, seed=0) == ("owl", "fox")
