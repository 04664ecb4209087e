from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import NoiseImages, first_loss, words

from gift.config import TrainingSettings
from gift.data.loader import Batch, ImageTexts
from gift.methods import TaskContext, create_method
from gift.train import train_task
from gift.vlm import pixel_batch

SETTINGS = TrainingSettings(iterations=4, batch_size=4, learning_rate=1e-3, warmup=1)
TASKS = (words("fruit", 5), words("birds", 3))
SENTENCES = ("a photo of a dog.", "a photo of a car.", "the picture of the sea.")
REFERENCE = ImageTexts(np.random.default_rng(1).integers(0, 255, (7, 32, 32, 3), dtype=np.uint8))


def learn(model, method, task):
    images = NoiseImages(11, len(TASKS[task].classnames), seed=task)
    sets = {"reference": REFERENCE} if "reference" in method.streams else {}
    context = TaskContext(TASKS[task], 0.2, sets, SENTENCES)
    train_task(model, method, context, images, SETTINGS)


def weights(model):
    return {name: p.detach().clone() for name, p in model.trainable_parameters().items()}


def begin(model, method, task=0):
    context = TaskContext(TASKS[task], 0.2, {"reference": REFERENCE}, SENTENCES)
    method.begin_task(model, context)
    return context


def slow_distillation(teacher, student, temperature=2.0):
    target = F.softmax(teacher / temperature, dim=1)
    return -(temperature**2) * (target * F.log_softmax(student / temperature, dim=1)).sum(1).mean()


def mean(points):
    return {name: torch.stack([point[name] for point in points]).mean(0) for name in points[0]}


def test_the_teacher_is_the_pre_trained_model_in_every_task(tiny_clip_fp64):
    initial = copy.deepcopy(tiny_clip_fp64)
    method = create_method("zscl")
    learn(tiny_clip_fp64, method, 0)
    learn(tiny_clip_fp64, method, 1)
    begin(tiny_clip_fp64, method)
    pixels, index = pixel_batch(initial, REFERENCE.pixels, range(4)), torch.arange(4)
    loss = first_loss(method, tiny_clip_fp64, {"reference": Batch(pixels, index, index)})

    texts = initial.encode_texts(initial.tokenize(SENTENCES))
    teacher = initial.logit_scale * initial.encode_images(pixels) @ texts.T
    student = initial.logit_scale * tiny_clip_fp64.encode_images(pixels) @ texts.T
    expected = slow_distillation(teacher, student) + slow_distillation(teacher.T, student.T)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(method.state_dict(), weights(initial), rtol=0, atol=0)


def test_the_distillation_reaches_the_image_tower_alone(tiny_clip_fp64):
    method = create_method("zscl")
    begin(tiny_clip_fp64, method)
    pixels, index = pixel_batch(tiny_clip_fp64, REFERENCE.pixels, range(4)), torch.arange(4)
    first_loss(method, tiny_clip_fp64, {"reference": Batch(pixels, index, index)}).backward()
    for name, parameter in tiny_clip_fp64.trainable_parameters().items():
        is_text = name.startswith(("text_model", "text_projection"))
        assert (parameter.grad is None) == is_text, name


def test_without_its_parts_it_is_plain_fine_tuning(tiny_clip_fp64):
    twin = copy.deepcopy(tiny_clip_fp64)
    zscl = create_method(
        "zscl",
        {"penalty_weight": 0.0, "average_every": 0, "row_weight": 0.0, "column_weight": 0.0},
    )
    finetune = create_method("finetune")
    for task in range(2):
        learn(tiny_clip_fp64, zscl, task)
        learn(twin, finetune, task)
    torch.testing.assert_close(weights(tiny_clip_fp64), weights(twin))


def test_the_penalty_pulls_towards_the_weights_before_the_task(tiny_clip_fp64):
    method = create_method("zscl", {"penalty_weight": 0.5, "row_weight": 0.0, "column_weight": 0.0})
    learn(tiny_clip_fp64, method, 0)
    tiny_clip_fp64.zero_grad()
    before = weights(tiny_clip_fp64)
    begin(tiny_clip_fp64, method, 1)
    parameters = tiny_clip_fp64.trainable_parameters()
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.mul_(1.1)
    pixels, labels = pixel_batch(tiny_clip_fp64, REFERENCE.pixels, range(3)), torch.arange(3)
    batches = {"reference": Batch(pixels, labels, labels), "task": Batch(pixels, labels, labels)}
    logged = method.step(tiny_clip_fp64, batches, torch.Tensor.backward)
    own = copy.deepcopy(tiny_clip_fp64)
    own.zero_grad()
    finetune = create_method("finetune")
    finetune.begin_task(own, TaskContext(TASKS[1], 0.2))
    finetune.step(own, batches, torch.Tensor.backward)
    for name, parameter in own.trainable_parameters().items():
        expected = parameter.grad + 2 * 0.5 * (parameter - before[name])
        torch.testing.assert_close(parameters[name].grad, expected)
    distance = sum((parameters[name] - before[name]).square().sum() for name in before)
    torch.testing.assert_close(logged["consolidation"], 0.5 * distance.detach())


@pytest.mark.parametrize(
    ("steps", "every", "counted"),
    [
        (1000, 100, [*range(0, 1000, 100), 999]),
        (901, 100, range(0, 901, 100)),
        (950, 100, [*range(0, 950, 100), 949]),
        (5, 1, range(5)),
        (3, 100, [0, 2]),
    ],
)
def test_the_average_is_the_mean_of_the_recorded_weights(tiny_clip_fp64, steps, every, counted):
    """The start, the weights after steps 0, 100, ..., 900 and the last ones: 12 points of 1000."""
    method = create_method("zscl", {"average_every": every})
    context = begin(tiny_clip_fp64, method)
    parameters = list(tiny_clip_fp64.trainable_parameters().values())
    points, rng = [weights(tiny_clip_fp64)], np.random.default_rng(0)
    for step in range(steps):
        with torch.no_grad():
            torch._foreach_mul_(parameters, float(rng.normal(1, 0.1)))
        method.after_step(tiny_clip_fp64, step)
        if step in counted:
            points.append(weights(tiny_clip_fp64))
    assert len(points) == len(counted) + 1
    method.end_task(tiny_clip_fp64, context)
    torch.testing.assert_close(weights(tiny_clip_fp64), mean(points))


def test_a_task_ends_with_the_average(tiny_clip_fp64):
    method = create_method("zscl", {"average_every": 2})
    points = [weights(tiny_clip_fp64)]
    after_step = method.after_step

    def recorded(model, step):
        points.append(weights(model))
        after_step(model, step)

    method.after_step = recorded
    learn(tiny_clip_fp64, method, 0)
    start, *steps = points
    torch.testing.assert_close(weights(tiny_clip_fp64), mean([start, steps[0], steps[2], steps[3]]))


def test_without_averaging_a_task_ends_with_the_last_weights(tiny_clip):
    method = create_method("zscl", {"average_every": 0})
    points = []
    method.after_step = lambda model, step: points.append(weights(model))
    learn(tiny_clip, method, 0)
    torch.testing.assert_close(weights(tiny_clip), points[-1], rtol=0, atol=0)
