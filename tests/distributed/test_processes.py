"""Several processes that work together: the same result as one, to the last digits of fp64."""

from __future__ import annotations

import pytest
import torch
from methods.test_contract import TRAINED
from safetensors.torch import load_file
from two_processes import learned, together

from gift import distributed

NOISY = ("k_proj.bias", "method/sizes", "method/scales")
"""The gradient of a key bias is rounding alone, which Adam blows up; the others add it up."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory, tiny_clip_folder):
    """What two processes stored."""
    return together(tmp_path_factory.mktemp("two-processes"), tiny_clip_folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_two_processes_learn_what_one_learns(stored, tiny_clip_folder, name):
    """Batches of 4, 4 and 1 images, 3 and 4 classes: no share is even."""
    alone = learned(name, str(tiny_clip_folder))
    first, second = (load_file(stored / f"{name}-{rank}.safetensors") for rank in range(2))
    for key, wanted in alone.items():
        assert torch.equal(first[key], second[key]), key
        if not key.endswith(NOISY):
            distance = (first[key].double() - wanted.double()).norm()
            assert distance <= 1e-10 * wanted.double().norm(), key


@pytest.mark.slow
def test_balanced_batches_are_those_of_one_process(stored, tiny_clip_folder):
    alone = learned("finetune", str(tiny_clip_folder), balanced=True)
    first, second = (load_file(stored / f"balanced-{rank}.safetensors") for rank in range(2))
    for key, wanted in alone.items():
        assert torch.equal(first[key], second[key]), key
        if not key.endswith(NOISY):
            torch.testing.assert_close(first[key], wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 64])
def test_a_single_process_has_all_rows(count):
    assert distributed.shard(count) == range(count)


def test_shares_cover_all_rows_once(monkeypatch):
    monkeypatch.setattr(distributed.processes, "world_size", lambda: 3)
    for count in range(8):
        shares = [distributed.shard(count, process) for process in range(3)]
        assert [row for share in shares for row in share] == list(range(count))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert len(shares[0]) == max(map(len, shares))
