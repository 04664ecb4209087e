from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import diffusers
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save
from support import write_folder
from transformers import CLIPModel

from gift import Learner, Task
from gift.data import Paths
from gift.data.labels import LabelSpace
from gift.files import checksum
from gift.methods import method_names
from gift.predict import Unreadable
from gift.runs import RunFolder
from gift.runs.manifest import read_manifest, write_manifest
from gift.synthesis import DiffusersGenerator

QUICK = {
    "training": {"iterations": 3, "batch_size": 4, "learning_rate": 1e-3, "warmup": 1},
    "synthesis": {"images": 5, "steps": 2, "batch_size": 3, "base_classnames": "imagenet"},
}


BASE = str(Path(__file__).parent / "data_files" / "two_names.txt")


@pytest.fixture
def new_learner(tiny_clip_folder, tiny_pipeline_folder, tmp_path):
    def make(method="gift", **settings):
        return Learner.from_pretrained(
            tiny_clip_folder,
            method=method,
            **{
                "generator": tiny_pipeline_folder,
                "paths": Paths.of(tmp_path / "home"),
                **QUICK,
                **settings,
            },
        )

    return make


@pytest.fixture
def colours(tmp_path):
    return Task.from_folder(write_folder(tmp_path / "colours"))


@pytest.fixture
def shapes(tmp_path):
    return Task.from_folder(write_folder(tmp_path / "shapes", ("ring", "bar", "dot"), seed=1))


@pytest.fixture
def reference(tmp_path):
    return str(write_folder(tmp_path / "reference", ("sea_lion", "ant"), count=9, seed=4))


def weights(learner):
    return torch.cat([p.detach().flatten() for p in learner.model.trainable_parameters().values()])


def test_the_readme_example_in_small(new_learner, colours, shapes, tmp_path):
    learner = new_learner()
    learner.learn(colours)
    assert 0 <= learner.evaluate(shapes)[0] <= 100
    learner.save(tmp_path / "mine")
    plain = CLIPModel.from_pretrained(tmp_path / "mine" / "learner" / "model")
    assert torch.equal(
        plain.visual_projection.weight, learner.model.towers.visual_projection.weight
    )


@pytest.mark.parametrize("method", method_names())
def test_saved_and_loaded_is_the_same_learner(
    new_learner, colours, shapes, reference, tmp_path, method
):
    learner = new_learner(method, reference={"source": reference})
    learner.learn(colours)
    learner.save(tmp_path / "mine")
    loaded = Learner.load(tmp_path / "mine", paths=Paths.of(tmp_path / "home"))
    assert loaded.memory == learner.memory
    assert loaded.config == learner.config
    for one in (learner, loaded):
        one.learn(shapes)
    assert torch.equal(weights(learner), weights(loaded))
    assert loaded.evaluate([colours, shapes]) == learner.evaluate([colours, shapes])


def test_saving_over_a_learner_with_other_settings_is_refused(new_learner, tmp_path):
    new_learner("finetune").save(tmp_path / "mine")
    new_learner("finetune").save(tmp_path / "mine")
    with pytest.raises(ValueError, match="method is 'finetune' there and 'l2' here"):
        new_learner("l2").save(tmp_path / "mine")
    assert (
        Learner.load(tmp_path / "mine", paths=Paths.of(tmp_path / "home")).config.method
        == "finetune"
    )


def test_what_is_kept_is_class_names_and_a_model(new_learner, colours, tmp_path):
    learner = new_learner()
    learner.learn(colours)
    learner.save(tmp_path / "mine")
    written = {path.name for path in (tmp_path / "mine").iterdir()}
    assert written == {"config.yaml", "learner", "manifest.json"}
    memory = json.loads((tmp_path / "mine" / "learner" / "memory.json").read_text())
    assert [task["classnames"] for task in memory] == [["green", "red"]]
    images = [p for p in (tmp_path / "mine").rglob("*") if p.suffix in {".png", ".jpg"}]
    assert images == []


