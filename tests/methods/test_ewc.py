from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from support import NoiseImages, first_loss, words
from torch import Tensor

from gift import weights as consolidation
from gift.config import TrainingSettings
from gift.data.loader import Batch, ImageTexts, PreprocessedImages
from gift.methods import TaskContext, create_method
from gift.train import train_task
from gift.vlm import pixel_batch

SETTINGS = TrainingSettings(iterations=3, batch_size=4, learning_rate=1e-3, warmup=1)
TASKS = (words("fruit", 5), words("birds", 3))


def context(model, task, *, seed=0):
    labels = TASKS[task]
    images = NoiseImages(11, len(labels.classnames), seed=task)
    current = ImageTexts(
        PreprocessedImages(images, model.preprocess),
        tuple(labels.prompts[i] for i in images.labels),
    )
    return TaskContext(labels, 0.2, {"current": current}, seed=seed)


def learn(model, method, task):
    images = NoiseImages(11, len(TASKS[task].classnames), seed=task)
    own = context(model, task) if method.sets else TaskContext(TASKS[task], 0.2)
    train_task(model, method, own, images, SETTINGS)


def weights(model):
    return {name: p.detach().clone() for name, p in model.trainable_parameters().items()}


def fisher(model, task=0, *, seed=0, **settings):
    """The Fisher weights of one task, the model being as it is."""
    method = create_method("ewc", settings)
    method.end_task(model, context(model, task, seed=seed))
    return method.state_dict()


def slow_squares(model, task=0):
    """The mean over all images of the squared gradient of log p(true class), image by image."""
    labels, images = TASKS[task], NoiseImages(11, len(TASKS[task].classnames), seed=task)
    parameters = model.trainable_parameters()
    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for position, label in enumerate(images.labels):
        array = torch.from_numpy(model.preprocess.test_array(images[position]))
        image = model.encode_images(model.preprocess.normalize(array[None]))
        texts = model.encode_texts(model.tokenize(labels.prompts))
        likelihood = torch.softmax(model.logit_scale * image @ texts.T, dim=1)[0, label].log()
        for name, g in zip(parameters, torch.autograd.grad(likelihood, parameters.values())):
            total[name] += g**2 / len(images)
    return total


def without_key_biases(values):
    """Their gradient is zero in exact arithmetic, so only rounding noise could be compared."""
    return {name: v for name, v in values.items() if not name.endswith("k_proj.bias")}


def test_the_fisher_is_the_mean_of_squared_gradients_per_image(tiny_clip_fp64):
    found = fisher(tiny_clip_fp64, fisher_normalization="none")
    torch.testing.assert_close(
        without_key_biases(found), without_key_biases(slow_squares(tiny_clip_fp64))
    )


@pytest.mark.parametrize("mode", ["fused", "tensor"])
def test_the_fisher_is_normalised_after_the_mean_over_images(tiny_clip_fp64, mode):
    expected = slow_squares(tiny_clip_fp64)
    for group in consolidation.normalization_groups(expected, mode):
        together = torch.cat([expected[name].flatten() for name in group]).mean()
        for name in group:
            expected[name] /= together
    found = fisher(tiny_clip_fp64, fisher_normalization=mode)
    torch.testing.assert_close(without_key_biases(found), without_key_biases(expected))


def test_the_normalised_weights_of_a_group_sum_to_its_size(tiny_clip_fp64):
    found = fisher(tiny_clip_fp64)
    for group in consolidation.normalization_groups(found):
        total = sum(float(found[name].sum()) for name in group)
        assert total == pytest.approx(sum(found[name].numel() for name in group))


def test_normalising_first_would_be_another_fisher(tiny_clip_fp64):
    """EWC-V normalises each gradient and averages afterwards; the classic order is the other."""
    generator = torch.Generator().manual_seed(0)
    gradients = [
        {"a": scale * torch.randn(5, generator=generator, dtype=torch.float64)}
        for scale in (1.0, 10.0)
    ]
    after = consolidation.empirical_fisher(gradients, [("a",)])["a"]
    first = consolidation.mean_fisher(gradients, [("a",)])["a"]
    squares = (gradients[0]["a"] ** 2 + gradients[1]["a"] ** 2) / 2
    torch.testing.assert_close(after, squares / squares.mean())
    assert not torch.allclose(after, first)


