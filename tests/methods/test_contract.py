"""What every method keeps; methods are found by their files."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from support import NoiseImages, words

import gift.methods
from gift.config import TrainingSettings
from gift.data.loader import ImageTexts, PreprocessedImages
from gift.methods import Loss, create_method, method_class, method_names
from gift.progress import listening
from gift.runs.checkpoint import Checkpoints
from gift.train import train_task

METHODS = method_names()
TRAINED = [name for name in METHODS if method_class(name).trains]
TASKS = (words("fruit", 3), words("birds", 4))
SETTINGS = TrainingSettings(iterations=4, batch_size=4, learning_rate=1e-3, warmup=1, log_every=1)


def pairs(task: int) -> ImageTexts:
    pixels = np.random.default_rng(task).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    return ImageTexts(pixels, tuple(f"a photo of a {c}." for c in "abcabd"))


def image_sets(model, method, task: int, images) -> dict[str, ImageTexts]:
    """What a learner hands over to a method that asks for it."""
    prompts = TASKS[task].prompts
    every = {
        "synthetic": pairs(task),
        "reference": pairs(9),
        "current": ImageTexts(
            PreprocessedImages(images, model.preprocess),
            tuple(prompts[label] for label in images.labels),
        ),
        "exemplar": method.exemplars(),
    }
    wanted = (*method.streams, *method.sets)
    return {name: every[name] for name in wanted if every[name] is not None}


def learn(model, method, task: int, records=None, settings=SETTINGS, **options):
    images = NoiseImages(9, len(TASKS[task].classnames), seed=task)
    train_task(
        model,
        method,
        TASKS[task],
        images,
        settings,
        sets=image_sets(model, method, task, images),
        seed=0,
        sentences=("a photo of a dog.", "a photo of a car.", "a photo of a tree."),
        record=None if records is None else records.append,
        **options,
    )


def scores(model, method):
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    predictor = method.predictor(model)
    return torch.cat([predictor.scores(pixels, [labels], labels.name) for labels in TASKS], dim=1)


def weights(model):
    return {name: p.detach().clone() for name, p in model.trainable_parameters().items()}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_one_file_with_its_page(name):
    root = Path(gift.methods.__file__).parents[3]
    assert method_class(name).name() == name
    assert method_class(name).__doc__
    for field in method_class(name).Settings.model_fields.values():
        assert field.description
    assert (root / "docs" / "methods" / f"{name}.md").is_file()


@pytest.mark.parametrize("name", TRAINED)
def test_losses_are_finite_and_weights_move(tiny_clip, name):
    method, records = create_method(name), []
    before = weights(tiny_clip)
    for task in range(2):
        learn(tiny_clip, method, task, records)
    assert len(records) == 8
    assert all(np.isfinite(list(r.losses.values())).all() for r in records)
    moved = scores(tiny_clip, method)
    with torch.no_grad():
        for key, parameter in tiny_clip.trainable_parameters().items():
            parameter.copy_(before[key])
    assert (moved - scores(tiny_clip, create_method("zero_shot"))).abs().max() > 1e-3


@pytest.mark.parametrize("name", METHODS)
def test_the_logit_scale_never_moves(tiny_clip, name):
    before = tiny_clip.logit_scale.clone()
    if name in TRAINED:
        learn(tiny_clip, create_method(name), 0)
    assert torch.equal(tiny_clip.logit_scale, before)


@pytest.mark.parametrize("name", TRAINED)
def test_training_twice_gives_the_same_bits(tiny_clip, name):
    twin = copy.deepcopy(tiny_clip)
    methods = create_method(name), create_method(name)
    learn(tiny_clip, methods[0], 0)
    learn(twin, methods[1], 0)
    assert torch.equal(scores(tiny_clip, methods[0]), scores(twin, methods[1]))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_restored_between_tasks_goes_on_as_if_nothing_had_happened(tiny_clip, name):
    method = create_method(name)
    if name in TRAINED:
        learn(tiny_clip, method, 0)
    twin, restored = copy.deepcopy(tiny_clip), create_method(name)
    restored.load_state_dict({k: v.clone() for k, v in method.state_dict().items()})
    if name in TRAINED:
        learn(tiny_clip, method, 1)
        learn(twin, restored, 1)
    assert torch.equal(scores(tiny_clip, method), scores(twin, restored))


class Killed(Exception):
    """What ends the process in a test."""


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("task", [0, 1])
def test_a_method_killed_in_the_middle_of_a_task_goes_on_as_if_nothing_had_happened(
    tiny_clip, name, task, tmp_path
):
    method = create_method(name)
    if task:
        learn(tiny_clip, method, 0)
    twin, restored = copy.deepcopy(tiny_clip), create_method(name)
    restored.load_state_dict({k: v.clone() for k, v in method.state_dict().items()})
    halfway, killed = copy.deepcopy(twin), create_method(name)
    killed.load_state_dict({k: v.clone() for k, v in method.state_dict().items()})

    def kill(stage: str, done: int, total: int) -> None:
        if done == 4:
            raise Killed

    kept = Checkpoints(tmp_path, every_steps=1)
    with pytest.raises(Killed), listening(kill):
        learn(halfway, killed, task, checkpoints=kept)
    learn(tiny_clip, method, task)
    records = []
    learn(twin, restored, task, records, checkpoints=Checkpoints(tmp_path))
    assert [record.step for record in records] == [3]
    assert torch.equal(scores(tiny_clip, method), scores(twin, restored))
    for key, wanted in weights(tiny_clip).items():
        assert torch.equal(weights(twin)[key], wanted), key


def held(value, path=""):
    """Every tensor that an object holds, by its path of attributes and keys."""
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, torch.nn.Module):
        yield from ((f"{path}.{name}", p) for name, p in value.named_parameters())
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from held(item, f"{path}.{key}")
    elif type(value).__module__.startswith("gift.methods"):
        yield from held({k: v for k, v in vars(value).items() if k != "settings"}, path)


def fixed(method):
    """What the method remembers of earlier weights: teachers, anchors, initial models."""
    parts = ("teacher", "anchor", "initial", "partner")
    return {path: t for path, t in held(method) if any(part in path for part in parts)}


@pytest.mark.parametrize("name", TRAINED)
def test_teachers_and_anchors_stay_as_they_were_at_the_start_of_the_task(tiny_clip, name):
    method = create_method(name)
    learn(tiny_clip, method, 0)
    before = {}
    begin = method.begin_task

    def watched(*arguments):
        begin(*arguments)
        before.update({path: tensor.detach().clone() for path, tensor in fixed(method).items()})

    method.begin_task = watched
    learn(tiny_clip, method, 1)
    own = {p.data_ptr() for p in tiny_clip.parameters()}
    for path, tensor in fixed(method).items():
        assert torch.equal(tensor, before[path]), path
        assert tensor.data_ptr() not in own, path
        assert not tensor.requires_grad, path
    if name not in {"finetune", "finetune_individual"}:
        assert before


@pytest.mark.parametrize("name", TRAINED)
def test_prediction_leaves_the_model_alone(tiny_clip, name):
    method = create_method(name)
    learn(tiny_clip, method, 0)
    before = weights(tiny_clip)
    scores(tiny_clip, method)
    assert all(torch.equal(before[key], value) for key, value in weights(tiny_clip).items())


@pytest.mark.parametrize("name", TRAINED)
def test_only_one_graph_is_alive_at_a_time(tiny_clip, name):
    """Losses come one by one, so the next forward pass starts after the last backward pass."""
    method = create_method(name)
    order = []
    losses, backward = method.losses, method.backward

    def watched_losses(*arguments):
        for loss in losses(*arguments):
            order.append("forward")
            yield loss

    def watched_backward(loss: Loss, parameters):
        order.append("backward")
        return backward(loss, parameters)

    method.losses, method.backward = watched_losses, watched_backward
    learn(tiny_clip, method, 0)
    assert order == ["forward", "backward"] * (len(order) // 2)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'finetune'"):
        create_method("fintune")


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'temperature'"):
        create_method("gift", {"temprature": 3})


def test_a_setting_out_of_range_is_refused():
    with pytest.raises(ValueError, match="penalty_weight = -1"):
        create_method("l2", {"penalty_weight": -1})