def test_the_pool_holds_the_tasks_before_and_not_the_one_to_come(new_learner, colours, shapes):
    learner = new_learner(synthesis={**QUICK["synthesis"], "images": 6, "base_classnames": BASE})
    learner.learn(colours)
    names = {
        caption.removeprefix("a photo of a ")[:-1] for caption in learner.generate(60).captions
    }
    assert names == {"fox", "owl", "red", "green"}


def test_general_names_alone_can_be_generated_from(new_learner, colours):
    synthesis = {**QUICK["synthesis"], "base_classnames": BASE, "source": "synthetic_base_only"}
    learner = new_learner(synthesis=synthesis)
    learner.learn(colours)
    assert set(learner.generate(40).captions) == {"a photo of a fox.", "a photo of a owl."}


def received(learner, task, monkeypatch):
    """The image sets and sentences that the method is given for a task."""
    seen = {}
    begin = learner.method.begin_task

    def spy(model, context):
        seen.update(sets=context.sets, sentences=context.sentences)
        begin(model, context)

    monkeypatch.setattr(learner.method, "begin_task", spy)
    learner.learn(task)
    return seen


def test_real_images_can_take_the_place_of_synthetic_ones(
    new_learner, colours, shapes, reference, monkeypatch
):
    synthesis = {**QUICK["synthesis"], "source": "real", "images": 7}
    learner = new_learner(synthesis=synthesis, reference={"source": reference})
    first = received(learner, colours, monkeypatch)["sets"]["synthetic"]
    second = received(learner, shapes, monkeypatch)["sets"]["synthetic"]
    assert len(first) == 7
    assert set(first.texts) == {"a photo of a sea lion.", "a photo of a ant."}
    files = [images.pixels.images.files for images in (first, second)]
    assert files[0] != files[1]
    assert len(set(files[0])) == 7
    for file, text in zip(files[0], first.texts, strict=True):
        assert text == f"a photo of a {file.parent.name.replace('_', ' ')}."
    assert not (learner.paths.cache / "images").exists()


@pytest.mark.parametrize(
    ("texts", "sentences"),
    [
        ("captions", {"a photo of a sea lion.", "a photo of a ant."}),
        (BASE, {"fox", "owl"}),
    ],
)
def test_a_reference_set_is_drawn_once_and_comes_with_sentences(
    new_learner, colours, shapes, reference, monkeypatch, texts, sentences
):
    settings = {"source": reference, "images": 11, "texts": texts}
    learner = new_learner("zscl", reference=settings)
    first = received(learner, colours, monkeypatch)
    second = received(learner, shapes, monkeypatch)
    files = [seen["sets"]["reference"].pixels.images.files for seen in (first, second)]
    assert files[0] == files[1]
    assert len(files[0]) == 11
    assert set(first["sentences"]) == sentences
    assert len(first["sentences"]) == 2


def test_names_of_a_class_list_become_sentences(new_learner, colours, reference, monkeypatch):
    learner = new_learner("zscl", reference={"source": reference, "texts": "imagenet"})
    sentences = received(learner, colours, monkeypatch)["sentences"]
    assert sentences[0] == "a photo of a tench."
    assert len(sentences) == 998


def test_synthetic_images_can_be_the_reference(new_learner, colours, monkeypatch):
    learner = new_learner("zscl", reference={"source": "synthetic"})
    seen = received(learner, colours, monkeypatch)
    assert len(seen["sets"]["reference"]) == 5
    assert set(seen["sentences"]) == set(seen["sets"]["reference"].texts)


def test_the_current_images_come_with_their_prompts(new_learner, colours, monkeypatch):
    current = received(new_learner("lwf"), colours, monkeypatch)["sets"]["current"]
    assert len(current) == len(colours.train)
    prompts = colours.labels.prompts
    assert current.texts == tuple(prompts[label] for label in colours.train.labels)
    assert current.pixels[0].shape == (32, 32, 3)


