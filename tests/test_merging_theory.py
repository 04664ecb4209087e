"""Two claims of ConDU's theory on random task vectors, see docs/methods/condu_theory.md."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import fmean

import pytest
import torch
from support import load_file

from gift.weights.merging import Rescaler, unify

script = load_file(Path(__file__).parents[1] / "scripts" / "condu_theory.py")
KINDS = (script.normal, script.correlated, script.sparse)
DENSE = KINDS[:2]
RESCALERS: tuple[Rescaler, ...] = ("tensor_mean", "global_sum")

every_kind = pytest.mark.parametrize("kind", KINDS)
both_rescalers = pytest.mark.parametrize("rescaler", RESCALERS)


@every_kind
@both_rescalers
def test_repeated_merging_never_changes_a_mask(kind, rescaler):
    """First claim: masks are settled after one round."""
    found = script.rounds(kind(5, seed=0), rescaler, 20)
    assert sum(one.flipped for one in found) == 0


@every_kind
@both_rescalers
def test_repeated_merging_shrinks_the_unified_vector(kind, rescaler):
    """First claim, the reason for rest: no scale above 1 after round 1, so nothing grows."""
    first, *later = script.rounds(kind(5, seed=0), rescaler, 20)
    assert first.largest != pytest.approx(1, abs=1e-3)
    for one in later:
        assert one.largest == pytest.approx(1, abs=1e-12)
    assert all(one.growth <= 1 + 1e-12 for one in later[1:])


@every_kind
@both_rescalers
def test_repeated_merging_comes_to_rest(kind, rescaler):
    """First claim: what 40 more rounds do is little, and less than a third of the 40 before."""
    start, half, end = (
        merged.rebuilt
        for number, merged in zip(range(81), script.merge_again(kind(5, 0), rescaler), strict=False)
        if number in {0, 40, 80}
    )
    before = fmean(map(script.change, half, start))
    after = fmean(map(script.change, end, half))
    assert after < 3e-3
    assert after < before / 3


def test_sparse_vectors_reach_a_fixed_point():
    """First claim: merging the rebuilt vectors gives them back."""
    for merged in script.merge_again(script.sparse(4, 0), "tensor_mean"):
        again = script.merge(merged.rebuilt, "tensor_mean")
        if max(map(script.change, again.rebuilt, merged.rebuilt)) < 1e-15:
            break
    for name, tensor in again.unified.items():
        scales = [mask[name] * scale for mask, scale in zip(again.masks, again.scales, strict=True)]
        largest = torch.stack(scales).amax(dim=0)[tensor.abs() > 1e-9]
        torch.testing.assert_close(largest, torch.ones_like(largest))


def test_rest_may_be_reached_slowly():
    """What the first claim does not say: how fast. Here the way left is 2 / rounds."""
    vectors = [{"w": torch.tensor([1.0, 1.0]).double()}, {"w": torch.tensor([2.0, 0.0]).double()}]
    for number, merged in zip(
        range(1, 60), script.merge_again(vectors, "global_sum"), strict=False
    ):
        torch.testing.assert_close(
            merged.unified["w"], torch.tensor([2, 2 / (number + 1)]).double()
        )


@pytest.mark.parametrize("kind", DENSE)
@pytest.mark.parametrize("arrivals", [script.arrivals, script.arrivals_at_once])
def test_one_more_task_changes_the_others_less_the_more_there_are(kind, arrivals):
    """Second claim, for vectors without zeros and up to eight tasks: mean over three seeds."""
    changes, lost = means(kind, arrivals, tasks=8)
    for values in (changes, lost):
        assert all(later < earlier * 1.005 for earlier, later in pairwise(values))
        assert values[-1] < 0.7 * values[0]


def test_in_sparse_vectors_fewer_bits_are_lost_but_the_change_stays():
    """Second claim: of the mask bits it holds, of the change it does not show in 16 tasks."""
    changes, lost = means(script.sparse, script.arrivals, tasks=16)
    assert fmean(lost[-4:]) < 0.85 * fmean(lost[:4])
    assert fmean(changes[-4:]) > 0.7 * fmean(changes[:4])


def test_the_second_task_changes_the_first_alike_in_both_ways_of_merging():
    vectors = script.normal(2, 0)
    (one,) = script.arrivals(vectors, "tensor_mean")
    (other,) = script.arrivals_at_once(vectors, "tensor_mean")
    assert one.lost == other.lost
    assert one.change == pytest.approx(other.change, rel=1e-12)
    assert one.off_own == pytest.approx(one.change, rel=1e-12)  # a single task is its own vector


def test_the_random_vectors_are_what_they_are_called():
    a, b = script.correlated(2, 0)
    pair = torch.stack([a["wide"].flatten(), b["wide"].flatten()])
    assert float(torch.corrcoef(pair)[0, 1]) == pytest.approx(0.5, abs=0.03)
    (sparse,) = script.sparse(1, 0)
    assert float((sparse["wide"] != 0).double().mean()) == pytest.approx(0.1, abs=0.01)
    assert float((sparse["narrow"] != 0).double().mean()) == pytest.approx(0.1, abs=0.015)
    assert unify([sparse["wide"]]).equal(sparse["wide"])


def means(kind, arrivals, tasks):
    """The mean change and the mean share of lost bits over three seeds, by tasks before."""
    runs = [arrivals(kind(tasks, seed), "tensor_mean") for seed in (0, 1, 2)]
    by_count = list(zip(*runs, strict=True))
    return (
        [fmean(one.change for one in same) for same in by_count],
        [fmean(one.lost for one in same) for same in by_count],
    )
