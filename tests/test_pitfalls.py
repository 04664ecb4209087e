"""Known ways to get other numbers than the papers' that no test of a single package covers.

The whole list is in docs/data.md, each pitfall with its test.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import NoiseImages, words

from gift import Learner, Task
from gift.data import Paths, load_benchmark
from gift.evaluate import Protocol
from gift.methods import create_method


def test_the_first_template_trains_and_all_classify(tiny_clip) -> None:
    labels = words("pets")
    assert labels.prompts == tuple(f"a photo of a {name}." for name in labels.classnames)
    predictor = create_method("finetune", {}).predictor(tiny_clip)
    pixels = torch.zeros(1, 3, 32, 32)
    one = type(labels)(labels.name, labels.classnames, labels.templates[:1])
    with torch.no_grad():
        few, all_of_them = (predictor.scores(pixels, [space], None) for space in (one, labels))
    assert not torch.equal(few, all_of_them)


def test_class_vectors_follow_the_text_tower(tiny_clip_folder, tmp_path) -> None:
    learner = Learner.from_pretrained(tiny_clip_folder, method="finetune", paths=Paths.of(tmp_path))
    pixels = torch.zeros(1, 3, 32, 32)

    def scores() -> torch.Tensor:
        with torch.no_grad():
            return learner.predictor().scores(pixels, [words("pets")], None).clone()

    before = scores()
    with torch.no_grad():
        learner.model.towers.text_projection.weight.mul_(-1)
    assert torch.allclose(scores(), -before, atol=1e-5)


def test_a_frozen_model_scores_the_same_every_time(tiny_clip_folder, tmp_path) -> None:
    """No random crop at test time; another order of measuring changes nothing either."""
    learner = Learner.from_pretrained(
        tiny_clip_folder, method="zero_shot", paths=Paths.of(tmp_path)
    )
    tasks = [
        Task(words(name), None, NoiseImages(20, 3, seed=seed))
        for seed, name in enumerate(("pets", "toys"))
    ]
    rows = [learner.evaluate(tasks, Protocol(batch_size=size)) for size in (3, 20, 256)]
    rows.append(learner.evaluate(tasks[::-1])[::-1])
    assert all(row == rows[0] for row in rows)


@pytest.mark.parametrize(("name", "steps"), [("5", 6), ("10", 11), ("20", 21)])
def test_the_base_classes_are_a_step_of_their_own(name: str, steps: int) -> None:
    sizes = [len(e.subset.labels) for e in load_benchmark(f"tinyimagenet-{name}").datasets()]
    assert (len(sizes), sizes[0], sum(sizes)) == (steps, 100, 200)
    assert np.ptp(sizes[1:]) == 0
