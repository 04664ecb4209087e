from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import NoiseImages, first_loss, words

from gift.config import TrainingSettings
from gift.data.loader import Batch, ImageTexts, PreprocessedImages
from gift.methods import TaskContext, create_method
from gift.methods.icarl import herding
from gift.train import train_task
from gift.vlm import encode_all_images, pixel_batch

SETTINGS = TrainingSettings(iterations=3, batch_size=4, learning_rate=1e-3, warmup=1)
TASKS = (words("fruit", 5), words("birds", 3), words("tools", 4))


def unit_features(count=40, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, width, generator=generator, dtype=torch.float64) + 0.3)


def slow_herding(features, count):
    """The candidate whose mean with the chosen ones is nearest to the mean of all, each time."""
    mean, chosen = features.mean(dim=0), []
    for _ in range(count):
        rest = [i for i in range(len(features)) if i not in chosen]
        chosen.append(
            min(rest, key=lambda i: float((mean - features[[*chosen, i]].mean(dim=0)).norm()))
        )
    return chosen


def errors(features, order):
    """Distance of the mean of the first k images to the mean of all, for every k."""
    mean = features.mean(dim=0)
    return [float((mean - features[order[: k + 1]].mean(dim=0)).norm()) for k in range(len(order))]


@pytest.mark.parametrize("seed", range(5))
def test_herding_is_the_greedy_choice(seed):
    features = unit_features(seed=seed)
    assert herding(features, 25) == slow_herding(features, 25)


@pytest.mark.parametrize("count", [0, 1, 40, 100])
def test_no_image_is_chosen_twice(count):
    chosen = herding(unit_features(), count)
    assert len(chosen) == len(set(chosen)) == min(count, 40)


def test_equal_images_are_still_chosen_once_each():
    assert sorted(herding(torch.ones(5, 4) / 2, 5)) == [0, 1, 2, 3, 4]


def test_herding_comes_nearer_and_beats_chance():
    herded, random = [], []
    for seed in range(20):
        features = unit_features(200, 8, seed)
        herded.append(errors(features, herding(features, 50)))
        order = np.random.default_rng(seed).permutation(200)[:50].tolist()
        random.append(errors(features, order))
    herded, random = np.mean(herded, axis=0), np.mean(random, axis=0)
    thirds = herded[1:49].reshape(3, 16).mean(axis=1)
    assert (np.diff(thirds) <= 0).all()
    assert (herded < random).all()


def test_herding_takes_the_same_of_a_longer_list():
    features = unit_features()
    assert herding(features, 30)[:12] == herding(features, 12)


def pixel_set(count, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (count, 32, 32, 3), dtype=np.uint8)


def finish(model, method, pixels, name="task"):
    """End a task that had these images, without training."""
    method.end_task(model, TaskContext(words(name), 0.2, {"current": ImageTexts(pixels)}))


def test_the_memory_is_shared_by_the_tasks_and_never_exceeded(tiny_clip):
    method, kept = create_method("icarl", {"memory": 20}), []
    for task in range(1, 12):
        pixels = pixel_set(4 if task == 3 else 15, seed=task)
        finish(tiny_clip, method, pixels)
        features = encode_all_images(tiny_clip, pixels)
        kept.append(pixels[herding(features, 20)])
        quota = 20 // task
        expected = [images[:quota] for images in kept]
        state = method.state_dict()
        assert state["counts"].tolist() == [len(images) for images in expected]
        assert np.array_equal(method.exemplars().pixels, np.concatenate(expected))
        assert len(method.exemplars()) <= 20


def test_more_tasks_than_memory_leave_nothing_to_keep(tiny_clip):
    method = create_method("icarl", {"memory": 2})
    for task in range(3):
        finish(tiny_clip, method, pixel_set(5, seed=task))
    assert method.exemplars() is None
    assert method.state_dict()["counts"].tolist() == [0, 0, 0]


def test_of_many_images_some_drawn_ones_can_be_kept(tiny_clip):
    method = create_method("icarl", {"herding_images": 4})
    pixels = pixel_set(9)
    finish(tiny_clip, method, pixels)
    kept = method.exemplars().pixels
    positions = [int(np.flatnonzero((pixels == image).all(axis=(1, 2, 3)))[0]) for image in kept]
    assert len(set(positions)) == 4
    assert sorted(positions) != [0, 1, 2, 3]


