from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from support import write_folder
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from gift import Task, metrics
from gift.benchmark import check_exclusions, few_shot_tasks, resolve, run
from gift.commands import evaluate
from gift.data import DatasetEntry, Paths, load_benchmark, load_dataset, open_task, provenance
from gift.learner import Learner
from gift.methods import Method, method_names
from gift.metrics import AccuracyMatrix
from gift.progress import listening
from gift.runs import RunFolder
from gift.runs.manifest import damage
from gift.runs.read import read_run


def test_features_for_a_picture_are_kept_on_request(start, tmp_path):
    start("finetune", evaluation={"embedding_images": 2})
    kept = sorted(path.parent.name for path in (tmp_path / "run").rglob("features.safetensors"))
    assert kept == ["01-colours", "02-shapes", "03-sounds", "run"]


def test_settings_for_another_benchmark_are_refused():
    assert resolve("micro-1", "gift", {"benchmark": "micro-1"}).benchmark == "micro-1"
    with pytest.raises(ValueError, match="name the benchmark 'micro-2', but 'micro-1' was asked"):
        resolve("micro-1", "gift", {"seed": 3}, {"benchmark": "micro-2"})


def learned_weights(folder):
    return (folder / "learner" / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("method", method_names())
def test_a_run_writes_what_is_promised(start, tmp_path, method):
    summary = start(method)
    folder = tmp_path / "run"
    for name in ("config.yaml", "env.json", "events.jsonl", "matrix.json", "summary.json", "DONE"):
        assert (folder / name).is_file()
    assert (folder / "tasks" / "02-shapes" / "eval.json").is_file()
    matrix = json.loads((folder / "matrix.json").read_text())
    assert matrix["tasks"] == ["colours", "shapes", "sounds"]
    assert [len(row) for row in matrix["accuracy"]] == [3, 3, 3]
    assert summary.last == pytest.approx(metrics.last(matrix["accuracy"]), abs=1e-4)
    assert summary.seconds["total"] > 0
    assert matrix["setting"]["split"] == "test"


def test_the_plain_model_gives_the_accuracy_that_the_summary_claims(start, tmp_path):
    """Measured with transformers alone."""
    summary = start("gift")
    folder = tmp_path / "run" / "learner" / "model"
    model, tokenizer = CLIPModel.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder)
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    accuracies = []
    for task in (tmp_path / name / "test" for name in ("colours", "shapes", "sounds")):
        classes = sorted(path.name for path in task.iterdir())
        prompts = tokenizer(
            [f"a photo of a {name}." for name in classes], padding=True, return_tensors="pt"
        )
        hits = []
        for label, name in enumerate(classes):
            for path in (task / name).iterdir():
                pixels = processor(Image.open(path), return_tensors="pt").pixel_values
                with torch.no_grad():
                    logits = model(pixel_values=pixels, input_ids=prompts.input_ids)
                hits.append(logits.logits_per_image.argmax().item() == label)
        accuracies.append(100 * sum(hits) / len(hits))
    assert sum(accuracies) / 3 == pytest.approx(summary.last, abs=1e-3)


class Killed(BaseException):
    """Not an Exception, as when a process is stopped."""


