"""What a Python user sees of the public objects: how they are made and how they look."""

import inspect
import logging

import pytest
from support import write_folder

from gift import AccuracyMatrix, Learner, Task
from gift.config import LearnerConfig, SynthesisSettings, TrainingSettings, learner_config
from gift.data import Paths


def made(tmp_path, *arguments, **settings):
    return Learner.from_pretrained(*arguments, paths=Paths.of(tmp_path), **settings)


def test_every_setting_is_a_named_argument():
    named = set(inspect.signature(Learner.from_pretrained).parameters)
    wanted = set(LearnerConfig.model_fields) | {"generator", "recipe", "paths"}
    assert named == wanted - {"tracking"}  # which is of folders


def test_a_recipe_is_reached_by_name(tmp_path):
    learner = made(tmp_path, recipe="micro", training=TrainingSettings(iterations=3), seed=4)
    assert learner.config.model == "builtin:micro/clip"
    training = learner.config.training
    assert (training.iterations, learner.config.seed) == (3, 4)
    assert training.learning_rate != TrainingSettings().learning_rate  # what was not set
    with pytest.raises(ValueError, match=r"unknown recipe 'mikro'\. Did you mean 'micro'"):
        made(tmp_path, recipe="mikro")
    with pytest.raises(TypeError, match="trainig"):
        made(tmp_path, recipe="micro", trainig={})


def test_settings_are_models_or_mappings():
    def config(**values):
        return learner_config({"method": "gift", **values}, None, None)

    typed = config(synthesis=SynthesisSettings(images=7), method_settings={"alpha": 2})
    assert typed == config(synthesis={"images": 7}, method_settings={"alpha": 2.0})
    with pytest.raises(ValueError, match="method_settings: unknown setting 'alfa'"):
        config(method_settings={"alfa": 2})
    chosen = learner_config({"method": "gift", "synthesis": {"images": 7}}, None, "builtin:a/b")
    assert (chosen.synthesis.generator, chosen.synthesis.images) == ("builtin:a/b", 7)


def test_a_learner_says_what_it_is_and_its_training_is_logged(tmp_path, tiny_clip_folder, caplog):
    training = {"iterations": 2, "batch_size": 4}
    learner = made(tmp_path, tiny_clip_folder, method="finetune", training=training)
    assert repr(learner).startswith("<Learner '")
    assert repr(learner).endswith("finetune: has learned nothing>")
    with caplog.at_level(logging.INFO, logger="gift"):
        learner.learn(Task.from_folder(write_folder(tmp_path / "colours")))
    assert repr(learner).endswith("finetune: has learned colours>")
    (line,) = [text for text in caplog.messages if text.startswith("learning colours: 2 of 2")]
    for figure in ("loss ", "learning rate ", "images/s"):
        assert figure in line


def test_a_matrix_shows_as_a_table():
    matrix = AccuracyMatrix("mine", 2, ("pets", "cars\n"), (10.0, 20.0), ((90.0, None),))
    assert repr(matrix).splitlines() == [
        "<AccuracyMatrix mine, version 2, in percent>",
        r"            pets  cars\n",
        "zero-shot   10.0    20.0",
        "pets        90.0       -",
    ]
