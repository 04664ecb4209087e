"""Merging of task vectors, against the slow and obvious version of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from gift.weights.merging import (
    Rescaler,
    UnifiedVectors,
    decouple,
    pack_mask,
    rescale,
    size,
    task_mask,
    unify,
    unpack_mask,
)

Vector = dict[str, Tensor]
RESCALERS: tuple[Rescaler, ...] = ("tensor_mean", "global_sum")
SHAPES = {"a": (3,), "b": (2, 5), "c": ()}


def vector(draw: st.DrawFn, values: st.SearchStrategy[float]) -> Vector:
    def tensor(shape: tuple[int, ...]) -> Tensor:
        count = torch.Size(shape).numel()
        drawn = draw(st.lists(values, min_size=count, max_size=count))
        return torch.tensor(drawn, dtype=torch.float64).view(shape)

    return {name: tensor(shape) for name, shape in SHAPES.items()}


SMALL = st.integers(-3, 3).map(float)
FLOATS = st.floats(-4, 4, allow_nan=False).map(lambda value: round(value, 3))


@st.composite
def vectors(draw: st.DrawFn, most: int = 5) -> list[Vector]:
    """A few task vectors, with many ties and zeros or with few."""
    values = draw(st.sampled_from([SMALL, FLOATS]))
    return [vector(draw, values) for _ in range(draw(st.integers(1, most)))]


def merged(tasks: Sequence[Vector], rescaler: Rescaler = "tensor_mean") -> UnifiedVectors:
    found = UnifiedVectors(rescaler)
    for task in tasks:
        found.add(task.items())
    return found


def rebuild_and_merge(
    tasks: Sequence[Vector], rescaler: Rescaler
) -> tuple[Vector, list[Vector], list[float]]:
    """Every earlier vector is rebuilt, then all are unified anew (the published procedure)."""
    unified: Vector = {}
    masks: list[Vector] = []
    scales: list[float] = []
    for task in tasks:
        before = [
            {name: decouple(unified[name], mask[name], scale) for name in unified}
            for mask, scale in zip(masks, scales, strict=True)
        ]
        every = [*before, task]
        for name in task:
            total = torch.stack([one[name] for one in every]).sum(dim=0)
            size_of = max(float(one[name].abs().max()) for one in every)
            # Rounding decides a vote of rebuilt values that are opposite to rounding.
            near = (total.abs() < 1e-9 * size_of) & torch.stack(
                [one[name] != 0 for one in before] or [torch.zeros_like(total, dtype=torch.bool)]
            ).any(dim=0)
            assume(len(before) < 2 or not bool(near.any()))
        unified = {name: unify([one[name] for one in every]) for name in task}
        masks = [{name: task_mask(one[name], unified[name]) for name in unified} for one in every]
        scales = [rescale(one, unified, rescaler) for one in every]
    return unified, masks, scales


@given(vectors(), st.sampled_from(RESCALERS))
def test_merging_one_by_one_is_rebuilding_and_merging(
    tasks: list[Vector], rescaler: Rescaler
) -> None:
    unified, masks, scales = rebuild_and_merge(tasks, rescaler)
    found = merged(tasks, rescaler)
    for name in SHAPES:
        torch.testing.assert_close(found.unified[name], unified[name], rtol=1e-12, atol=1e-12)
        for task, mask in enumerate(masks):
            assert torch.equal(found.mask(task, name), mask[name])
    assert found.scales == pytest.approx(scales, rel=1e-12)


@given(vectors(), st.sampled_from(RESCALERS))
def test_a_rebuilt_vector_is_as_large_as_the_task_s(
    tasks: list[Vector], rescaler: Rescaler
) -> None:
    found = merged(tasks, rescaler)
    for number, task in enumerate(tasks):
        rebuilt = found.rebuilt(number)
        if any(bool(found.mask(number, name).any()) for name in SHAPES):
            expected = size(task, rescaler)
            assert size(rebuilt, rescaler) == pytest.approx(expected, rel=1e-12)
        else:
            assert found.scales[number] == 0
            assert size(rebuilt) == 0


@given(vectors())
def test_masks_only_lose_bits(tasks: list[Vector]) -> None:
    found = UnifiedVectors()
    earlier: list[dict[str, Tensor]] = []
    for task in tasks:
        found.add(task.items())
        now = [{name: found.mask(i, name) for name in SHAPES} for i in range(len(found))]
        for old, new in zip(earlier, now, strict=False):
            for name in SHAPES:
                assert bool((old[name] | ~new[name]).all())
        earlier = now


@given(vectors())
def test_a_mask_is_where_the_task_has_the_unified_sign(tasks: list[Vector]) -> None:
    found = merged(tasks)
    newest = len(tasks) - 1
    for name, tensor in tasks[newest].items():
        mask = found.mask(newest, name)
        assert torch.equal(mask, tensor * found.unified[name] > 0)
        assert not bool(mask[tensor == 0].any())


@pytest.mark.parametrize("rescaler", RESCALERS)
@given(vectors(most=1))
def test_one_task_comes_back_exactly(rescaler: Rescaler, tasks: list[Vector]) -> None:
    found = merged(tasks, rescaler)
    for name, tensor in tasks[0].items():
        assert torch.equal(found.rebuilt(0)[name], tensor)
    assert found.scales[0] == (1.0 if size(tasks[0]) else 0.0)


@given(vectors(most=1), st.integers(2, 4))
def test_tasks_that_are_the_same_stay_what_they_are(tasks: list[Vector], times: int) -> None:
    found = merged(tasks * times)
    for number in range(times):
        for name, tensor in tasks[0].items():
            torch.testing.assert_close(found.rebuilt(number)[name], tensor)


@given(vectors(most=1))
def test_of_opposite_tasks_the_negative_values_win(tasks: list[Vector]) -> None:
    """The votes are ties, which count as minus."""
    opposite = {name: -tensor for name, tensor in tasks[0].items()}
    found = merged([tasks[0], opposite])
    for name, tensor in tasks[0].items():
        assert torch.equal(found.unified[name], -tensor.abs())
        assert torch.equal(found.mask(0, name), tensor < 0)
        assert torch.equal(found.mask(1, name), tensor > 0)


@given(st.lists(st.booleans(), max_size=40), st.booleans())
def test_packing_keeps_every_bit(bits: list[bool], in_rows: bool) -> None:
    mask = torch.tensor(bits, dtype=torch.bool)
    if in_rows and len(bits) % 2 == 0:
        mask = mask.view(2, -1)
    packed = pack_mask(mask)
    assert len(packed) == -(-len(bits) // 8)
    assert torch.equal(unpack_mask(packed, mask.shape), mask)


def test_the_two_rescalers_differ() -> None:
    tasks = [
        {"w": torch.tensor([1.0, -2.0, 0.5]), "v": torch.tensor([0.3])},
        {"w": torch.tensor([2.0, 1.0, -0.2]), "v": torch.tensor([-0.4])},
    ]
    by_mean, by_sum = (merged(tasks, rescaler).scales for rescaler in RESCALERS)
    assert by_mean[0] == pytest.approx((3.5 / 3 + 0.3) / (4.5 / 3))
    assert by_sum[0] == pytest.approx(3.8 / 4.5)


def test_query_key_and_value_are_one_tensor() -> None:
    """As in OpenAI's CLIP, whose layout the official code averages over."""
    torch.manual_seed(0)
    fused = [{"attn.in_proj_weight": torch.randn(9, 4), "fc": torch.randn(5)} for _ in range(3)]
    names = [f"attn.{kind}_proj.weight" for kind in "qkv"]
    split = [
        {**dict(zip(names, task["attn.in_proj_weight"].split(3), strict=True)), "fc": task["fc"]}
        for task in fused
    ]
    assert merged(split).scales == pytest.approx(merged(fused).scales, rel=1e-14)
    apart = [{name.replace("_proj", ""): part for name, part in task.items()} for task in split]
    assert merged(split).scales != pytest.approx(merged(apart).scales, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    tasks = [{"w": (1e-4 * torch.randn(50)).to(dtype)} for _ in range(3)]
    found = merged(tasks)
    expected = merged([{"w": task["w"].float()} for task in tasks])
    assert found.unified["w"].dtype == torch.float32
    assert torch.equal(found.unified["w"], expected.unified["w"])
    assert found.scales == expected.scales
    assert unify([task["w"] for task in tasks]).dtype == torch.float32


def test_its_state_comes_back() -> None:
    torch.manual_seed(0)
    tasks = [{"a.w": torch.randn(3, 5), "b": torch.randn(7)} for _ in range(3)]
    found, again = merged(tasks[:2]), UnifiedVectors()
    again.load_state_dict(found.state_dict())
    for one in (found, again):
        one.add(tasks[2].items())
    for key, tensor in found.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key


def test_other_parameters_are_refused() -> None:
    found = merged([{"a": torch.ones(2), "b": torch.ones(1)}])
    with pytest.raises(ValueError, match="no parameter c"):
        found.add({"a": torch.ones(2), "b": torch.ones(1), "c": torch.ones(1)}.items())
    found = merged([{"a": torch.ones(2), "b": torch.ones(1)}])
    with pytest.raises(ValueError, match="lacks 1 parameters, b"):
        found.add({"a": torch.ones(2)}.items())


def test_vectors_are_taken_one_tensor_at_a_time() -> None:
    """So that no second model has to be held: the next tensor is made when one is merged."""
    alive: list[str] = []
    found = UnifiedVectors()

    def lazily(name: str) -> tuple[str, Tensor]:
        assert alive == list(found.unified)
        alive.append(name)
        return name, torch.ones(2)

    found.add(map(lazily, "abc"))
    assert list(found.unified) == ["a", "b", "c"]
