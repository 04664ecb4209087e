"""The cost model: its numbers by hand, and the page that shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import load_file

ROOT = Path(__file__).parents[1]
cost = load_file(ROOT / "scripts" / "cost.py")


def test_the_formula_of_a_tower_gives_what_was_counted():
    tower = cost.Tower(layers=12, width=768, hidden=3072, tokens=197)
    counted = cost.COUNTED["operations"]["published image only"]
    assert tower.forward == pytest.approx(counted, rel=0.01)


def test_mtil_has_its_images_and_classes():
    tasks = cost.mtil()
    assert tasks.count * tasks.tests == pytest.approx(97_209)
    assert tasks.count * tasks.classes == pytest.approx(1201)


def test_the_stages_of_a_small_sequence_by_hand():
    counted = cost.operations(cost.Tasks(count=2, classes=100, tests=10))
    unit = cost.COUNTED["operations"]
    assert counted["generation"] == 2 * 1000 * 84.4e12
    assert counted["evaluation"] == 3 * 2 * 10 * unit["image only"]  # also before the first task
    step = 128 * unit["image"] + 100 * unit["prompts"]["1000"] / 1000 + unit["captions"]
    assert counted["steps"] == 2 * 1000 * step
    hours = cost.gpu_hours(counted, cost.RATES[1])
    assert hours["generation"] == pytest.approx(2000 * 84.4e12 / (0.3 * 989e12) / 3600)
    assert hours["evaluation"] == pytest.approx(counted["evaluation"] / (0.6 * 67e12) / 3600)


def test_a_step_has_the_operations_that_the_benchmark_counted():
    """The counted step of 100 classes; a class is a little cheaper among more."""
    one = cost.operations(cost.Tasks(count=1, classes=100, tests=0))["steps"] / 1000
    rows = {row["what"]: row for row in cost.COUNTED["rows"]}
    counted = rows["operations of a step, 100 classes"]["ours"] * 1e12
    assert one == pytest.approx(counted, rel=0.01)


def test_sharded_weights_divide_what_belongs_to_weights_alone():
    whole = [cost.big_memory(n, shard=False, checkpointing=True) for n in (1, 8)]
    sharded = cost.big_memory(8, shard=True, checkpointing=True)
    assert pytest.approx(2.53e9, rel=0.01) == cost.BIG
    assert min(whole) > 24 * cost.BIG
    assert sharded - whole[1] == pytest.approx(-24 * cost.BIG * 7 / 8 + 12 * 49408 * 1280)


def test_traffic_of_a_pair_of_processes():
    assert cost.big_traffic(1, shard=True) == 0
    assert cost.big_traffic(2, shard=True) == 12 * cost.BIG
    assert cost.big_traffic(2, shard=False) == 8 * cost.BIG


@pytest.mark.parametrize("heading", cost.tables())
def test_the_page_shows_the_tables(heading):
    """If this fails: copy what scripts/cost.py prints."""
    page = (ROOT / "docs" / "large-scale.md").read_text(encoding="utf-8")
    assert cost.tables()[heading] in page
