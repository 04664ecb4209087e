"""The examples of docs/extending.md work as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from methods.learning import learn

import gift.methods
from gift.methods import create_method, method_names
from gift.vlm import VisionLanguageModel

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
SECTIONS = dict(
    section.split("\n", 1) for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
)


def code(section: str, language: str = "python") -> list[str]:
    """The blocks of a language in a section, in order."""
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], re.DOTALL)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The page's method, as one new file beside the others."""
    name = re.search(r"`src/gift/methods/(\w+)\.py`", PAGE)[1]
    (tmp_path / f"{name}.py").write_text(code("A method")[0])
    monkeypatch.setattr(gift.methods, "__path__", [*gift.methods.__path__, str(tmp_path)])
    yield name
    sys.modules.pop(f"gift.methods.{name}", None)


def moved(model, start):
    """The squared distance of the weights from those in the folder."""
    before = start.trainable_parameters()
    return sum(
        float((parameter - before[name]).detach().square().sum())
        for name, parameter in model.trainable_parameters().items()
    )


def test_the_method_is_found_and_averages(example, tiny_clip_folder):
    assert example in method_names()
    start, averaged, plain = (VisionLanguageModel.from_pretrained(tiny_clip_folder) for _ in "123")
    learn(averaged, create_method(example, {"decay": 0.5}), 0)
    learn(plain, create_method("finetune"), 0)
    assert 0 < moved(averaged, start) < moved(plain, start)


def test_without_decay_the_method_is_plain_fine_tuning(example, tiny_clip_folder):
    models = [VisionLanguageModel.from_pretrained(tiny_clip_folder) for _ in range(2)]
    learn(models[0], create_method(example, {"decay": 0.0}), 0)
    learn(models[1], create_method("finetune"), 0)
    plain = models[1].trainable_parameters()
    for name, value in models[0].trainable_parameters().items():
        torch.testing.assert_close(value, plain[name])


def test_a_wrong_setting_of_the_method_is_refused(example):
    with pytest.raises(ValueError, match="decay"):
        create_method(example, {"decay": 1.5})


def test_the_loss_agrees_with_its_slow_version():
    values: dict[str, object] = {}
    exec(compile(code("A loss")[0], "extending.md", "exec"), values)
    tests = [value for name, value in values.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()
