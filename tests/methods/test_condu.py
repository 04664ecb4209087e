"""ConDU: merged task models, and their vote."""

from __future__ import annotations

import copy
from functools import partial
from itertools import pairwise
from unittest import mock

import pytest
import torch
from methods.learning import TASKS, learn, weights

from gift.data.labels import LabelSpace
from gift.data.loader import ImageTexts
from gift.losses import similarity
from gift.methods import create_method
from gift.methods.base import TaskContext
from gift.methods.selectors import class_prototypes
from gift.progress import listening
from gift.vlm import VisionLanguageModel, add_adapters, class_embeddings

NAMES = ("condu", "condu_lora")
SMALL = {"condu": {}, "condu_lora": {"rank": 2}}
close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4)  # of logits around 20
NEW = LabelSpace("new", ("a house", "a boat"), ("a photo of {}.",))


def learned(model, name, tasks=2, **settings):
    method = create_method(name, SMALL[name] | settings)
    for task in range(tasks):
        learn(model, method, task)
    return method


def images(model, count=6):
    size = model.preprocess.size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(5))


def task_model(model, method, number):
    """The task's model, rebuilt the plain way."""
    own = model.frozen_copy()
    if method.name() == "condu_lora":
        add_adapters(own, rank=2, modules=("fc1", "fc2"), seed=0)
    vector = method.merged.vectors.rebuilt(number)
    with torch.no_grad():
        for key, parameter in own.trainable_parameters().items():
            parameter += vector[key]
    return own


def logits(model, pixels, labels=NEW):
    features, classes = model.encode_images(pixels), class_embeddings(model, labels)
    return similarity(features, classes, model.logit_scale)


@pytest.mark.parametrize("name", NAMES)
def test_between_tasks_the_model_is_the_pretrained_one(tiny_clip, name):
    before = weights(tiny_clip)
    method = create_method(name, SMALL[name])
    for task in range(2):
        learn(tiny_clip, method, task)
        after = weights(tiny_clip)
        assert after.keys() == before.keys()
        assert all(torch.equal(after[key], before[key]) for key in before)
        assert all(p.requires_grad for p in tiny_clip.trainable_parameters().values())


def test_a_single_task_keeps_the_fine_tuned_model(tiny_clip):
    tuned = copy.deepcopy(tiny_clip)
    learn(tuned, create_method("finetune"), 0)
    pixels, labels = images(tiny_clip), TASKS[0]
    predictor = learned(tiny_clip, "condu", tasks=1).predictor(tiny_clip)
    close(predictor.scores(pixels, [labels], labels.name), logits(tuned, pixels, labels))


@pytest.mark.parametrize("name", NAMES)
def test_a_known_task_is_named_by_its_rebuilt_model(tiny_clip, name):
    method = learned(tiny_clip, name)
    predictor, pixels = method.predictor(tiny_clip), images(tiny_clip)
    for number, labels in enumerate(TASKS):
        found = predictor.scores(pixels, [labels], labels.name)
        expected = logits(task_model(tiny_clip, method, number), pixels, labels)
        close(found, expected)


def test_adapters_change_what_the_model_says(tiny_clip):
    pixels, labels = images(tiny_clip), TASKS[0]
    before = logits(tiny_clip, pixels, labels)
    predictor = learned(tiny_clip, "condu_lora", tasks=1).predictor(tiny_clip)
    assert (predictor.scores(pixels, [labels], labels.name) - before).abs().max() > 1e-3


@torch.no_grad()
def slow_vote(model, method, pixels, *, share):
    """Image by image: the nearest tasks by hand; ``share(nearness)`` gives weights, the last of
    them the pre-trained model's."""
    found = []
    for image in pixels:
        feature = model.encode_images(image[None])[0]
        prototypes = method.merged.selector.prototypes.values()
        nearness = [float((rows @ feature).max()) for rows in prototypes]
        order = sorted(range(len(nearness)), key=lambda task: -nearness[task])
        order = order[: method.settings.voters]
        *shares, rest = share([nearness[task] for task in order])
        total = rest * logits(model, image[None])[0]
        for task, weight in zip(order, shares, strict=True):
            total += weight * logits(task_model(model, method, task), image[None])[0]
        found.append(total)
    return torch.stack(found)


def mean(nearness):
    return [1 / (len(nearness) + 1)] * (len(nearness) + 1)


def without_pretrained(nearness):
    return [1 / len(nearness)] * len(nearness) + [0]


def by_nearness(nearness):
    return [n / sum(nearness) for n in nearness] + [0]


def by_softmax(nearness):
    rest = 1 / (len(nearness) + 1)
    weights = (torch.tensor(nearness) / 0.1).softmax(0).tolist()
    return [(1 - rest) * weight for weight in weights] + [rest]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, mean),
        ({"voters": 1}, mean),
        ({"include_pretrained": False}, without_pretrained),
        (
            {"include_pretrained": False, "fusion": "weighted", "fusion_temperature": None},
            by_nearness,
        ),
        ({"fusion": "weighted", "fusion_temperature": 0.1}, by_softmax),
    ],
)
def test_the_nearest_tasks_vote_on_images_of_no_known_task(tiny_clip, name, settings, share):
    method = learned(tiny_clip, name, **settings)
    pixels = images(tiny_clip)
    predictor = method.predictor(tiny_clip)
    expected = slow_vote(tiny_clip, method, pixels, share=share)
    for task in (None, "never learned"):
        close(predictor.scores(pixels, [NEW], task), expected)