def test_an_unknown_reference_is_refused_before_any_work(new_learner):
    with pytest.raises(ValueError, match=r"micro-bse.*Did you mean 'micro-base'"):
        new_learner("zscl", reference={"source": "micro-bse"})
    with pytest.raises(FileNotFoundError, match="micro-base"):
        new_learner("zscl", reference={"source": "micro-base"})


def test_a_method_without_a_reference_does_not_ask_for_one(new_learner, colours):
    learner = new_learner("gift", reference={"source": "micro-bse"})
    assert not learner.streams.needs_reference


def test_a_run_folder_keeps_losses_and_a_sample_of_the_images(new_learner, colours, tmp_path):
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    new_learner().learn(colours, folder=run)
    stages = [event.stage for event in run.events()]
    assert stages == ["generate", "train", "train", "train", "merge"]
    sample = run.task(1, "colours") / "synthetic"
    lines = [json.loads(line) for line in (sample / "manifest.jsonl").read_text().splitlines()]
    assert lines
    assert all((sample / line["file"]).is_file() and line["prompt"] for line in lines)


def test_equal_settings_reuse_synthetic_images(new_learner, colours):
    first = new_learner().generate()
    again = new_learner(training={"iterations": 9, "warmup": 1}).generate()
    assert first.files == again.files
    assert new_learner(seed=1).generate().files != first.files


def test_a_copied_set_of_a_hub_generator_needs_no_network(
    new_learner, colours, tmp_path, monkeypatch
):
    """Of a hub id nothing is looked up before an image is missing."""
    monkeypatch.setattr(DiffusersGenerator, "generate", flat_images)
    monkeypatch.setattr(DiffusersGenerator, "load", lambda self: None)
    settings = {"generator": "someone/generator", "paths": Paths.of(tmp_path / "hub")}
    new_learner(**settings).generate()
    monkeypatch.undo()
    monkeypatch.setattr(diffusers.AutoPipelineForText2Image, "from_pretrained", no_network)
    learner = new_learner(**settings)
    learner.learn(colours)
    with pytest.raises(ValueError, match=r"someone/generator cannot be loaded .*asked the network"):
        learner.generate()  # the second task's, of which nothing is there


def flat_images(generator, prompts, seeds):
    return [Image.new("RGB", (16, 16), (seed % 250 + 1, 9, 9)) for seed in seeds]


def no_network(*arguments, **values):
    raise AssertionError("asked the network")


def test_settings_of_generation_reach_the_pipeline(new_learner, tmp_path):
    changed = {"size": 24, "dtype": "bfloat16", "safety_checker": False}
    learner = new_learner(synthesis={**QUICK["synthesis"], **changed})
    synthetic = learner.generate(2)
    assert synthetic[0].size == (24, 24)
    identity = json.loads((synthetic.files[0].parent / "set.json").read_text())["generator"]
    assert {name: identity[name] for name in changed} == changed


@pytest.mark.parametrize(
    ("synthesis", "message"),
    [
        ({"size": 20}, r"synthesis\.size = 20"),
        ({"dtype": "half"}, r"synthesis\.dtype = 'half'"),
        ({"safety_checker": True}, r"synthesis\.safety_checker = True"),
        ({"revision": "main"}, "revision = 'main' belongs to a hub id"),
    ],
)
def test_wrong_settings_of_generation_are_refused(new_learner, synthesis, message):
    with pytest.raises(ValueError, match=message):
        new_learner(synthesis={**QUICK["synthesis"], **synthesis})


def test_the_identity_of_a_learners_images_never_changes(tiny_clip_folder, tmp_path):
    """Recorded: sets that were generated with the shipped micro model are found again."""
    learner = Learner.from_pretrained(
        tiny_clip_folder,
        generator="builtin:micro/diffusion",
        paths=Paths.of(tmp_path),
        synthesis={"images": 1, "steps": 1, "base_classnames": BASE},
    )
    assert learner.generate().files[0].parent.name == "86c0ffe866cc104e"


