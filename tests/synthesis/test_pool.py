from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gift.data.labels import LabelSpace
from gift.synthesis import build_pool, plan

PETS = LabelSpace("pets", ("cat", "dog"), ("a photo of a {}, a type of pet.", "a {}."))
CARS = LabelSpace("cars", ("vw", "dog"), ("a {} car.",))
POOL = tuple(f"a photo of a {i}." for i in range(10))


def test_pool_is_a_multiset_of_first_template_prompts():
    pool = build_pool(["cat", "missile", "missile"], [PETS, PETS])
    assert Counter(pool) == {
        "a photo of a cat.": 1,
        "a photo of a missile.": 2,
        "a photo of a cat, a type of pet.": 2,
        "a photo of a dog, a type of pet.": 2,
    }


def test_base_template_and_empty_base():
    assert build_pool(["cat"], [], base_template="{}!") == ("cat!",)
    assert build_pool([], [CARS]) == ("a vw car.", "a dog car.")


def test_excluded_names_are_left_out_wherever_they_stand():
    assert build_pool(["cat", "fox"], [PETS, CARS], exclude=["cat", "dog"]) == (
        "a photo of a fox.",
        "a vw car.",
    )


def test_an_excluded_task_means_its_own_prompts():
    pool = build_pool(["cat", "fox"], [PETS, CARS], exclude=["pets"])
    assert pool == ("a photo of a cat.", "a photo of a fox.", "a vw car.", "a dog car.")


def test_the_plain_template_replaces_that_of_every_task():
    assert build_pool(["cat"], [CARS], plain_template=True) == (
        "a photo of a cat.",
        "a photo of a vw.",
        "a photo of a dog.",
    )


def test_the_plain_template_reads_underscores_as_spaces():
    fish = LabelSpace("step 1", ("aquarium_fish",), ("a bad photo of a {}.",))
    assert build_pool([], [fish], plain_template=True) == ("a photo of a aquarium fish.",)
    assert build_pool([], [fish]) == ("a bad photo of a aquarium_fish.",)


def test_a_task_may_have_another_template_for_its_prompts():
    pool = build_pool(["cat"], [PETS, CARS], templates={"cars": "a drawing of a {}."})
    assert pool[-2:] == ("a drawing of a vw.", "a drawing of a dog.")
    assert pool[:-2] == build_pool(["cat"], [PETS])


def test_names_are_never_format_strings():
    assert build_pool(["a {0} {x} %s"], []) == ("a photo of a a {0} {x} %s.",)


names = st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True)


@given(base=st.lists(st.sampled_from("abcdefgh")), tasks=st.lists(names, min_size=2, max_size=4))
def test_no_class_of_the_coming_task_unless_shared(base, tasks):
    spaces = [LabelSpace(str(i), tuple(classes)) for i, classes in enumerate(tasks)]
    *seen, coming = spaces
    pool = build_pool(base, seen)
    shared = set(base) | {name for space in seen for name in space.classnames}
    for name, prompt in zip(coming.classnames, coming.prompts, strict=True):
        assert (prompt in pool) == (name in shared)
    assert len(pool) == len(base) + sum(len(space.classnames) for space in seen)


@given(
    small=st.integers(1, 60),
    more=st.integers(0, 60),
    task=st.integers(1, 50),
    seed=st.integers(0, 2**31),
    size=st.integers(1, 3000),
)
def test_smaller_sets_are_prefixes(small, more, task, seed, size):
    pool = [str(i) for i in range(size)]
    large = plan(pool, task_index=task, count=small + more, seed=seed)
    assert plan(pool, task_index=task, count=small, seed=seed) == large[:small]


@pytest.mark.parametrize(
    ("task", "index", "seed", "expected"),
    [(2, 1, 42, 420_000_001), (1, 1, 42, 419_900_001), (3, 1000, 42, 420_101_000), (2, 7, 0, 7)],
)
def test_image_seed(task, index, seed, expected):
    planned = plan(POOL, task_index=task, count=index, seed=seed)
    assert (planned[-1].index, planned[-1].seed) == (index, expected)


def test_tasks_and_seeds_draw_differently():
    draws = {
        tuple(image.prompt for image in plan(POOL, task_index=task, count=30, seed=seed))
        for task in (1, 2, 3)
        for seed in (42, 43)
    }
    assert len(draws) == 6


def test_draws_are_uniform_with_replacement():
    planned = plan(POOL, task_index=1, count=5000)
    observed = np.array([Counter(image.prompt for image in planned)[prompt] for prompt in POOL])
    chi_square = float((((observed - 500) ** 2) / 500).sum())
    assert 2.1 < chi_square < 21.7  # the inner 98 % for 9 degrees of freedom


def test_repeated_prompts_weigh_more():
    planned = plan(("a", "a", "a", "b"), task_index=1, count=4000)
    assert sum(image.prompt == "a" for image in planned) == pytest.approx(3000, abs=100)


def test_the_draw_never_changes():
    """Recorded: stored sets are found again only as long as the plan stays what it is."""
    planned = plan(POOL, task_index=2, count=8)
    assert [POOL.index(image.prompt) for image in planned] == [2, 3, 0, 1, 2, 5, 6, 9]


@pytest.mark.parametrize(
    "values", [{"task_index": 0}, {"count": 0}, {"seed": -1}, {"pool": ()}], ids=str
)
def test_refused(values):
    arguments = {"pool": POOL, "task_index": 1, "count": 1, "seed": 42} | values
    with pytest.raises(ValueError, match=r"must be 1 or more|no class names"):
        plan(arguments.pop("pool"), **arguments)
