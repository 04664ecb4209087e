"""What every method keeps; methods are found by their files."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from methods.examples import EXAMPLES
from methods.learning import SETTINGS, TASKS, learn, scores, weights

import gift.methods
from gift.methods import create_method, method_class, method_names
from gift.progress import Progress, listening
from gift.runs.checkpoint import Checkpoints
from gift.vlm import add_adapters, add_branches, remove_adapters, remove_branches

METHODS = method_names()
EVERY = [*METHODS, *EXAMPLES]
"""The library's methods, and one small example of each kind that the contract carries."""

TRAINED = [name for name in METHODS if method_class(name).trains]
LEARNING = [*TRAINED, *EXAMPLES]
STEPPING = [name for name in LEARNING if create_method(name).steps(1)]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_one_file_with_its_page(name):
    root = Path(gift.methods.__file__).parents[3]
    assert method_class(name).name() == name
    assert method_class(name).__doc__
    for field in method_class(name).Settings.model_fields.values():
        assert field.description
    assert (root / "docs" / "methods" / f"{name}.md").is_file()


@pytest.mark.parametrize("name", STEPPING)
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


@pytest.mark.parametrize("name", EVERY)
def test_the_logit_scale_never_moves(tiny_clip, name):
    before = tiny_clip.logit_scale.clone()
    if name in LEARNING:
        learn(tiny_clip, create_method(name), 0)
    assert torch.equal(tiny_clip.logit_scale, before)


@pytest.mark.parametrize("name", LEARNING)
def test_training_twice_gives_the_same_bits(tiny_clip, name):
    twin = copy.deepcopy(tiny_clip)
    methods = create_method(name), create_method(name)
    learn(tiny_clip, methods[0], 0)
    learn(twin, methods[1], 0)
    assert torch.equal(scores(tiny_clip, methods[0]), scores(twin, methods[1]))


@pytest.mark.parametrize("name", EVERY)
def test_a_method_restored_between_tasks_goes_on_as_if_nothing_had_happened(tiny_clip, name):
    method = create_method(name)
    if name in LEARNING:
        learn(tiny_clip, method, 0)
    twin, restored = copy.deepcopy(tiny_clip), create_method(name)
    restored.load_state_dict({k: v.clone() for k, v in method.state_dict().items()})
    if name in LEARNING:
        learn(tiny_clip, method, 1)
        learn(twin, restored, 1)
    assert torch.equal(scores(tiny_clip, method), scores(twin, restored))


class Killed(Exception):
    """What ends the process in a test."""


@pytest.mark.parametrize("name", STEPPING)
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

    def kill(now: Progress) -> None:
        if now.done == 4:
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


@pytest.mark.parametrize("name", LEARNING)
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
    if name in TRAINED and name not in {"finetune", "finetune_individual"}:
        assert before


@pytest.mark.parametrize("name", LEARNING)
def test_prediction_leaves_the_model_alone(tiny_clip, name):
    method = create_method(name)
    learn(tiny_clip, method, 0)
    before = weights(tiny_clip)
    scores(tiny_clip, method)
    assert all(torch.equal(before[key], value) for key, value in weights(tiny_clip).items())


