"""What is said beforehand of work: what it is, and how long it takes."""

from __future__ import annotations

import copy
import os

import pytest
import torch
from support import write_folder

from gift import Learner, Task
from gift.cli.options import confirmed
from gift.commands import preview_learning, preview_synthesis
from gift.commands.planning import plan_learning, with_timings
from gift.config import LearnerConfig
from gift.data import Paths
from gift.distributed import DEVICE, device
from gift.estimate import LONG, Plan, Timings, timed
from gift.methods import method_names
from gift.settings import validate

QUICK = {
    "training": {"iterations": 3, "batch_size": 4, "learning_rate": 1e-3, "warmup": 1},
    "synthesis": {"images": 5, "steps": 2, "batch_size": 3},
}


@pytest.fixture
def colours(tmp_path):
    return Task.from_folder(write_folder(tmp_path / "colours"))


@pytest.fixture
def settings(tiny_clip_folder, tiny_pipeline_folder):
    generator = {"generator": str(tiny_pipeline_folder)}
    return {
        "model": str(tiny_clip_folder),
        **QUICK,
        "synthesis": QUICK["synthesis"] | generator,
    }


@pytest.mark.parametrize("method", method_names())
def test_timing_leaves_no_trace(tiny_clip_folder, colours, tmp_path, method):
    settings = {"training": QUICK["training"], "reference": {"source": str(tmp_path / "colours")}}
    paths = Paths.of(tmp_path / "home")
    learner = Learner.from_pretrained(tiny_clip_folder, method=method, paths=paths, **settings)
    before = copy.deepcopy(dict(learner.model.state_dict()))
    random = torch.get_rng_state()
    found = timed(learner, colours, generates=False)
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in learner.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not learner.model.training
    assert all(p.grad is None for p in learner.model.parameters())
    assert found.classified > 0
    assert (found.step > 0) == (learner.method.trains and learner.method.steps(3) > 0)
    assert found.memory > 0


def test_a_preview_says_what_would_be_done_and_writes_nothing(colours, settings, tmp_path, paths):
    learner = tmp_path / "learner"
    plan = preview_learning(learner, colours, settings, paths=paths)
    assert not learner.exists()
    assert (plan.images, plan.generate, plan.stored, plan.steps) == (8, 5, 0, 3)
    assert plan.timings.generated > 0
    lines = "\n".join(plan.lines())
    assert "Training:   8 images, 3 steps of 4" in lines
    assert "5 images to generate" in lines
    assert "Time:       about" in lines
    assert plan.is_short


def test_a_preview_skips_bad_images_as_learning_does(colours, settings, tmp_path, paths):
    (tmp_path / "colours" / "red" / "cut.png").write_bytes(b"\x89PNG")
    task = Task.from_folder(tmp_path / "colours", on_bad_image="skip")
    assert preview_learning(tmp_path / "learner", task, settings, paths=paths).images == 8


def test_what_has_to_be_downloaded_is_said_and_not_fetched(colours, tmp_path, paths, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", _no_answer)
    plan = preview_learning(tmp_path / "learner", colours, {}, paths=paths)
    assert [one.split(" ")[0] for one in plan.downloads] == [
        "openai/clip-vit-base-patch16",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
    ]
    assert plan.timings is None
    assert not plan.is_short
    (only,) = preview_learning(
        tmp_path / "learner", colours, {"method": "finetune"}, paths=paths
    ).downloads
    assert only.startswith("openai/")


def _no_answer(*arguments, **options):
    raise ConnectionError("no network")


def test_several_processes_time_nothing(colours, settings, tmp_path, paths, monkeypatch):
    """Each would find other times, and one of them might refuse what another begins."""
    monkeypatch.setattr("gift.distributed.world_size", lambda: 2)
    learner = Learner(validate(LearnerConfig, settings), paths=paths)
    plan = plan_learning(learner, colours)
    assert with_timings(plan, learner, colours) is plan
    assert not plan.is_long


def test_synthesis_is_previewed(tiny_pipeline_folder, tmp_path):
    settings = {"generator": str(tiny_pipeline_folder), "images": 3, "steps": 2}
    plan = preview_synthesis(tmp_path / "images", ["cat"], settings)
    assert (plan.generate, plan.stored, plan.method) == (3, 0, None)
    assert 0 < plan.seconds["generating"] < LONG
    assert not (tmp_path / "images").exists()


def test_more_than_an_hour_on_a_cpu_is_not_begun_unasked(monkeypatch):
    slow = Timings(step=10.0)
    plan = Plan(device="cpu (2 threads)", steps=1000, timings=slow)
    assert plan.is_long
    with pytest.raises(ValueError, match=r"nothing was begun: it takes about 2\.8 h.*--yes"):
        confirmed(plan, yes=False)
    confirmed(plan, yes=True)
    confirmed(Plan(device="cuda:0 (H100)", steps=1000, timings=slow), yes=False)
    confirmed(Plan(device="cpu (2 threads)", steps=10, timings=slow), yes=False)


def test_the_device_can_be_named(monkeypatch):
    monkeypatch.setenv(DEVICE, "cpu")
    assert device() == torch.device("cpu")
    monkeypatch.setenv(DEVICE, "cuda:9")
    with pytest.raises(ValueError, match=r"'cuda:9' is not on this machine, which has cpu"):
        device()


def test_an_option_names_the_device_for_its_command_alone(tmp_path, capsys):
    from gift.cli import main

    before = os.environ.get(DEVICE)
    with pytest.raises(SystemExit):
        main(["predict", str(tmp_path), "photo.jpg", "--device", "abacus"])
    assert os.environ.get(DEVICE) == before