def test_a_part_without_gradient_gets_no_weight_and_no_nan():
    gradients = [{"a": torch.zeros(3), "b": torch.ones(2)}] * 2
    found = consolidation.empirical_fisher(gradients, [("a",), ("b",)])
    assert found["a"].tolist() == [0, 0, 0]
    torch.testing.assert_close(found["b"], torch.ones(2))


def test_the_drawn_images_follow_the_seed(tiny_clip):
    def key(**settings):
        return fisher(tiny_clip, **settings)["visual_projection.weight"]

    assert torch.equal(key(fisher_images=3), key(fisher_images=3))
    assert not torch.equal(key(fisher_images=3), key(fisher_images=3, seed=1))
    torch.testing.assert_close(key(), key(seed=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decay", [1.0, 0.5, 0.0])
def test_the_fisher_is_summed_over_tasks(tiny_clip_fp64, decay):
    method = create_method("ewc", {"decay": decay})
    for task in range(2):
        method.end_task(tiny_clip_fp64, context(tiny_clip_fp64, task))
    first, second = (fisher(tiny_clip_fp64, task) for task in range(2))
    expected = {name: decay * first[name] + second[name] for name in first}
    torch.testing.assert_close(method.state_dict(), expected)


def test_the_first_task_is_plain_fine_tuning(tiny_clip):
    twin = copy.deepcopy(tiny_clip)
    learn(tiny_clip, create_method("ewc"), 0)
    learn(twin, create_method("finetune"), 0)
    torch.testing.assert_close(weights(tiny_clip), weights(twin), rtol=0, atol=0)


def test_without_penalty_it_is_plain_fine_tuning(tiny_clip_fp64):
    twin = copy.deepcopy(tiny_clip_fp64)
    ewc, finetune = create_method("ewc", {"penalty_weight": 0.0}), create_method("finetune")
    for task in range(2):
        learn(tiny_clip_fp64, ewc, task)
        learn(twin, finetune, task)
    torch.testing.assert_close(weights(tiny_clip_fp64), weights(twin))


def test_the_second_task_is_held_by_the_fisher_of_the_first(tiny_clip_fp64):
    method = create_method("ewc", {"penalty_weight": 3.0})
    learn(tiny_clip_fp64, method, 0)
    tiny_clip_fp64.zero_grad()
    anchor, importance = weights(tiny_clip_fp64), method.state_dict()
    method.begin_task(tiny_clip_fp64, context(tiny_clip_fp64, 1))
    parameters = tiny_clip_fp64.trainable_parameters()
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.mul_(1.1)
    rng = np.random.default_rng(0)
    pixels = pixel_batch(
        tiny_clip_fp64, rng.integers(0, 255, (3, 32, 32, 3), dtype=np.uint8), range(3)
    )
    batch = {"task": Batch(pixels, torch.arange(3), torch.arange(3))}
    loss = first_loss(method, tiny_clip_fp64, batch)
    penalty = 3.0 * sum(
        (importance[name] * (p - anchor[name]).square()).sum() for name, p in parameters.items()
    )
    whole = torch.autograd.grad(loss + penalty, list(parameters.values()))
    logged = method.step(tiny_clip_fp64, batch, Tensor.backward)
    for parameter, expected in zip(parameters.values(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, expected)
    torch.testing.assert_close(logged["consolidation"], penalty.detach())


def test_measuring_leaves_weights_and_gradients_alone(tiny_clip):
    before = weights(tiny_clip)
    fisher(tiny_clip)
    torch.testing.assert_close(weights(tiny_clip), before, rtol=0, atol=0)
    assert all(p.grad is None for p in tiny_clip.parameters())