@pytest.mark.parametrize("name", TRAINED)
def test_only_one_graph_is_alive_at_a_time(tiny_clip, name, monkeypatch):
    """A forward pass of the student starts only after the last loss went backward."""
    method, model = create_method(name), tiny_clip
    order, step, encode = [], method.step, model.encode_images

    def watched(model, batch, backward):
        def marked(loss):
            order.append("backward")
            backward(loss)

        order.append("step")
        return step(model, batch, marked)

    def encoding(pixels):
        if torch.is_grad_enabled() and model.training:
            order.append("forward")
        return encode(pixels)

    monkeypatch.setattr(method, "step", watched)
    monkeypatch.setattr(model, "encode_images", encoding)
    learn(model, method, 0)
    assert order.count("step") == 4
    per_loss = [kind for kind in order if kind != "step"]
    assert per_loss == ["forward", "backward"] * (len(per_loss) // 2)


def test_closed_form_takes_no_step_and_leaves_the_model(tiny_clip):
    before, records = weights(tiny_clip), []
    method = create_method("methods.examples:ClassMeans")
    learn(tiny_clip, method, 0, records)
    assert records == []
    assert all(torch.equal(before[key], value) for key, value in weights(tiny_clip).items())


def test_the_predictor_knows_the_classes_learned_so_far(tiny_clip):
    method = create_method("methods.examples:ClassMeans")
    learn(tiny_clip, method, 0)
    plain = scores(tiny_clip, create_method("zero_shot"))
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    unaware = method.predictor(tiny_clip).scores(pixels, TASKS[:1])
    assert torch.equal(unaware, plain[:, :3])
    assert not torch.equal(scores(tiny_clip, method)[:, :3], plain[:, :3])
    assert torch.equal(scores(tiny_clip, method)[:, 3:], plain[:, 3:])


def test_branches_are_computed_as_the_plain_towers_would(tiny_clip_fp64):
    """Everything else is frozen, and no gradient reaches it."""
    model = tiny_clip_fp64
    torch.manual_seed(0)
    made = add_branches(model, lambda width: torch.nn.Linear(width, width).double())
    pixels, tokens = torch.randn(3, 3, 32, 32).double(), model.tokenize(TASKS[0].prompts)
    images = model.towers.get_image_features(pixel_values=pixels).pooler_output
    texts = model.towers.get_text_features(input_ids=tokens).pooler_output
    for found, plain in (
        (model.encode_images(pixels), images),
        (model.encode_texts(tokens), texts),
    ):
        torch.testing.assert_close(found, torch.nn.functional.normalize(plain), rtol=1e-10, atol=0)
    model.encode_images(pixels).sum().backward()
    trained = {id(p) for branch in made.values() for p in branch.parameters()}
    assert {id(p) for p in model.parameters() if p.requires_grad} == trained
    assert {id(p) for p in model.parameters() if p.grad is not None} <= trained
    with pytest.raises(ValueError, match="added modules"):
        model.save_pretrained(Path("nowhere"))
    remove_branches(model)
    assert len(model.trainable_parameters()) == len(weights(tiny_clip_fp64))
    assert not model.has_additions


def test_hooks_on_a_layer_are_seen(tiny_clip_fp64):
    """The fast path does not call layers, so it steps aside where something listens to them."""
    layer, pixels = tiny_clip_fp64.towers.vision_model.encoder.layers[0], torch.randn(2, 3, 32, 32)
    before = tiny_clip_fp64.encode_images(pixels.double())
    layer.mlp.register_forward_hook(lambda module, inputs, output: 2 * output)
    assert not torch.allclose(tiny_clip_fp64.encode_images(pixels.double()), before)


def test_a_selector_guesses_the_task_of_an_image(tiny_clip):
    method = create_method("methods.examples:Branches")
    learn(tiny_clip, method, 0)
    only = scores(tiny_clip, method, task_known=False)
    torch.testing.assert_close(only[:, :3], scores(tiny_clip, method)[:, :3])  # one to guess
    learn(tiny_clip, method, 1)
    assert torch.isfinite(scores(tiny_clip, method, task_known=False)).all()


def test_an_optimiser_of_its_own_with_groups_schedule_and_projection(tiny_clip):
    before, records = weights(tiny_clip), []
    method = create_method("methods.examples:Projected", {"text_factor": 0})
    learn(tiny_clip, method, 0, records, SETTINGS.model_copy(update={"iterations": 1}))
    assert [record.lr for record in records] == [1e-3]  # no warm-up
    for name, parameter in tiny_clip.trainable_parameters().items():
        moved = parameter.detach() - before[name]
        if name.startswith("text"):
            assert not moved.any(), name
        elif parameter.ndim == 2 and moved.any():
            along = (moved * before[name]).sum() / (moved.norm() * before[name].norm())
            assert abs(float(along)) < 1e-3, name


def test_lora_with_a_reciprocal_scale_and_frozen_factors(tiny_clip):
    add_adapters(tiny_clip, rank=4, modules=["fc1"], seed=0, scaling="reciprocal", train=["B"])
    assert tiny_clip.trainable_parameters()
    assert all(".lora_B." in name for name in tiny_clip.trainable_parameters())
    layer = tiny_clip.towers.vision_model.encoder.layers[0].mlp.fc1
    x = torch.randn(2, 32)
    with torch.no_grad():
        layer.lora_B["default"].weight.fill_(0.5)
        product = x @ layer.lora_A["default"].weight.T @ layer.lora_B["default"].weight.T
        torch.testing.assert_close(layer(x), layer.get_base_layer()(x) + product / 4)
    remove_adapters(tiny_clip)
    assert all(p.requires_grad for p in tiny_clip.trainable_parameters().values())


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'finetune'"):
        create_method("fintune")


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'temperature'"):
        create_method("gift", {"temprature": 3})


def test_a_setting_out_of_range_is_refused():
    with pytest.raises(ValueError, match="penalty_weight = -1"):
        create_method("l2", {"penalty_weight": -1})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.at_all:Thing", "cannot be imported"),
        ("methods.examples:Thing", "cannot be imported"),
        ("methods.examples:EXAMPLES", "no subclass of gift.methods.Method"),
    ],
)
def test_a_class_that_is_no_method_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        create_method(name)