@pytest.mark.parametrize("name", NAMES)
def test_before_the_first_task_the_pretrained_model_names(tiny_clip, name):
    method = create_method(name, SMALL[name] | {"include_pretrained": False})
    found = method.predictor(tiny_clip).scores(images(tiny_clip), [NEW])
    close(found, logits(tiny_clip, images(tiny_clip)))


def test_the_memory_for_rebuilt_models_changes_nothing_but_speed(tiny_clip):
    found = []
    for cache_mb in (0, 4096):
        model = copy.deepcopy(tiny_clip)
        method = learned(model, "condu", tasks=2, cache_mb=cache_mb)
        rebuilt = []
        original = method.merged.vectors.rebuilt
        method.merged.vectors.rebuilt = lambda task, o=original, r=rebuilt: (
            r.append(task),
            o(task),
        )[1]
        predictor = method.predictor(model)
        scores = [predictor.scores(images(model), [NEW]) for _ in range(3)]
        found.append((scores, len(rebuilt)))
    for first, second in zip(found[0][0], found[1][0], strict=True):
        close(first, second)  # voters are added up in another order
    assert found[1][1] == 2  # each once
    assert found[0][1] == 4  # two, then the one that is not at hand


def test_a_batch_runs_every_model_once(tiny_clip, monkeypatch):
    method = learned(tiny_clip, "condu")
    predictor = method.predictor(tiny_clip)
    predictor.scores(images(tiny_clip), [NEW])
    seen = []
    original = VisionLanguageModel.encode_images

    def counted(self, pixels):
        seen.append(len(pixels))
        return original(self, pixels)

    monkeypatch.setattr(VisionLanguageModel, "encode_images", counted)
    predictor.scores(images(tiny_clip), [NEW])
    assert seen == [6, 6, 6]  # the pre-trained model and two tasks'


def test_prototypes_are_means_of_images_and_prompts(tiny_clip):
    labels = LabelSpace("animals", ("a dog", "a cat", "a bird"), ("a photo of {}.", "{}, drawn."))
    size = tiny_clip.preprocess.size
    pixels = torch.randint(0, 256, (4, size, size, 3), dtype=torch.uint8).numpy()
    texts = [labels.prompts[label] for label in (0, 0, 0, 2)]
    task = TaskContext(labels, 0.0, {"current": ImageTexts(pixels, tuple(texts))})
    found = class_prototypes(tiny_clip, task)
    encoded = tiny_clip.encode_images(
        tiny_clip.preprocess.normalize(torch.from_numpy(pixels)).detach()
    )
    for number, name in enumerate(labels.classnames):
        prompts = [t.replace("{}", name) for t in labels.templates]
        words = tiny_clip.encode_texts(tiny_clip.tokenize(prompts)).mean(dim=0)
        own = [i for i, label in enumerate((0, 0, 0, 2)) if label == number]
        centre = words + (encoded[own].mean(dim=0) if own else 0)
        close(found[number], centre / centre.norm())


def test_masks_lose_bits_task_by_task_and_take_one_bit_each(tiny_clip):
    method, kept = create_method("condu"), []
    for task in (0, 1):
        learn(tiny_clip, method, task)
        vectors = method.merged.vectors
        kept.append(sum(int(vectors.mask(0, name).sum()) for name in vectors.unified))
    assert all(later < earlier for earlier, later in pairwise(kept))
    state = method.state_dict()
    masks = sum(tensor.numel() for key, tensor in state.items() if key.startswith("mask/0/"))
    elements = sum(p.numel() for p in tiny_clip.trainable_parameters().values())
    assert elements / 8 <= masks <= elements / 8 + len(tiny_clip.trainable_parameters())


def test_unknown_matrices_are_refused(tiny_clip):
    with pytest.raises(ValueError, match="no matrix called fc9; its matrices are fc1"):
        learned(tiny_clip, "condu_lora", modules=("fc1", "fc9"))


class Stopped(Exception):
    """What breaks a training off in a test."""


@pytest.mark.parametrize("name", NAMES)
def test_a_training_that_was_broken_off_leaves_nothing_behind(tiny_clip, name):
    twin, before = copy.deepcopy(tiny_clip), weights(tiny_clip)
    undisturbed = learned(twin, name)

    def stop(now):
        if now.done == 3:
            raise Stopped

    method = learned(tiny_clip, name, tasks=1)
    wanted = method.predictor(tiny_clip).scores(images(tiny_clip), [NEW])
    with pytest.raises(Stopped), listening(stop):
        learn(tiny_clip, method, 1)
    assert torch.equal(method.predictor(tiny_clip).scores(images(tiny_clip), [NEW]), wanted)
    learn(tiny_clip, method, 1)
    after = weights(tiny_clip)
    assert all(torch.equal(after[key], before[key]) for key in before)
    state, expected = method.state_dict(), undisturbed.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_a_task_whose_images_fail_is_not_merged_in_part(tiny_clip):
    method = learned(tiny_clip, "condu", tasks=1)
    failing = mock.patch("gift.methods.merged_models.class_prototypes", side_effect=OSError("gone"))
    with failing, pytest.raises(OSError, match="gone"):
        learn(tiny_clip, method, 1)
    assert len(method.merged.vectors) == len(method.merged.selector.prototypes) == 1


def test_a_model_with_adapters_is_not_saved(tiny_clip, tmp_path):
    add_adapters(tiny_clip, rank=2, modules=("fc1",), seed=0)
    with pytest.raises(ValueError, match="end the task, or take them away"):
        tiny_clip.save_pretrained(tmp_path / "model")