def test_prediction_among_seen_given_and_both(new_learner, colours, tmp_path):
    learner = new_learner("finetune")
    image = tmp_path / "colours" / "red" / "0.png"
    with pytest.raises(ValueError, match="give the class names"):
        learner.predict([image])
    learner.learn(colours)
    (seen,) = learner.predict([image])
    assert set(seen.names) == {"red", "green"}
    assert sum(seen.probabilities) == pytest.approx(1)
    assert seen.probabilities[0] >= seen.probabilities[1]
    (given,) = learner.predict([image], classes=["cat", "dog", "owl"], top=2)
    assert len(given.names) == 2
    assert set(given.names) < {"cat", "dog", "owl"}
    (both,) = learner.predict([image], classes=["cat", "red"], seen=True)
    assert set(both.names) == {"red", "green", "cat"}


@pytest.mark.parametrize("method", ["finetune", "condu"])
def test_prediction_for_a_task(new_learner, colours, shapes, tmp_path, method):
    learner = new_learner(method)
    learner.learn(colours)
    learner.learn(shapes)
    image = tmp_path / "colours" / "red" / "0.png"
    (known,) = learner.predict([image], task="colours")
    assert set(known.names) == {"red", "green"}
    (among_all,) = learner.predict([image], task="colours", seen=True, top=9)
    assert set(among_all.names) == {"red", "green", "ring", "bar", "dot"}
    (hidden,) = learner.predict([image], top=9)
    same = hidden.probabilities == pytest.approx(among_all.probabilities, abs=1e-6)
    assert same == (method == "finetune")
    with pytest.raises(ValueError, match=r"unknown task 'colour'.*colours"):
        learner.predict([image], task="colour")


@pytest.mark.parametrize("method", ["gift", "icarl", "finetune_individual", "condu", "condu_lora"])
def test_storage_is_what_lies_on_disk(new_learner, colours, tmp_path, method):
    learner = new_learner(method)
    learner.learn(colours)
    learner.save(tmp_path / "learner")
    stored = load_file(tmp_path / "learner" / "learner" / "method.safetensors")
    storage = learner.storage
    assert storage.method_bytes == sum(tensor.nbytes for tensor in stored.values())
    model = load_file(tmp_path / "learner" / "learner" / "model" / "model.safetensors")
    assert storage.model_bytes == sum(tensor.nbytes for tensor in model.values())
    weights = learner.model.trainable_parameters().values()
    elements = sum(parameter.numel() for parameter in weights)
    floats = [t for name, t in stored.items() if not name.startswith(("mask/", "sizes"))]
    kept = sum(tensor.numel() for tensor in floats)
    of_one_task = {"finetune_individual": elements, "condu": elements + 2 * 16 + 1}
    of_one_task["condu_lora"] = kept
    assert storage.extra_parameters == of_one_task.get(method, 0)


def test_unreadable_images_are_all_named(new_learner, colours, tmp_path):
    learner = new_learner("finetune")
    learner.learn(colours)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"(?s)a\.png.*b\.png"):
        learner.predict([tmp_path / "a.png", tmp_path / "b.png"])


def test_one_bad_file_costs_that_file_and_later_ones_are_read_later(new_learner, colours, tmp_path):
    learner = new_learner("finetune")
    good, late = tmp_path / "colours" / "red" / "0.png", tmp_path / "late.png"
    images = [good, tmp_path / "missing.png", *[good] * 30, late]
    found = learner.classifier(classes=["red", "green"]).predict_each(images)
    first = next(found)
    late.write_bytes(good.read_bytes())
    rest = list(found)
    assert isinstance(rest[0], Unreadable)
    assert "missing.png" in rest[0].reason
    assert all(one.names == first.names for one in rest[1:])
    assert len(rest) == 32


