"""What a method names images by, for pictures of its feature space."""

from __future__ import annotations

import pytest
import torch
from methods.learning import TASKS, learn
from methods.test_condu import NAMES, NEW, images, learned, task_model
from methods.test_contract import METHODS, TRAINED
from torch.nn import functional as F

from gift.losses import similarity
from gift.methods import create_method
from gift.vlm import class_embeddings

close = torch.testing.assert_close


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("task_known", [True, False])
def test_features_are_unit_rows(tiny_clip, name, task_known):
    method = create_method(name)
    if name in TRAINED:
        learn(tiny_clip, method, 0)
    pixels = images(tiny_clip)
    found = method.predictor(tiny_clip).features(pixels, TASKS[0].name if task_known else None)
    assert found.shape == tiny_clip.encode_images(pixels).shape
    assert not found.requires_grad
    close(found.norm(dim=1), torch.ones(len(pixels)))


@pytest.mark.parametrize("name", ["zero_shot", "finetune", "wise_ft"])
def test_one_model_names_by_its_features(tiny_clip, name):
    method = create_method(name, {"merge": "task_end"} if name == "wise_ft" else {})
    if name in TRAINED:
        learn(tiny_clip, method, 0)
    predictor, pixels = method.predictor(tiny_clip), images(tiny_clip)
    classes = class_embeddings(tiny_clip, NEW)
    wanted = similarity(predictor.features(pixels), classes, tiny_clip.logit_scale)
    close(predictor.scores(pixels, [NEW]), wanted)


def test_a_model_per_task_has_features_per_task(tiny_clip):
    pixels = images(tiny_clip)
    pretrained = tiny_clip.encode_images(pixels).detach()
    method = create_method("finetune_individual")
    for task in range(2):
        learn(tiny_clip, method, task)
    predictor = method.predictor(tiny_clip)
    first, second = (predictor.features(pixels, labels.name) for labels in TASKS)
    close(predictor.features(pixels, None), pretrained)
    close(predictor.features(pixels, NEW.name), pretrained)
    assert (first - pretrained).abs().max() > 1e-3
    assert (first - second).abs().max() > 1e-3
    close(predictor.features(pixels, TASKS[0].name), first)


@pytest.mark.parametrize("name", NAMES)
def test_a_known_task_has_the_features_of_its_rebuilt_model(tiny_clip, name):
    method = learned(tiny_clip, name)
    predictor, pixels = method.predictor(tiny_clip), images(tiny_clip)
    for number, labels in enumerate(TASKS):
        wanted = task_model(tiny_clip, method, number).encode_images(pixels)
        close(predictor.features(pixels, labels.name), wanted.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("task", [None, NEW.name])
def test_voters_give_the_mean_of_their_features(tiny_clip, include, task):
    method = learned(tiny_clip, "condu", include_pretrained=include)
    pixels = images(tiny_clip)
    voters = [task_model(tiny_clip, method, number) for number in range(2)]
    if include:
        voters.append(tiny_clip)
    mean = torch.stack([voter.encode_images(pixels) for voter in voters]).mean(dim=0).detach()
    found = method.predictor(tiny_clip).features(pixels, task)
    close(found, F.normalize(mean, dim=1), rtol=1e-4, atol=1e-5)


def test_a_voter_counts_by_its_share(tiny_clip):
    """Only the nearest task votes, so its model alone gives the features."""
    method = learned(tiny_clip, "condu", voters=1, include_pretrained=False)
    predictor, pixels = method.predictor(tiny_clip), images(tiny_clip)
    embeddings = tiny_clip.encode_images(pixels)
    prototypes = method.merged.selector.prototypes.values()
    nearness = torch.stack([(embeddings @ rows.T).amax(dim=1) for rows in prototypes], dim=1)
    features = [task_model(tiny_clip, method, n).encode_images(pixels) for n in range(2)]
    wanted = torch.stack([features[n][i] for i, n in enumerate(nearness.argmax(dim=1).tolist())])
    close(predictor.features(pixels), wanted.detach(), rtol=1e-4, atol=1e-5)
