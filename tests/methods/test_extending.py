"""The example of docs/extending.md works as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from support import NoiseImages, words

import gift.methods
from gift.config import TrainingSettings
from gift.methods import create_method, method_names
from gift.train import train_task

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
SETTINGS = TrainingSettings(iterations=4, batch_size=4, learning_rate=1e-3, warmup=1)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The page's method, as one new file beside the others."""
    text = PAGE.read_text()
    name = re.search(r"`src/gift/methods/(\w+)\.py`", text)[1]
    (tmp_path / f"{name}.py").write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1])
    monkeypatch.setattr(gift.methods, "__path__", [*gift.methods.__path__, str(tmp_path)])
    yield name
    sys.modules.pop(f"gift.methods.{name}", None)


def train(model, method):
    torch.manual_seed(0)
    train_task(model, method, words("fruit"), NoiseImages(9, 3), SETTINGS, sets={}, seed=0)
    return {name: p.detach().clone() for name, p in model.trainable_parameters().items()}


def test_the_file_alone_makes_the_method_known_and_it_trains(example, tiny_clip_folder):
    from gift.vlm import VisionLanguageModel

    assert example in method_names()
    start, averaged, plain = (VisionLanguageModel.from_pretrained(tiny_clip_folder) for _ in "123")
    train(averaged, create_method(example, {"decay": 0.5}))
    train(plain, create_method("finetune"))

    def moved(model):
        pairs = zip(
            model.trainable_parameters().values(),
            start.trainable_parameters().values(),
            strict=True,
        )
        return sum(float((a - b).detach().square().sum()) for a, b in pairs)

    assert 0 < moved(averaged) < moved(plain)


def test_without_decay_it_is_plain_fine_tuning(example, tiny_clip_folder):
    from gift.vlm import VisionLanguageModel

    models = [VisionLanguageModel.from_pretrained(tiny_clip_folder) for _ in range(2)]
    averaged = train(models[0], create_method(example, {"decay": 0.0}))
    plain = train(models[1], create_method("finetune"))
    for name, value in averaged.items():
        torch.testing.assert_close(value, plain[name])


def test_a_wrong_setting_is_refused(example):
    with pytest.raises(ValueError, match="decay"):
        create_method(example, {"decay": 1.5})