def test_the_memory_survives_saving(tiny_clip):
    method = create_method("icarl", {"memory": 7})
    for task in range(2):
        finish(tiny_clip, method, pixel_set(5, seed=task))
    restored = create_method("icarl", {"memory": 7})
    restored.load_state_dict({key: value.clone() for key, value in method.state_dict().items()})
    for each in (method, restored):
        finish(tiny_clip, each, pixel_set(5, seed=9))
    torch.testing.assert_close(restored.state_dict(), method.state_dict(), rtol=0, atol=0)


def current(model, task):
    labels = TASKS[task]
    images = NoiseImages(11, len(labels.classnames), seed=task)
    prompts = tuple(labels.prompts[i] for i in images.labels)
    return images, ImageTexts(PreprocessedImages(images, model.preprocess), prompts)


def learn(model, method, task):
    images, own = current(model, task)
    every = {"current": own, "exemplar": method.exemplars()}
    sets = {
        name: every[name] for name in (*method.streams, *method.sets) if every[name] is not None
    }
    context = TaskContext(TASKS[task], 0.2, sets)
    train_task(model, method, context, images, SETTINGS)


def weights(model):
    return {name: p.detach().clone() for name, p in model.trainable_parameters().items()}


def test_the_first_task_is_plain_fine_tuning(tiny_clip):
    twin = copy.deepcopy(tiny_clip)
    learn(tiny_clip, create_method("icarl"), 0)
    learn(twin, create_method("finetune"), 0)
    torch.testing.assert_close(weights(tiny_clip), weights(twin), rtol=0, atol=0)


def test_the_second_task_is_another_one(tiny_clip):
    twin = copy.deepcopy(tiny_clip)
    methods = create_method("icarl"), create_method("finetune")
    for task in range(2):
        learn(tiny_clip, methods[0], task)
        learn(twin, methods[1], task)
    one, two = weights(tiny_clip), weights(twin)
    assert not all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("kind", ["last", "initial"])
def test_exemplars_are_distilled_against_the_current_classes(tiny_clip_fp64, kind):
    initial = copy.deepcopy(tiny_clip_fp64)
    method = create_method("icarl", {"teacher": kind})
    learn(tiny_clip_fp64, method, 0)
    teacher = initial if kind == "initial" else copy.deepcopy(tiny_clip_fp64)
    kept = method.exemplars()
    method.begin_task(tiny_clip_fp64, TaskContext(TASKS[1], 0.2, {"exemplar": kept}))
    with torch.no_grad():
        for parameter in tiny_clip_fp64.trainable_parameters().values():
            parameter.mul_(1.02)
    pixels, index = pixel_batch(teacher, kept.pixels, range(4)), torch.arange(4)
    loss = first_loss(method, tiny_clip_fp64, {"exemplar": Batch(pixels, index, index)})

    texts = teacher.encode_texts(teacher.tokenize(TASKS[1].prompts))
    of_teacher = 100 * teacher.encode_images(pixels) @ texts.T / 2
    of_student = 100 * tiny_clip_fp64.encode_images(pixels) @ texts.T / 2
    expected = sum(
        -4 * (one.softmax(1) * other.log_softmax(1)).sum(1).mean()
        for one, other in ((of_teacher, of_student), (of_teacher.T, of_student.T))
    )
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", ["last", "initial"])
def test_a_restored_method_goes_on_as_before(tiny_clip, kind):
    settings = {"teacher": kind, "memory": 9}
    method = create_method("icarl", settings)
    learn(tiny_clip, method, 0)
    learn(tiny_clip, method, 1)
    twin, restored = copy.deepcopy(tiny_clip), create_method("icarl", settings)
    restored.load_state_dict({key: value.clone() for key, value in method.state_dict().items()})
    learn(tiny_clip, method, 2)
    learn(twin, restored, 2)
    torch.testing.assert_close(weights(twin), weights(tiny_clip), rtol=0, atol=0)
    torch.testing.assert_close(restored.state_dict(), method.state_dict(), rtol=0, atol=0)


def test_the_pre_trained_model_is_kept_only_where_it_teaches(tiny_clip):
    for kind, families in (
        ("last", {"pixels", "counts"}),
        ("initial", {"pixels", "counts", "initial"}),
    ):
        method = create_method("icarl", {"teacher": kind})
        learn(copy.deepcopy(tiny_clip), method, 0)
        assert {key.partition("/")[0] for key in method.state_dict()} == families