def test_a_class_of_two_tasks_has_one_probability(new_learner, colours, tmp_path):
    learner = new_learner("finetune")
    learner.memory = (LabelSpace("a", ("red", "green")), LabelSpace("b", ("Red", "blue")))
    image = tmp_path / "colours" / "red" / "0.png"
    (among_all,) = learner.predict([image])
    (plain,) = learner.predict([image], classes=["red", "green", "blue"])
    assert among_all.names == plain.names
    assert among_all.probabilities == pytest.approx(plain.probabilities, rel=1e-4)


def test_known_classes_are_said(new_learner, colours, caplog):
    learner = new_learner("zero_shot")
    learner.memory = (LabelSpace("flags", ("Red", "blue")),)
    with caplog.at_level("INFO", "gift"):
        learner.learn(colours)
    assert "colours: 1 of its classes were learned before: red (in flags)." in caplog.text


def test_a_task_of_one_class_is_refused(new_learner, tmp_path):
    task = Task.from_folder(write_folder(tmp_path / "alone", ("red",)))
    with pytest.raises(ValueError, match="'alone' has one class, 'red', and nothing to tell it"):
        new_learner("finetune").learn(task)
    new_learner("zero_shot").learn(task)


def test_what_trains_must_be_told_apart_by_the_first_template(new_learner, tmp_path):
    folder = write_folder(tmp_path / "sea", ("sea_lion", "sea_otter"))
    task = Task.from_folder(folder, templates=("of " * 28 + "{}", "a {}."))
    learner = new_learner("finetune")
    assert learner.evaluate(task)
    with pytest.raises(ValueError, match="'sea lion', 'sea otter' are one to the model"):
        learner.learn(task)


def test_a_broken_training_image_is_found_before_any_work(new_learner, tmp_path):
    folder = write_folder(tmp_path / "broken")
    for name in ("0.png", "2.png"):
        (folder / "red" / name).write_bytes(b"nothing")
    learner = new_learner()
    before = weights(learner)
    with pytest.raises(ValueError, match=r"(?s)2 unreadable images.*0\.png.*2\.png"):
        learner.learn(Task.from_folder(folder))
    assert torch.equal(weights(learner), before)
    assert not (tmp_path / "home" / "images").exists()


def test_a_task_is_learned_once(new_learner, colours):
    learner = new_learner("finetune")
    learner.learn(colours)
    with pytest.raises(ValueError, match="'colours' was already learned"):
        learner.learn(colours)


def test_a_task_without_images_is_refused(new_learner, colours):
    none = replace(colours, train=colours.train.select([]), test=colours.train.select([]))
    learner = new_learner("finetune")
    with pytest.raises(ValueError, match="'colours' has no training images"):
        learner.learn(none)
    with pytest.raises(ValueError, match="'colours' has no images to evaluate on"):
        learner.evaluate(none)


