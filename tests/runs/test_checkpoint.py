"""Checkpoints of a training: whole, checked, and two of them."""

from __future__ import annotations

import logging
import os
import signal

import pytest
import torch
from methods.learning import learn, weights

from gift.distributed.signals import deferred
from gift.methods import create_method
from gift.progress import Progress, listening
from gift.runs.checkpoint import Checkpoints
from gift.runs.manifest import Manifest


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"weights/a": torch.full((3,), value), "optimizer/step/a": torch.tensor(value)}


def test_the_newest_checkpoint_comes_back(tmp_path):
    (tmp_path / "checkpoint" / "step-0000005.new").mkdir(parents=True)  # of a killed process
    kept = Checkpoints(tmp_path / "checkpoint")
    assert kept.newest() is None
    for step in (10, 20, 30):
        kept.keep(step, tensors(step))
    newest = Checkpoints(tmp_path / "checkpoint").newest()
    assert newest.step == 30
    assert all(torch.equal(newest.tensors[key], t) for key, t in tensors(30).items())
    assert len(list((tmp_path / "checkpoint").iterdir())) == 2


FIRST, SECOND = Manifest(settings="rate 1"), Manifest(settings="rate 2", tasks=("birds",))


def test_checkpoints_of_another_training_are_skipped(tmp_path, caplog):
    Checkpoints(tmp_path, FIRST).keep(10, tensors(10))
    with caplog.at_level(logging.WARNING):
        assert Checkpoints(tmp_path, SECOND).newest() is None
    assert "step-0000010 is of other settings, tasks; it is skipped" in caplog.text
    assert Checkpoints(tmp_path, FIRST).newest().step == 10


def test_checkpoints_of_another_training_do_not_push_new_ones_out(tmp_path):
    for step in (15, 20):
        Checkpoints(tmp_path, FIRST).keep(step, tensors(step))
    kept = Checkpoints(tmp_path, SECOND)
    for step in (5, 10):
        kept.keep(step, tensors(step))
        assert Checkpoints(tmp_path, SECOND).newest().step == step
    assert len(list(tmp_path.iterdir())) == 2


def test_a_resumed_training_keeps_the_checkpoint_that_it_began_with(tmp_path):
    Checkpoints(tmp_path).keep(10, tensors(10))
    kept = Checkpoints(tmp_path)
    kept.newest()
    kept.keep(20, tensors(20))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000010", "step-0000020"]


@pytest.mark.parametrize("damage", ["cut", "altered", "no json", "no tensors", "no manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, caplog, damage):
    kept = Checkpoints(tmp_path)
    for step in (10, 20):
        kept.keep(step, tensors(step))
    newest = tmp_path / "step-0000020"
    file, manifest = newest / "state.safetensors", newest / "manifest.json"
    content = bytearray(file.read_bytes())
    match damage:
        case "cut":
            file.write_bytes(content[:-5])
        case "altered":
            content[-1] ^= 1
            file.write_bytes(content)
        case "no json":
            manifest.write_text("{")
        case "no tensors":
            file.unlink()
        case "no manifest":  # a removal that was cut short
            manifest.unlink()
    with caplog.at_level(logging.WARNING):
        assert kept.newest().step == 10
    assert str(newest) in caplog.text


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path)
    kept.keep(10, tensors(10))

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gift.runs.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        kept.keep(20, tensors(20))
    assert kept.newest().step == 10


def test_checkpoints_come_by_steps_and_by_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    by_steps = Checkpoints(tmp_path, every_steps=3, every_minutes=0)
    assert [step for step in range(1, 10) if by_steps.is_due(step)] == [3, 6, 9]
    by_time = Checkpoints(tmp_path, every_minutes=10)
    assert not by_time.is_due(1)
    now[0] = 601.0
    assert by_time.is_due(2)
    by_time.keep(2, tensors(2))
    assert not by_time.is_due(3)


@pytest.fixture
def default_handlers():
    """Ctrl-C as in a terminal: a process started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_a_training_keeps_a_checkpoint_and_resumes(
    tiny_clip, tmp_path, number, default_handlers
):
    method, kept = create_method("finetune"), Checkpoints(tmp_path, every_minutes=0)

    def ask(now: Progress) -> None:
        if now.done == 2:
            os.kill(os.getpid(), number)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), listening(ask):
        learn(tiny_clip, method, 0, checkpoints=kept)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    newest = kept.newest()
    assert newest.step == 2
    for name, parameter in weights(tiny_clip).items():
        assert torch.equal(newest.tensors[f"weights/{name}"], parameter)


def stop_twice(number):
    """How many of two signals the block lives through."""
    lived = 0
    with deferred() as is_asked_to_stop:
        for _ in range(2):
            os.kill(os.getpid(), number)
            lived += is_asked_to_stop()
            assert lived < 2 or number == signal.SIGTERM
    return lived


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_acts_at_once_a_second_sigterm_does_not(default_handlers, number):
    with pytest.raises(KeyboardInterrupt):
        stop_twice(number)


def ends_with_a_signal():
    with deferred():
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_the_block_did_not_notice_acts_at_its_end(default_handlers):
    with pytest.raises(KeyboardInterrupt):
        ends_with_a_signal()
