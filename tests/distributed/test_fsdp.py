"""Weights spread over two processes: what one process learns, to the last digits of fp64."""

from __future__ import annotations

import pytest
import torch
from methods.learning import SETTINGS, learn, weights
from methods.test_contract import TRAINED
from safetensors.torch import load_file
from two_processes import SHARDED, learned, together

from gift import distributed
from gift.config import TrainingSettings
from gift.learner import Learner
from gift.methods import create_method
from gift.runs.checkpoint import Checkpoints
from gift.settings import validate
from gift.train import training_device

KEY_BIASES = ("k_proj.bias", "in_proj_bias")
"""Their gradient is rounding alone, which Adam blows up."""
ABLE = {name.split()[0] for name in SHARDED}
SPREAD = SETTINGS.model_copy(update={"shard": True})


@pytest.fixture(scope="module")
def stored(tmp_path_factory, tiny_clip_folder):
    """What two processes with spread weights stored."""
    return together(tmp_path_factory.mktemp("spread"), tiny_clip_folder, "shard")


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        if not key.endswith(KEY_BIASES):
            assert (found[key] - value).norm() <= 1e-10 * value.norm(), key


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARDED)
def test_spread_weights_learn_what_whole_ones_learn(stored, tiny_clip_folder, name):
    alone = learned(name, str(tiny_clip_folder), SHARDED[name])
    for rank in range(2):
        assert_same(load_file(stored / f"{name}-{rank}.safetensors"), alone)


@pytest.mark.slow
def test_other_towers_are_spread_too(stored):
    """SigLIP's have a tensor of one row, which the second process has nothing of."""
    found = load_file(stored / "siglip2-1.safetensors")
    assert_same(found, learned("gift", str(stored / "siglip2")))


@pytest.mark.slow
def test_gradient_checkpointing_changes_nothing(stored, tiny_clip_folder):
    found = load_file(stored / "checkpointing-0.safetensors")
    assert_same(found, learned("gift", str(tiny_clip_folder)))


@pytest.mark.slow
def test_each_process_has_its_part_of_the_weights(stored, tiny_clip_fp64):
    count = sum(p.numel() for p in tiny_clip_fp64.trainable_parameters().values())
    parts = [load_file(stored / f"killed-{rank}.safetensors")["shares"] for rank in range(2)]
    assert len(parts[0]) == SETTINGS.iterations
    assert (sum(parts) == count).all()
    assert (abs(parts[0] - parts[1]) < 0.01 * count).all()


@pytest.mark.slow
def test_a_killed_training_goes_on_with_spread_weights_or_with_one_process(
    stored, tiny_clip_folder, tiny_clip_fp64
):
    before = weights(tiny_clip_fp64)
    wanted = learned("gift", str(tiny_clip_folder), tasks=[0])
    wanted = {key: wanted[key] for key in before}
    killed, resumed = (
        load_file(stored / f"{name}-1.safetensors") for name in ("killed", "resumed")
    )
    assert len(killed.pop("shares")) == 4
    assert len(resumed.pop("shares")) == 1
    assert all(torch.equal(killed[key], value) for key, value in before.items())
    assert_same(resumed, wanted)

    records = []
    kept = Checkpoints(stored / "checkpoint")
    learn(tiny_clip_fp64, create_method("gift"), 0, records, checkpoints=kept)
    assert [record.step for record in records] == [3]
    assert_same(weights(tiny_clip_fp64), wanted)


@pytest.mark.parametrize("name", sorted(set(TRAINED) - ABLE))
def test_methods_that_need_whole_weights_are_refused(tiny_clip, name, monkeypatch):
    monkeypatch.setattr(distributed.processes, "world_size", lambda: 2)
    with pytest.raises(ValueError, match=f"does not go with method {name}"):
        learn(tiny_clip, create_method(name), 0, settings=SPREAD)


def test_ablations_of_gift_that_need_whole_weights_are_refused(tiny_clip, monkeypatch):
    monkeypatch.setattr(distributed.processes, "world_size", lambda: 2)
    with pytest.raises(ValueError, match="does not go with method gift"):
        learn(tiny_clip, create_method("gift", {"consolidation": "ewc_v"}), 0, settings=SPREAD)


def test_a_single_process_is_refused_before_images_are_painted():
    with pytest.raises(ValueError, match=r"but there is one; start several.*torchrun"):
        Learner.from_pretrained(
            "builtin:micro/clip", generator="builtin:micro/diffusion", training={"shard": True}
        )


def test_a_batch_in_parts_is_refused():
    with pytest.raises(ValueError, match=r"accumulate = 2 does not go with training\.shard"):
        validate(TrainingSettings, {"accumulate": 2, "shard": True})


def test_accelerates_own_fsdp_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match=r"set that"):
        training_device()
