from __future__ import annotations

import copy

import pytest
import torch
from support import NoiseImages, words

from gift.config import TrainingSettings
from gift.methods import TaskContext, create_method
from gift.train import train_task

SETTINGS = TrainingSettings(iterations=3, batch_size=4, learning_rate=1e-3, warmup=1)
TASKS = (words("fruit", 5), words("birds", 3))


def learn(model, method, task):
    images = NoiseImages(11, len(TASKS[task].classnames), seed=task)
    context = TaskContext(TASKS[task], 0.2, {})
    train_task(model, method, context, images, SETTINGS)


def weights(model):
    return {name: p.detach().clone() for name, p in model.trainable_parameters().items()}


def scores(model, method):
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return method.predictor(model).scores(pixels, TASKS)


def after(model, name, tasks=2, **settings):
    """Weights after each task, the trained model and the method."""
    model, method = copy.deepcopy(model), create_method(name, settings)
    points = [weights(model)]
    for task in range(tasks):
        learn(model, method, task)
        points.append(weights(model))
    return points, model, method


def mixture(a, tuned, partner):
    return {name: a * tuned[name] + (1 - a) * partner[name] for name in tuned}


def test_all_weight_on_the_fine_tuned_model_is_fine_tuning(tiny_clip):
    plain, _, _ = after(tiny_clip, "finetune")
    mixed, _, _ = after(tiny_clip, "wise_ft", weight=1.0)
    for one, two in zip(plain, mixed, strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("partner", ["previous", "initial"])
def test_no_weight_on_the_fine_tuned_model_returns_the_partner(tiny_clip, partner):
    points, _, _ = after(tiny_clip, "wise_ft", weight=0.0, partner=partner)
    for point in points[1:]:
        assert all(torch.equal(point[name], points[0][name]) for name in point)


@pytest.mark.parametrize("partner", ["previous", "initial"])
def test_a_task_ends_with_the_mixture(tiny_clip_fp64, partner):
    """The second task is fine-tuned from the first one's mixture, and mixed in turn."""
    points, _, _ = after(tiny_clip_fp64, "wise_ft", weight=0.7, partner=partner)
    for task in range(2):
        tuned = copy.deepcopy(tiny_clip_fp64)
        with torch.no_grad():
            for name, parameter in tuned.trainable_parameters().items():
                parameter.copy_(points[task][name])
        learn(tuned, create_method("finetune"), task)
        other = points[task] if partner == "previous" else points[0]
        torch.testing.assert_close(points[task + 1], mixture(0.7, weights(tuned), other))


@pytest.mark.parametrize("partner", ["previous", "initial"])
def test_a_merge_at_evaluation_leaves_the_training_alone(tiny_clip, partner):
    plain, _, _ = after(tiny_clip, "finetune")
    merged, model, method = after(
        tiny_clip, "wise_ft", merge="evaluation", partner=partner, weight=0.5
    )
    for one, two in zip(plain, merged, strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)
    expected = copy.deepcopy(tiny_clip)
    other = plain[1] if partner == "previous" else plain[0]
    with torch.no_grad():
        for name, value in mixture(0.5, plain[2], other).items():
            expected.trainable_parameters()[name].copy_(value)
    torch.testing.assert_close(scores(model, method), scores(expected, create_method("finetune")))


def test_before_the_first_task_a_merge_at_evaluation_is_the_model_itself(tiny_clip):
    method = create_method("wise_ft", {"merge": "evaluation"})
    assert torch.equal(scores(tiny_clip, method), scores(tiny_clip, create_method("zero_shot")))


@pytest.mark.parametrize("partner", ["previous", "initial"])
@pytest.mark.parametrize("merge", ["task_end", "evaluation"])
def test_a_restored_method_predicts_and_goes_on_as_before(tiny_clip, partner, merge):
    settings = {"partner": partner, "merge": merge}
    _, model, method = after(tiny_clip, "wise_ft", tasks=1, **settings)
    twin, restored = copy.deepcopy(model), create_method("wise_ft", settings)
    restored.load_state_dict({key: value.clone() for key, value in method.state_dict().items()})
    assert torch.equal(scores(model, method), scores(twin, restored))
    learn(model, method, 1)
    learn(twin, restored, 1)
    assert torch.equal(scores(model, method), scores(twin, restored))


def test_nothing_is_kept_between_tasks_by_default(tiny_clip):
    _, _, method = after(tiny_clip, "wise_ft", tasks=1)
    assert method.state_dict() == {}
