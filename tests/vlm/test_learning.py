"""Every family through a learner: learn, evaluate, save, load; and the biases that it has."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support import write_folder
from torch.nn import functional as F
from transformers import AutoModel
from vlm import families

from gift import Learner, Task
from gift.data import Paths
from gift.vlm import VisionLanguageModel, add_adapters, check_modules

SIDES = dict(zip(families.FAMILIES, (32, 40, 42, 32, 40, 32), strict=True))
QUICK = {
    "training": {"iterations": 2, "batch_size": 4, "learning_rate": 1e-2, "warmup": 0},
    "synthesis": {"images": 5, "steps": 2, "batch_size": 5},
}


@pytest.fixture
def task(tmp_path):
    """Images of another size than any model's."""
    for number, part in enumerate(("train", "test")):
        write_folder(tmp_path / "shapes" / part, ("ring", "bar", "dot"), size=50, seed=number)
    return Task.from_folder(tmp_path / "shapes")


@pytest.mark.parametrize("family", families.FAMILIES)
@pytest.mark.parametrize("method", ["gift", "lwf"])
def test_a_learner_of_every_family(family, method, folders, task, tiny_pipeline_folder, tmp_path):
    learner = Learner.from_pretrained(
        folders[family],
        method=method,
        generator=tiny_pipeline_folder,
        paths=Paths.of(tmp_path / "home"),
        **QUICK,
    )
    before = {k: v.detach().clone() for k, v in learner.model.trainable_parameters().items()}
    learner.learn(task)
    after = learner.model.trainable_parameters()
    moved = {name.split(".")[0] for name in before if not after[name].equal(before[name])}
    assert moved >= {"vision_model", "text_model"}
    accuracy = learner.evaluate(task)
    cached = [np.load(path, mmap_mode="r").shape for path in (tmp_path / "home").rglob("*.npy")]
    side = SIDES[family]
    assert {shape[1:] for shape in cached} == {(side, side, 3)}
    learner.save(tmp_path / "saved")

    again = Learner.load(tmp_path / "saved", paths=Paths.of(tmp_path / "home"))
    for name, value in after.items():
        assert value.equal(again.model.trainable_parameters()[name]), name
    assert again.evaluate(task) == accuracy
    images = [task.test[index] for index in range(3)]
    assert again.predict(images) == learner.predict(images)
    again.learn(Task.from_folder(write_folder(tmp_path / "colours")))
    assert [labels.name for labels in again.memory] == ["shapes", "colours"]


@pytest.mark.parametrize("family", families.FAMILIES)
def test_which_projections_have_a_bias(family, folders):
    """CLIP's and MetaCLIP 2's are plain matrices; SigLIP's text head has a bias, which is moved."""
    model = VisionLanguageModel.from_pretrained(folders[family])
    names = set(model.trainable_parameters())
    if not family.startswith("siglip"):
        assert {"visual_projection.weight", "text_projection.weight"} <= names
        assert not names & {"visual_projection.bias", "text_projection.bias"}
        return
    assert {"text_model.head.bias", "vision_model.head.attention.in_proj_bias"} <= names
    head = model.towers.get_parameter("text_model.head.bias")
    tokens = model.tokenize(["a photo of a cat."])
    plain = model.encode_texts(tokens)
    with torch.no_grad():
        head += 3.0
    assert F.cosine_similarity(plain, model.encode_texts(tokens)).item() < 0.99


@pytest.mark.parametrize("key", ["visual_projection.bias", "text_projection.bias"])
def test_a_clip_with_a_projection_bias_is_refused(key, folders, tmp_path):
    """Its architecture has no place for one: it would be dropped silently."""
    folder = shutil.copytree(folders["openai"], tmp_path / "biased")
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {key: torch.ones(16)}, folder / "model.safetensors", {"format": "pt"})
    plain = AutoModel.from_pretrained(folder)
    assert key not in dict(plain.named_parameters())
    with pytest.raises(ValueError, match=rf"biased: it holds .* dropped: 1, {key} among them"):
        VisionLanguageModel.from_pretrained(folder)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_adapter_gets_a_gradient_and_what_gets_none_is_said(family, folders, caplog):
    """SigLIP's pooling head reads its output matrix without calling it."""
    model = VisionLanguageModel.from_pretrained(folders[family])
    modules = ("out_proj", "fc1")
    with caplog.at_level(logging.WARNING):
        check_modules(model, modules)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == family.startswith("siglip")
    assert all("No adapters for vision_model.head.attention.out_proj" in line for line in said)

    add_adapters(model, rank=2, modules=modules, seed=0)
    side = model.preprocess.size
    images = model.encode_images(torch.randn(2, 3, side, side))
    (images * model.encode_texts(model.tokenize(["a cat.", "dogs"]))).sum().backward()
    trained = model.trainable_parameters()
    assert trained
    assert [name for name, p in trained.items() if p.grad is None] == []


def test_a_matrix_that_is_never_called_alone_is_refused(folders):
    model = VisionLanguageModel.from_pretrained(folders["siglip"])
    for tower in (model.towers.vision_model, model.towers.text_model):
        for layer in tower.encoder.layers:
            del layer.self_attn.out_proj
    with pytest.raises(ValueError, match="no matrix called out_proj; its matrices are fc1"):
        check_modules(model, ["out_proj"])
