"""Exports compute what the learner does, and say how they are used."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from support import words, write_folder
from transformers import pipeline
from vlm.families import save_siglip2

from gift import Learner, Task
from gift.calibration import Calibration
from gift.cli import main
from gift.commands import export, learn
from gift.data.labels import LabelSpace
from gift.evaluate import Accuracy
from gift.export import FORMATS, Facts, Source, agreement
from gift.export.card import escaped, model_card
from gift.export.labels import PipelineLabels
from gift.export.licence import licence_of
from gift.export.writing import class_list
from gift.history import TaskRecord
from gift.methods import Method
from gift.settings import identity
from gift.vlm import VisionLanguageModel

ROOT = Path(__file__).parents[2]
HOSTILE = "<i>`{0}`|[x](://y)"
SPACES = (
    LabelSpace("colours", ("red", "green"), ("a photo of a {}.", "the {}")),
    LabelSpace("shapes: no", ("ring", "green"), ("the {} of {}",)),
    LabelSpace("odd | *", (HOSTILE,), ("{x} {}",)),
)


@pytest.fixture(scope="module")
def learner(tiny_clip_folder):
    """A learner that has tasks with different templates, and one class in two of them."""
    made = Learner.from_pretrained(tiny_clip_folder, method="zero_shot")
    made.memory = SPACES
    return made


@pytest.fixture(scope="module")
def exported(learner, tmp_path_factory):
    """Its export in all formats."""
    folder = tmp_path_factory.mktemp("exports") / "all"
    accuracies = (Accuracy("colours", 12.345, "seen", "test", "zero_shot after x|y"),)
    return learner.export(folder, formats=tuple(FORMATS), accuracies=accuracies)


@pytest.fixture(scope="module")
def image(learner):
    size = learner.model.preprocess.size
    pixels = np.random.default_rng(3).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def read(exported, name):
    return json.loads((exported.folder / name).read_text())


def prediction(learner, image, **options):
    (found,) = learner.predict([image], top=99, **options)
    return dict(zip(found.names, found.probabilities, strict=True))


def probabilities(exported, logits):
    return dict(zip(read(exported, "classes.json")["classes"], softmax(logits), strict=True))


def softmax(logits):
    return torch.as_tensor(np.asarray(logits)).flatten().softmax(dim=0).tolist()


def test_every_format_agrees_with_the_learner(exported):
    assert set(exported.differences) == set(FORMATS)
    assert max(exported.differences.values()) < agreement.TOLERANCE
    assert exported.classes == ("red", "green", "ring", HOSTILE)


def test_the_pipeline_takes_the_class_list_as_it_is(exported, learner, image):
    classes = read(exported, "classes.json")
    classify = pipeline("zero-shot-image-classification", model=str(exported.folder))
    for task in classes["tasks"]:
        found = classify(image, **task["pipeline"])
        first = LabelSpace("x", tuple(task["classes"]), tuple(task["templates"][:1]))
        scores = learner.predictor().scores(pixels(learner, image), [first])
        expected = dict(zip(first.classnames, softmax(scores), strict=True))
        assert {one["label"]: one["score"] for one in found} == pytest.approx(expected, abs=1e-4)
    found = classify(image, **classes["pipeline"])
    assert {classes["class_of_label"][one["label"]] for one in found} == set(exported.classes)


def pixels(learner, image):
    array = learner.model.preprocess.test_array(image)
    return learner.model.preprocess.normalize(torch.from_numpy(array[None]))


def test_onnx_and_torch_predict_as_the_learner(exported, learner, image):
    onnxruntime = pytest.importorskip("onnxruntime")
    steps = read(exported, "preprocessing.json")
    values = np.asarray(image, dtype=np.float32) / 255
    values = (values - np.float32(steps["mean"])) / np.float32(steps["std"])
    batch = values.transpose(2, 0, 1)[None].astype(np.float32)
    expected = pytest.approx(prediction(learner, image), abs=1e-4)
    session = onnxruntime.InferenceSession(exported.folder / "model.onnx")
    assert session.get_inputs()[0].shape[1:] == [3, steps["size"], steps["size"]]
    (logits,) = session.run(["logits"], {"pixels": batch})
    assert probabilities(exported, logits) == expected
    program = torch.export.load(exported.folder / "model.pt2").module()
    assert probabilities(exported, program(torch.from_numpy(batch)).detach()) == expected
    many = torch.from_numpy(batch).expand(5, -1, -1, -1)
    assert program(many).shape == (5, len(exported.classes))


def test_the_image_tower_is_exported_without_the_text_tower(exported, learner):
    program = torch.export.load(exported.folder / "model.pt2")
    stored = sum(tensor.numel() for tensor in program.state_dict.values())
    tower = sum(tensor.numel() for tensor in learner.model.towers.vision_model.parameters())
    assert stored < 1.2 * tower


def test_the_head_is_the_classifier(exported, learner, image):
    head = load_file(exported.folder / "head.safetensors")
    assert head["class_of_row"].tolist() == read(exported, "classes.json")["class_of_row"]
    torch.testing.assert_close(head["class_embeddings"].norm(dim=1), torch.ones(5))
    features = learner.model.encode_images(pixels(learner, image))
    rows = head["logit_scale"] * features @ head["class_embeddings"].T
    best = [rows[0, head["class_of_row"] == i].max().item() for i in range(4)]
    expected = pytest.approx(prediction(learner, image), abs=1e-4)
    assert probabilities(exported, best) == expected


def test_a_folder_of_transformers_needs_nothing_of_ours(exported, image, tmp_path):
    image.save(tmp_path / "photo.png")
    card = (exported.folder / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?pipeline.*?)```", card, re.DOTALL)
    code = code.replace("photo.jpg", str(tmp_path / "photo.png"))
    code += (
        "\nimport sys\nassert not {'gift', 'torchvision'} & {n.split('.')[0] for n in sys.modules}"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(len(found))"],
        cwd=exported.folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "5"


def test_the_card_has_front_matter_and_escapes_names(exported):
    _, front, text = (exported.folder / "README.md").read_text().split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["pipeline_tag"] == "zero-shot-image-classification"
    assert values["license"] == "unknown"
    assert "base_model" not in values  # a folder of this machine
    assert "| odd \\| \\* | 1 | {x} {} |" in text
    assert HOSTILE not in text
    assert escaped(HOSTILE) in text
    assert "| colours | 12.3 | all classes seen | test images | zero\\_shot after x\\|y |" in text
    assert "Licence of the base model: unknown" in text
    assert str(ROOT.parent) not in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("# top", "\\# top"),
        ("www.e.example", "www\\.e.example"),
        ("me@e.example", "me\\@e.example"),
        ("a\u2028b", "a\\\\u2028b"),
        ("1. b", "\u200b1. b"),
    ],
)
def test_what_markdown_takes_for_markup_is_escaped(name, expected):
    assert escaped(name) == expected


def test_the_card_cites_both_papers_as_the_repository_does(exported):
    card = (exported.folder / "README.md").read_text()
    for paper in yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]:
        assert f"title = {{{paper['title']}}}" in card
        names = (f"{one['family-names']}, {one['given-names']}" for one in paper["authors"])
        assert f"author = {{{' and '.join(names)}}}" in card
        assert f"booktitle = {{{paper['collection-title']}}}" in card
        assert f"year = {{{paper['year']}}}" in card


def test_the_licence_is_that_of_the_base_models_card(tmp_path, learner):
    assert licence_of(str(tmp_path)) == "unknown"
    for text, expected in (
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\nlicense: [a]\n---\n", "unknown"),
        ("---\nlicense: '<b>'\n---\n", "unknown"),
        ("---\nlicense: &a [*a]\n---\n", "unknown"),
        ("# no front matter", "unknown"),
    ):
        (tmp_path / "README.md").write_text(text)
        assert licence_of(str(tmp_path)) == expected
    assert licence_of("no one/has this name") == "unknown"
    assert licence_of("openai/nothing-of-that-name") == "unknown"


def test_a_hub_id_is_the_base_model_of_the_card(learner):
    source = Source.of(learner.method, learner.model, learner.predictor(), SPACES[:1], None)
    config = learner.config.model_copy(update={"model": "openai/clip-vit-base-patch16"})
    _, front, text = model_card(source, Facts(config), {"head": 0.0}).split("---\n", 2)
    assert yaml.safe_load(front)["base_model"] == "openai/clip-vit-base-patch16"
    assert "pipeline(" not in text
    assert "None is recorded" in text


def test_a_format_that_computes_something_else_is_not_written(learner, tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS, "head", lambda source, folder: float("nan"))
    with pytest.raises(ValueError, match="the export as head differs from the learner by nan"):
        learner.export(tmp_path / "out", formats=("head",))
    assert not list(tmp_path.iterdir())


def test_a_difference_is_seen_where_probabilities_are_saturated():
    original = torch.tensor([[1000.0, 0.0]])
    assert agreement.difference(original + torch.tensor([[5.0, 0.0]]), original, 100.0) > 0.01
    assert np.isnan(agreement.difference(original * torch.nan, original, 100.0))


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        ((), "no format is given"),
        (("onx",), "unknown format 'onx'. Did you mean 'onnx'"),
        (("head", "head"), "the format head is given twice"),
        ("onnx", "formats = 'onnx' is one text"),
    ],
)
def test_wrong_formats_are_refused(learner, tmp_path, formats, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        learner.export(tmp_path / "out", formats=formats)


def test_missing_packages_are_named(learner, tmp_path, monkeypatch):
    monkeypatch.setattr("gift.export.formats.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"onnx needs onnx and .*pip install 'gift-cl\[onnx\]'"):
        learner.export(tmp_path / "out", formats=("onnx",))


def test_nothing_learned_is_refused(tiny_clip_folder, tmp_path):
    fresh = Learner.from_pretrained(tiny_clip_folder, method="zero_shot")
    with pytest.raises(ValueError, match="nothing was learned yet"):
        fresh.export(tmp_path / "out")


def test_a_method_with_a_rule_of_its_own_is_refused(learner):
    class Voting(Method):
        def predictor(self, model, learned=()):
            raise NotImplementedError

    with pytest.raises(ValueError, match="classifies by a rule of its own"):
        Source.of(Voting(), learner.model, learner.predictor(), SPACES, None)


def test_a_prompt_that_the_pipeline_would_not_cut_is_refused(learner, tmp_path):
    source = LabelSpace("long", ("qx " * 40, "b"))
    with pytest.raises(ValueError, match=r"has \d+ tokens, but the model reads 32"):
        PipelineLabels.of(learner.model, [source]).check(learner.model)


@pytest.mark.parametrize("method", ["condu", "condu_lora", "finetune_individual"])
def test_a_method_with_a_model_per_task_exports_the_tasks(
    method, tiny_clip_folder, tmp_path, image
):
    training = {"iterations": 2, "batch_size": 4, "warmup": 1, "learning_rate": 1e-2}
    own = Learner.from_pretrained(tiny_clip_folder, method=method, training=training)
    own.learn(Task.from_folder(write_folder(tmp_path / "colours")))
    own.learn(Task.from_folder(write_folder(tmp_path / "shapes", ("ring", "box"), seed=1)))
    with pytest.raises(ValueError, match="choose one of colours, shapes"):
        own.export(tmp_path / "out", formats=("head",))
    done = own.export(tmp_path / "out", task="shapes", formats=("transformers", "head"))
    assert set(done.classes) == {"ring", "box"}
    classify = pipeline("zero-shot-image-classification", model=str(done.folder))
    scores = classify(image, **read(done, "classes.json")["pipeline"])
    found = {one["label"]: one["score"] for one in scores}
    assert found == pytest.approx(prediction(own, image, task="shapes"), abs=1e-4)
    assert found != pytest.approx(prediction(own, image, classes=["ring", "box"]), abs=1e-4)


def test_classes_that_were_added_to_a_task_are_exported_with_it(learner, tmp_path):
    own = Learner(learner.config)
    own.memory = (*SPACES[:2], LabelSpace("later", ("blue",), SPACES[0].templates, "colours"))
    done = own.export(tmp_path / "out", task="colours", formats=("head",))
    assert done.classes == ("red", "green", "blue")


def test_labels_of_a_model_that_reads_lower_case_are_written_so(learner):
    upper = [LabelSpace("x", ("Red", "green"), ("A {}",))]
    plain = PipelineLabels.of(learner.model, upper)
    assert (plain.labels, plain.template) == (("Red", "green"), "A {}")

    class Sigmoid(VisionLanguageModel):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.has_causal_text_tower = False

    lower = PipelineLabels.of(Sigmoid(), upper)
    assert (lower.labels, lower.template) == (("a red", "a green"), "{}")
    assert lower.classes == ("Red", "green")


def test_label_spaces_of_words_are_plain(learner):
    labels = PipelineLabels.of(learner.model, [words("x")])
    assert labels.arguments["candidate_labels"] == ["x a", "x b", "x c"]


def test_the_command_writes_measured_accuracies_and_says_the_difference(
    tiny_clip_folder, tmp_path, capsys
):
    folder = tmp_path / "learner"
    settings = {"model": str(tiny_clip_folder), "method": "zero_shot"}
    task = Task.from_folder(write_folder(tmp_path / "colours"))
    learned = learn(folder, task, settings)
    words = ["export", str(folder), str(tmp_path / "out"), "--format", "head", "--json"]
    with pytest.raises(SystemExit) as end:
        main(words)
    assert not end.value.code
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == list(task.labels.classnames)
    assert found["differences"]["head"] < agreement.TOLERANCE
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| colours | {learned.after[0].value:.1f} | the task's own classes | training" in card
    (kept,) = folder.glob("tasks/*/eval.json")
    kept.write_text('{"accuracy": [{"task": "colours", "value": "a lot"}]}')
    export(folder, tmp_path / "again", formats=["head"])
    assert "None is recorded" in (tmp_path / "again" / "README.md").read_text()


def test_a_sigmoid_model_is_read_by_the_pipeline_as_it_was_trained(tmp_path):
    save_siglip2(tmp_path / "siglip2", context=64)
    own = Learner.from_pretrained(tmp_path / "siglip2", method="zero_shot")
    own.memory = (LabelSpace("x", ("Abc", "bcd", "dd"), ("the A {}",)),)
    done = own.export(tmp_path / "out", formats=("transformers", "head"))
    assert max(done.differences.values()) < agreement.TOLERANCE
    classes = read(done, "classes.json")
    assert classes["pipeline"]["candidate_labels"] == ["the a abc", "the a bcd", "the a dd"]
    classify = pipeline("zero-shot-image-classification", model=str(done.folder))
    image = Image.new("RGB", (32, 32), (200, 30, 60))
    found = classify(image, **classes["pipeline"])
    (expected,) = own.predict([image], top=3)
    assert [classes["class_of_label"][one["label"]] for one in found] == list(expected.names)
    odds = [np.log(one["score"] / (1 - one["score"])) for one in found]
    expected_odds = np.log(expected.probabilities)
    np.testing.assert_allclose(np.diff(odds), np.diff(expected_odds), atol=1e-3)
    assert "sigmoids" in (done.folder / "README.md").read_text()


def test_a_context_that_the_pipeline_does_not_know_is_refused(tmp_path):
    save_siglip2(tmp_path / "siglip2")
    own = Learner.from_pretrained(tmp_path / "siglip2", method="zero_shot")
    own.memory = (words("x"),)
    with pytest.raises(ValueError, match="reads texts of 24 tokens, but transformers' pipeline"):
        own.export(tmp_path / "out")
    own.export(tmp_path / "out", formats=("head",))


def test_the_card_tells_how_and_when_tasks_were_learned(learner):
    source = Source.of(learner.method, learner.model, learner.predictor(), SPACES[:2], None)
    now = identity(learner.config)
    then = now | {"training": now["training"] | {"iterations": 77}, "model": "/home/me/clip"}
    history = (
        TaskRecord(name="colours", learned="2026-01-02T03:04:05Z", images=123, settings=then),
        TaskRecord(name="shapes: no", settings=now),
        TaskRecord(name="another", settings=then),
    )
    card = model_card(source, Facts(learner.config, history), {"head": 0.0})
    assert "| colours | 2 | a photo of a {}. and 1 more | 2026-01-02 | 123 |" in card
    assert "| shapes: no | 2 | the {} of {} | unknown | unknown |" in card
    assert "- colours: training.iterations is 77 there and 1000 here\n" in card
    assert "another" not in card
    assert "/home/me" not in card


def test_a_calibration_goes_along_where_all_classes_compete(learner):
    fitted = Calibration(
        temperature=2.5, threshold=0.4, goal="precision", target=0.9, answers=9, precision=0.9,
        coverage=0.8, rejected=None, accuracy=0.8, error_before=0.1, error=0.0, known=10, others=0,
    )  # fmt: skip
    facts = Facts(learner.config, calibration=fitted)
    every = Source.of(learner.method, learner.model, learner.predictor(), SPACES, None)
    assert class_list(every, fitted)["calibration"] == {"temperature": 2.5, "threshold": 0.4}
    assert "by the temperature\n2.5" in model_card(every, facts, {"onnx": 0.0})
    one = Source.of(learner.method, learner.model, learner.predictor(), SPACES, "colours")
    assert "calibration" not in class_list(one, fitted)
    assert "temperature\n" not in model_card(one, facts, {"onnx": 0.0})
