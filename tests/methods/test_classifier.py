"""The model that a method classifies by, as an ordinary one."""

from __future__ import annotations

import pytest
import torch
from methods.learning import TASKS, learn

from gift.methods import create_method
from gift.methods.base import TaskContext, ZeroShotPredictor
from gift.vlm import VisionLanguageModel

METHODS = {
    "condu": {},
    "condu_lora": {"rank": 2},
    "finetune_individual": {},
    "wise_ft": {"merge": "evaluation"},
    "finetune": {},
}


@pytest.mark.parametrize("name", METHODS)
def test_it_classifies_as_the_predictor_does(name, tiny_clip, tmp_path):
    method = create_method(name, METHODS[name])
    for task in range(2):
        learn(tiny_clip, method, task)
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    predictor, found = method.predictor(tiny_clip, TASKS), []
    for labels in TASKS:
        method.classifier(tiny_clip, labels.name).save_pretrained(tmp_path / labels.name)
        alone = ZeroShotPredictor(VisionLanguageModel.from_pretrained(tmp_path / labels.name))
        found.append(alone.scores(pixels, [TASKS[0]]))
        wanted = predictor.scores(pixels, [labels], labels.name)
        torch.testing.assert_close(alone.scores(pixels, [labels]), wanted, atol=1e-3, rtol=1e-4)
    assert torch.allclose(*found, atol=1e-3) is not method.one_per_task
    assert ("unchanged" in method.plain_model) is method.one_per_task


def test_a_single_class_competes_with_the_classes_before():
    one = type(TASKS[0])("one", ("fruit a",), ("the {}",))
    two = type(TASKS[0])("two", ("x", "y"), ("the {}",))
    learned = (*TASKS, two)
    context = TaskContext(one, 0.0, learned=learned)
    assert context.prompts[0] == "the fruit a"
    assert context.prompts[1:3] == ("a photo of a fruit b.", "a photo of a fruit c.")
    assert context.prompts[-2:] == ("the x", "the y")
    assert TaskContext(two, 0.0, learned=TASKS).prompts == ("the x", "the y")


def test_classes_that_extend_a_task_compete_with_all_of_that_one():
    two = type(TASKS[0])("two", ("x", "y"), ("the {}",))
    more = type(TASKS[0])("more", ("z",), ("the {}",), extends="two")
    last = type(TASKS[0])("last", ("w", "x"), ("the {}",), extends="two")
    context = TaskContext(last, 0.0, learned=(*TASKS, two, more))
    assert context.prompts == ("the w", "the x", "the y", "the z")
