"""The training loop: resuming, averaging, the learning rate."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gift_micro.training import Schedule, fit, torch_threads

SCHEDULE = Schedule(
    steps=12, batch=8, learning_rate=0.05, warmup=3, weight_decay=0.1, average=0.9,
    checkpoint_every=5,
)  # fmt: skip


def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))


def trained(folder: Path, *, break_at: int | None = None, schedule: Schedule = SCHEDULE) -> Tensor:
    """The weights after a training that is interrupted before a step, if wanted, and resumed."""
    network, calls = model(), 0

    def loss(generator: torch.Generator) -> Tensor:
        nonlocal calls
        if calls == break_at:
            raise KeyboardInterrupt
        calls += 1
        inputs = torch.randn(8, 3, generator=generator)
        error: Tensor = (network(inputs) - inputs.sum(dim=1, keepdim=True)).square().mean()
        return error

    checkpoint = folder / "checkpoint.safetensors"
    if break_at is not None:
        with pytest.raises(KeyboardInterrupt):
            fit(network, loss, schedule, seed=1, checkpoint=checkpoint, stage="test")
        network, break_at = model(), None
    fit(network, loss, schedule, seed=1, checkpoint=checkpoint, stage="test")
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("break_at", [4, 5, 11])
def test_a_resumed_training_ends_with_the_same_weights(tmp_path: Path, break_at: int) -> None:
    whole = trained(tmp_path / "whole")
    assert not torch.equal(whole, torch.cat([p.detach().flatten() for p in model().parameters()]))
    assert torch.equal(whole, trained(tmp_path / "broken", break_at=break_at))


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    whole = trained(tmp_path)
    assert torch.equal(whole, trained(tmp_path, break_at=None))


def test_the_average_is_the_result(tmp_path: Path) -> None:
    last = Schedule(steps=12, batch=8, learning_rate=0.05, warmup=3, weight_decay=0.1)
    averaged, plain = trained(tmp_path / "a"), trained(tmp_path / "b", schedule=last)
    assert not torch.allclose(averaged, plain)
    torch.testing.assert_close(averaged, plain, atol=0.2, rtol=0)


def test_the_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    rates = [SCHEDULE.rate(step) for step in range(SCHEDULE.steps + 1)]
    assert rates[:3] == pytest.approx([0.05 / 3, 0.1 / 3, 0.05])
    assert max(rates) == pytest.approx(0.05)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(0.0)


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