@pytest.mark.parametrize("where", ["learning shapes", "evaluating", "generate"])
@pytest.mark.parametrize("method", ["gift", "finetune_individual"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    start, sequence, tmp_path, monkeypatch, method, where
):
    if where == "generate" and method != "gift":
        pytest.skip("generates nothing")
    start(method, "whole")
    path, settings = sequence
    config = resolve(path, method, settings)
    calls = []

    def kill(now):
        calls.append(now.stage)
        if now.stage == where and calls.count(where) == 2 + 3 * (where == "evaluating"):
            raise Killed

    with pytest.raises(Killed), listening(kill):
        run(config, tmp_path / "cut", paths=Paths.of(tmp_path / "other"))
    run(config, tmp_path / "cut", paths=Paths.of(tmp_path / "other"))
    whole, cut = (json.loads((tmp_path / n / "matrix.json").read_text()) for n in ("whole", "cut"))
    assert cut == whole
    assert learned_weights(tmp_path / "cut") == learned_weights(tmp_path / "whole")


def test_a_finished_run_is_not_run_again(start, monkeypatch):
    summary = start("finetune")
    monkeypatch.setattr(Learner, "learn", None)
    assert start("finetune") == summary


def test_a_finished_run_with_altered_files_is_refused_and_reported_with_a_word(
    start, tmp_path, caplog
):
    start("finetune")
    weights = tmp_path / "run" / "learner" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model\.safetensors not as written.*remove .*DONE"):
        start("finetune")
    read_run(tmp_path / "run")
    assert "model/model.safetensors not as written" in caplog.text
    (tmp_path / "run" / "data.json").unlink()
    with pytest.raises(ValueError, match=r"data\.json is missing"):
        start("finetune")


def test_the_model_may_not_change_before_the_first_task_is_learned(
    start, tmp_path, tiny_clip_folder
):
    model = shutil.copytree(tiny_clip_folder, tmp_path / "model")

    def kill(now):
        if now.stage == "learning colours":
            raise Killed

    with pytest.raises(Killed), listening(kill):
        start("finetune", model=str(model))
    with (model / "config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ValueError, match=r"inputs\.json: what model names has changed since"):
        start("finetune", model=str(model))


def test_a_benchmark_without_tasks_is_refused(start):
    with pytest.raises(ValueError, match=r"tasks .*names no task"):
        start("finetune", tasks=[])


def test_the_method_is_made_once(start, monkeypatch):
    made = []
    init = Method.__init__

    def counted(self, settings=None):
        made.append(self)
        init(self, settings)

    monkeypatch.setattr(Method, "__init__", counted)
    start("finetune")
    assert len(made) == 1


def test_other_settings_need_another_folder(start):
    start("finetune")
    with pytest.raises(ValueError, match="seed is 0 there and 1 here"):
        start("finetune", seed=1)


def test_the_upper_bound_is_zero_shot_before_a_task_and_its_own_model_after(start, tmp_path):
    start("finetune_individual")
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    accuracy, zero_shot = matrix["accuracy"], matrix["zero_shot"]
    for task in range(3):
        column = [row[task] for row in accuracy]
        assert column[:task] == zero_shot[task : task + 1] * task
        assert len(set(column[task:])) == 1


def test_zero_shot_rows_are_all_the_same(start, tmp_path):
    start("zero_shot")
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    assert matrix["accuracy"] == [matrix["zero_shot"]] * 3


def test_validation_images_can_be_measured_instead(start, tmp_path):
    start("finetune", evaluation={"split": "validation"})
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    assert matrix["setting"]["split"] == "validation"


def remake(path, **changes):
    """Change a user's benchmark."""
    Path(path).write_text(yaml.safe_dump({**yaml.safe_load(Path(path).read_text()), **changes}))


def read_matrix(tmp_path):
    return json.loads((tmp_path / "run" / "matrix.json").read_text())


def test_without_validation_images_some_of_training_are_set_aside(start, tmp_path, monkeypatch):
    shutil.rmtree(tmp_path / "shapes" / "validation")
    tests_images = {path for path in tmp_path.rglob("*.png") if "test" in path.parts}
    assert tests_images
    for path in tests_images:  # opened, they would stop the run
        path.write_bytes(b"nothing")
    trained = {}
    real = Learner.learn

    def watched(self, task, **more):
        trained[task.name] = task
        real(self, task, **more)

    monkeypatch.setattr(Learner, "learn", watched)
    start("finetune", evaluation={"split": "validation", "validation_fraction": 0.25})
    shapes = trained["shapes"]
    assert [len(shapes.train), len(shapes.evaluation)] == [9, 3]  # of 3 classes of 4 images
    assert not set(shapes.train.files) & set(shapes.evaluation.files)
    assert {path.parts[-3] for path in shapes.evaluation.files} == {"train"}
    assert {path.parts[-3] for path in trained["sounds"].evaluation.files} == {"validation"}
    assert len(trained["sounds"].train) == 8
    assert read_matrix(tmp_path)["images"] == [8, 3, 8]


def test_all_classes_may_compete(start, sequence, tmp_path):
    remake(sequence[0], label_space="union", task_id="hidden")
    start("zero_shot")
    matrix = read_matrix(tmp_path)
    assert matrix["setting"]["label_space"] == "union"
    assert matrix["accuracy"] == [matrix["zero_shot"]] * 3
    remake(sequence[0], label_space="task", task_id="given")
    with pytest.raises(ValueError, match="label_space is 'union' there and 'task' here; task_id"):
        start("zero_shot")
    start("zero_shot", folder="own")
    own = json.loads((tmp_path / "own" / "matrix.json").read_text())
    # The classes of "shapes" are all there are; the others lack "three".
    assert own["zero_shot"][1] == matrix["zero_shot"][1]
    assert own["zero_shot"][0] >= matrix["zero_shot"][0]


def test_only_seen_classes_compete(start, sequence, tmp_path, paths):
    remake(sequence[0], label_space="seen", task_id="hidden")
    summary = start("zero_shot")
    matrix = read_matrix(tmp_path)
    rows, images = matrix["accuracy"], matrix["images"]
    assert [[value is None for value in row] for row in rows] == [
        [False, True, True],
        [False, False, True],
        [False, False, False],
    ]
    seen = metrics.seen_accuracy(rows, images=images)
    assert matrix["zero_shot"] == pytest.approx(seen)  # the model never changes
    assert summary.transfer is None
    assert summary.avg == summary.zero_shot["mean"]
    rule = {"label_space": "seen", "task_id": "hidden", "split": "test", "draw": 0}
    assert summary.setting == matrix["setting"] == rule
    kept = json.loads((tmp_path / "run" / "tasks" / "01-colours" / "eval.json").read_text())
    (only,) = kept["accuracy"]
    assert (only["task"], only["among"], only["images"]) == ("colours", "seen", "test")
    found = evaluate(tmp_path / "run", [], sequence[0], paths=paths)
    assert [one.value for one in found] == rows[-1]
    with pytest.raises(ValueError, match="has learned no task of micro-cil"):
        evaluate(tmp_path / "run", [], "micro-cil", paths=paths)


def test_a_method_that_needs_the_task_is_refused_where_it_is_hidden(sequence, start, tmp_path):
    remake(sequence[0], task_id="hidden")
    with pytest.raises(ValueError, match="finetune_individual must be given the task"):
        start("finetune_individual")
    assert not (tmp_path / "run").exists()


def test_classes_of_one_data_set_arrive_step_by_step(sequence, tmp_path, paths):
    path, settings = sequence
    for part in ("train", "test"):
        write_folder(tmp_path / "letters" / part, "abcdef", count=3)
    dataset = {"name": "letters", "source": {"path": "letters"}, "classnames": list("abcdef")}
    steps = {"dataset": dataset, "order": [5, 0, 3, 1, 4, 2], "initial": 2, "increment": 2}
    content = {
        "name": "steps",
        "class_incremental": steps,
        "label_space": "seen",
        "task_id": "hidden",
        "base_classnames": "base.txt",
    }
    path = tmp_path / "steps.yaml"
    path.write_text(yaml.safe_dump(content))
    config = resolve(str(path), "gift", settings)
    run(config, tmp_path / "run", paths=paths)
    matrix = read_matrix(tmp_path)
    assert matrix["tasks"] == ["letters-01", "letters-02", "letters-03"]
    assert matrix["images"] == [6, 6, 6]
    memory = json.loads((tmp_path / "run" / "learner" / "memory.json").read_text())
    assert [task["classnames"] for task in memory] == [["f", "a"], ["d", "b"], ["e", "c"]]
    some = resolve(str(path), "finetune", settings, {"tasks": ["letters-01", "letters-02"]})
    run(some, tmp_path / "some", paths=paths)
    kept = json.loads((tmp_path / "some" / "matrix.json").read_text())
    assert kept["tasks"] == ["letters-01", "letters-02"]
    assert kept["zero_shot"] == matrix["zero_shot"][:2]


def test_a_template_must_be_for_a_task(start):
    start("zero_shot", synthesis={"templates": {"shapes": "a drawing of {}."}})
    with pytest.raises(ValueError, match=r"'shape' is no task of .* Did you mean 'shapes'"):
        start("zero_shot", folder="other", synthesis={"templates": {"shape": "a {}."}})


def test_what_is_excluded_must_exist(start):
    start("zero_shot", synthesis={"exclude": ["shapes", "one", "fox"]})
    with pytest.raises(ValueError, match="Did you mean 'fox'"):
        start("zero_shot", folder="other", synthesis={"exclude": ["fix"]})


@pytest.mark.parametrize("source", ["synthetic", "real"])
def test_a_reference_data_set_is_made_when_it_is_needed(start, monkeypatch, tmp_path, source):
    made = []

    def make(name, folder, draw):
        made.append((name, draw))
        write_folder(folder / "train", load_dataset(name).classnames, count=1)

    monkeypatch.setattr("gift.data.opening.maker", lambda catalogue: make)
    monkeypatch.setattr("gift.data.opening.count_problem", lambda entry, reading: "")
    start("gift", synthesis={"source": source}, reference={"source": "micro-base", "images": 6})
    assert made == ([("micro-base", 0)] if source == "real" else [])


def test_some_tasks_of_a_benchmark(start, tmp_path):
    start("finetune", tasks=["sounds", "colours"])
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    assert matrix["tasks"] == ["colours", "sounds"]  # the benchmark's order


def test_an_unknown_task_is_refused(start):
    with pytest.raises(ValueError, match="Did you mean 'sounds'"):
        start("finetune", tasks=["sound"])


def test_broken_test_images_are_found_before_any_work(start, tmp_path):
    (tmp_path / "sounds" / "test" / "one" / "0.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"sounds/test/one/0\.png"):
        start("finetune")
    assert not (tmp_path / "run" / "matrix.json").exists()


def test_a_run_without_its_learner_is_not_finished_with_wrong_numbers(
    start, sequence, tmp_path, paths
):
    path, settings = sequence

    def kill(now):
        if now.stage == "learning shapes":
            raise Killed

    config = resolve(path, "finetune", settings)
    with pytest.raises(Killed), listening(kill):
        run(config, tmp_path / "run", paths=paths)
    shutil.rmtree(tmp_path / "run" / "learner")
    with pytest.raises(ValueError, match="learner is missing, although colours was learned here"):
        start("finetune")


def test_a_damaged_learner_is_learned_again_from_the_one_before(start, tmp_path, caplog):
    start("finetune")
    folder = tmp_path / "run"
    matrix = (folder / "matrix.json").read_text()
    weights = folder / "learner" / "model" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    (folder / "DONE").unlink()
    start("finetune")
    assert "model/model.safetensors not as written" in caplog.text
    assert (folder / "matrix.json").read_text() == matrix
    assert weights.read_bytes() == whole
    assert damage(folder / "learner.previous") is None


def test_a_finished_run_keeps_its_configuration(start, tmp_path):
    start("finetune")
    config = (tmp_path / "run" / "config.yaml").read_text()
    start("finetune", training={"workers": 3})
    assert (tmp_path / "run" / "config.yaml").read_text() == config


def test_a_benchmark_that_changed_is_not_continued(start, sequence):
    start("finetune")
    path = Path(sequence[0])
    path.write_text(path.read_text().replace("name: mine", "name: mine\nversion: 2"))
    with pytest.raises(ValueError, match="version is 1 there and 2 here"):
        start("finetune")


def test_a_task_without_test_images_is_refused(start, tmp_path):
    shutil.rmtree(tmp_path / "shapes" / "test")
    with pytest.raises(ValueError, match="task 'shapes' has no test images"):
        start("finetune")


def test_the_generator_is_not_needed_to_predict(start, tiny_pipeline_folder, tmp_path, paths):
    folder = shutil.copytree(tiny_pipeline_folder, tmp_path / "pipeline")
    start("gift", synthesis={"generator": str(folder)})
    shutil.rmtree(folder)
    picture = tmp_path / "colours" / "test" / "one" / "0.png"
    learner = Learner.load(tmp_path / "run", paths=paths)
    assert learner.predict([picture])


def test_the_generator_is_not_needed_to_evaluate(start, tiny_pipeline_folder, tmp_path):
    folder = shutil.copytree(tiny_pipeline_folder, tmp_path / "pipeline")
    first = start("gift", synthesis={"generator": str(folder)})
    shutil.rmtree(folder)
    (tmp_path / "run" / "DONE").unlink()
    assert start("gift", synthesis={"generator": str(folder)}).avg == first.avg


def test_a_generator_that_fails_is_found_before_any_measurement(
    start, tiny_pipeline_folder, tmp_path
):
    """A tensor that its weights lack is seen when they are loaded; what was begun is not cached."""
    folder = shutil.copytree(tiny_pipeline_folder, tmp_path / "pipeline")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    whole = tensors.pop("conv_in.weight")
    save_file(tensors, weights)
    with pytest.raises(ValueError, match=r"pipeline cannot be loaded"):
        start("gift", synthesis={"generator": str(folder)})
    assert not (tmp_path / "run" / "matrix.json").exists()
    save_file(tensors | {"conv_in.weight": whole}, weights)
    shutil.rmtree(tmp_path / "run")
    start("gift", synthesis={"generator": str(folder)})
    generated = [
        event for event in RunFolder(tmp_path / "run").events() if event.stage == "generate"
    ]
    assert [event.cached for event in generated] == [0] * len(generated)


def test_a_generator_that_is_none_is_refused_before_any_work(start, tmp_path):
    with pytest.raises(ValueError, match="not a diffusers pipeline"):
        start("gift", synthesis={"generator": str(tmp_path)})
    assert not (tmp_path / "run" / "matrix.json").exists()


def colours_entry(**values):
    return DatasetEntry.model_validate({"name": "colours", "source": {"path": "colours"}} | values)


def test_excluded_names_are_tasks_classes_or_general_names(tmp_path):
    benchmark, tasks = load_benchmark("micro-1"), [Task.from_folder(write_folder(tmp_path / "x"))]
    check_exclusions(["micro-food", "red", "fox"], benchmark, tasks, ["fox"])
    for wrong, meant in (("micro-foot", "micro-food"), ("rad", "red"), ("foxx", "fox")):
        with pytest.raises(ValueError, match=rf"'{wrong}' is no task of micro-1.*mean '{meant}'"):
            check_exclusions(["red", wrong], benchmark, tasks, ["fox"])


def test_a_few_images_are_drawn_and_kept_with_the_run(tmp_path):
    tasks = []
    for number, name in enumerate(("first", "second")):
        write_folder(tmp_path / name / "train", count=6, seed=number)
        write_folder(tmp_path / name / "test", count=2)
        tasks.append(Task.from_folder(tmp_path / name))
    folder = RunFolder(tmp_path / "run")
    drawn = few_shot_tasks(tasks, 2, 7, folder)
    for number, (whole, few) in enumerate(zip(tasks, drawn, strict=True), start=1):
        assert few.train.labels == (0, 0, 1, 1)
        assert few.test == whole.test
        path = tmp_path / "run" / "tasks" / f"{number:02d}-{whole.name}" / "train-indices.json"
        kept = json.loads(path.read_text())
        assert (kept["shots"], kept["seed"], kept["of"]) == (2, 7, 12)
        assert whole.train.select(kept["indices"]) == few.train
    with pytest.raises(ValueError, match=r"9 images per class were asked for.*first/train"):
        few_shot_tasks(tasks, 9, 7, folder)


def test_a_run_learns_from_a_few_images(tmp_path, tiny_clip_folder, paths):
    for part in ("train", "test"):
        write_folder(tmp_path / "colours" / part, count=5)
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, shots: 2, shots_seed: 1, tasks: [{name: colours, source: {path: colours}}]}"
    )
    settings = {
        "model": str(tiny_clip_folder),
        "training": {"iterations": 2, "batch_size": 2, "warmup": 1},
    }
    config = resolve(str(tmp_path / "mine.yaml"), "finetune", settings)
    run(config, tmp_path / "run", paths=paths)
    kept = tmp_path / "run" / "tasks" / "01-colours" / "train-indices.json"
    assert len(json.loads(kept.read_text())["indices"]) == 4


def test_other_data_are_refused_when_a_run_is_resumed(tmp_path):
    for part in ("train", "test"):
        write_folder(tmp_path / "colours" / part, count=3)
    folder = RunFolder(tmp_path / "run")

    def keep(root=tmp_path, **changes):
        entry = colours_entry(**changes)
        paths = Paths.of(data=root)
        folder.write_data({"colours": asdict(provenance(open_task(entry, paths), paths, entry))})
        return json.loads((tmp_path / "run" / "data.json").read_text())["colours"]

    first = keep()
    assert (first["place"], first["test"]["images"]) == ("colours", 6)
    assert keep(templates=["a {}."])["words"] != first["words"]  # nothing was learned yet
    keep()
    folder.write_matrix(AccuracyMatrix("mine", 1, ("colours",), (50.0,)))
    write_folder(tmp_path / "moved" / "colours" / "train", count=3)
    write_folder(tmp_path / "moved" / "colours" / "test", count=3)
    assert keep(tmp_path / "moved") == first
    (tmp_path / "colours" / "test" / "red" / "0.png").unlink()
    with pytest.raises(
        ValueError,
        match=r"begun on other data: colours\.test\.images is 6 there and 5 here; colours\.test",
    ):
        keep()
    (tmp_path / "run" / "data.json").unlink()
    with pytest.raises(ValueError, match=r"data\.json is missing"):
        keep()
    shutil.copytree(tmp_path / "moved", tmp_path, dirs_exist_ok=True)
    assert keep() == first


def test_a_run_keeps_what_it_is_measured_on(tmp_path, tiny_clip_folder, paths):
    for part in ("train", "test"):
        write_folder(tmp_path / "colours" / part, count=3)
    task = "{name: colours, source: {path: colours}, metric: mean_per_class}"
    (tmp_path / "mine.yaml").write_text(f"{{name: mine, tasks: [{task}]}}")
    settings = {
        "model": str(tiny_clip_folder),
        "training": {"iterations": 2, "batch_size": 2, "warmup": 1},
    }
    config = resolve(str(tmp_path / "mine.yaml"), "finetune", settings)
    run(config, tmp_path / "run", paths=paths)
    kept = json.loads((tmp_path / "run" / "data.json").read_text())
    assert kept["colours"]["train"]["images"] == 6
    matrix = json.loads((tmp_path / "run" / "matrix.json").read_text())
    assert matrix["setting"]["metric"] == {"colours": "mean_per_class"}
    (tmp_path / "run" / "DONE").unlink()
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, tasks: [{name: colours, source: {path: colours}}]}"
    )
    with pytest.raises(
        ValueError, match=r"metric is \{'colours': 'mean_per_class'\} there and None here"
    ):
        run(config, tmp_path / "run", paths=paths)