def test_inputs_follow_the_content_of_what_is_used(new_learner, colours, reference, tmp_path):
    def inputs(method, **settings):
        return new_learner(method, **settings).inputs

    folder = shutil.copytree(reference, tmp_path / "other")
    first = inputs("zscl", reference={"source": str(folder), "images": 100})
    assert set(first) == {"model", "reference.source", "reference.images"}
    assert inputs("zscl", reference={"source": str(folder), "images": 100}) == first
    image = next(folder.rglob("*.png"))
    image.write_bytes(next(path for path in folder.rglob("*.png") if path != image).read_bytes())
    after = inputs("zscl", reference={"source": str(folder), "images": 100})
    assert {name for name in first if first[name] != after[name]} == {"reference.images"}
    assert set(inputs("finetune")) == {"model"}
    assert inputs("zero_shot") == {}
    names = tmp_path / "names.txt"
    found = []
    for text in ("fox\nowl\n", "fox\nelk\n"):
        names.write_text(text)
        found.append(inputs("gift", synthesis={"base_classnames": str(names)}))
    changed = {name for name in found[0] if found[0][name] != found[1][name]}
    assert changed == {"synthesis.base_classnames"}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("memory.json", b'[{"name": "a"}]'),
        ("memory.json", b"3"),
        ("method.json", b'{"method": "gift"}'),
        ("method.json", b"[]"),
        ("method.safetensors", b""),
        ("method.safetensors", save({"foreign": torch.zeros(1)})),
    ],
)
def test_a_state_of_something_else_is_refused(new_learner, colours, tmp_path, file, content):
    """Also where its manifest was made to fit."""
    new_learner("icarl").save(tmp_path / "mine")
    state = tmp_path / "mine" / "learner"
    (state / file).write_bytes(content)
    manifest = read_manifest(state)
    sums = {**manifest.files, file: (checksum(state / file),)}
    write_manifest(state, manifest.model_copy(update={"files": sums}))
    with pytest.raises(ValueError, match=r"learner holds no state of a learner with icarl \("):
        Learner.load(tmp_path / "mine")


def test_a_folder_without_a_learner_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no learner"):
        Learner.load(tmp_path)


def right(learner, task):
    """Percent of a task's images whose class `predict` names first."""
    images, names = task.evaluation, task.labels.classnames
    found = learner.predict([images[i] for i in range(len(images))], top=1)
    pairs = zip(found, images.labels, strict=True)
    return 100 * sum(one.names[0] == names[label] for one, label in pairs) / len(images)


def test_both_accuracies_are_named_and_the_second_is_that_of_predict(new_learner, colours, shapes):
    learner = new_learner("finetune")
    before = learner.measure(colours)
    assert [one.among for one in before] == ["task", "seen"]
    assert before[0].value == before[1].value
    learner.learn(colours)
    learner.learn(shapes)
    own, seen = learner.measure(colours)
    assert own.value == learner.evaluate(colours)[0]
    assert seen.value == right(learner, colours)
    assert (own.images, own.model) == ("training", "finetune after shapes")


def test_a_method_with_a_model_per_task_is_told_the_task(new_learner, colours, shapes, tmp_path):
    learner = new_learner("finetune_individual")
    learner.learn(colours)
    learner.learn(shapes)
    own, seen = learner.measure(colours)
    assert own.model == "finetune_individual after shapes, told the task"
    assert seen.model == "finetune_individual after shapes"
    assert seen.value == right(learner, colours)
    with pytest.raises(ValueError, match="choose one of colours, shapes"):
        learner.export(tmp_path / "out")
    with pytest.raises(ValueError, match="unknown task 'colour'"):
        learner.export(tmp_path / "out", task="colour")
    learner.export(tmp_path / "out", task="colours")
    assert CLIPModel.from_pretrained(tmp_path / "out").training is False
    with pytest.raises(ValueError, match="out exists"):
        learner.export(tmp_path / "out", task="colours")


def test_one_class_is_learned_against_others_or_refused(new_learner, colours, tmp_path):
    one = Task.from_folder(write_folder(tmp_path / "one", ("ring",)))
    learner = new_learner("finetune")
    with pytest.raises(ValueError, match="has one class, 'ring', and nothing to tell it from"):
        learner.learn(one)
    learner.learn(colours)
    before = weights(learner)
    learner.learn(one)
    assert not torch.equal(weights(learner), before)
    again = Task.from_folder(write_folder(tmp_path / "again", ("red", "blue")))
    learner.learn(again)
    (found,) = learner.predict([colours.train[0]], top=9)
    assert sorted(found.names) == ["blue", "green", "red", "ring"]
    assert sum(found.probabilities) == pytest.approx(1)


def test_a_text_is_no_list_of_class_names(new_learner, colours):
    learner = new_learner("zero_shot")
    with pytest.raises(ValueError, match="classes = 'cat' is one text"):
        learner.predict([colours.train[0]], classes="cat")
