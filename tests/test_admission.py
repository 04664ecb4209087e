"""Which tasks can be learned next: classes that are added to an earlier one, and single classes."""

from __future__ import annotations

import json

import pytest
from support import write_folder

from gift import Learner, Task
from gift.cli import main
from gift.commands import evaluate, learn
from gift.data import Paths

SETTINGS = {
    "method": "finetune",
    "training": {"iterations": 2, "batch_size": 4, "warmup": 1, "learning_rate": 1e-3},
}


@pytest.fixture
def settings(tiny_clip_folder):
    return {**SETTINGS, "model": str(tiny_clip_folder)}


@pytest.fixture
def pets(tmp_path):
    templates = ("a photo of a {}, a pet.", "the {}")
    return Task.from_folder(write_folder(tmp_path / "pets", ("cat", "dog")), templates=templates)


@pytest.fixture
def more(tmp_path):
    """One new class of the pets."""
    return Task.from_folder(write_folder(tmp_path / "more", ("rat",), seed=3))


def test_a_class_is_added_to_an_earlier_task(settings, pets, more, tmp_path, capsys):
    folder, paths = tmp_path / "learner", Paths.of(tmp_path / "home")
    learn(folder, pets, settings, paths=paths)
    learn(folder, write_folder(tmp_path / "food", ("pie", "jam")), paths=paths)
    with pytest.raises(SystemExit) as exit:
        main(
            [
                *("learn", str(folder), "--task", str(tmp_path / "more"), "--into", "pets"),
                *("--home", str(tmp_path / "home"), "--json"),
            ]
        )
    assert not exit.value.code
    assert json.loads(capsys.readouterr().out)["tasks"] == ["pets", "food", "more"]
    loaded = Learner.load(folder, paths=paths)
    assert (loaded.memory[2].extends, loaded.memory[2].templates) == ("pets", pets.labels.templates)
    (found,) = loaded.predict([pets.train[0]], task="pets", top=9)
    assert sorted(found.names) == ["cat", "dog", "rat"]
    with pytest.raises(ValueError, match="unknown task 'more'"):
        loaded.predict([pets.train[0]], task="more")
    assert len(loaded.predict([pets.train[0]], top=9)[0].names) == 5
    write_folder(tmp_path / "pets", ("rat",), seed=3)
    assert loaded.known_task(Task.from_folder(tmp_path / "pets").labels).name == "pets"
    assert loaded.measure(more.extending("pets"))[0].value <= 100
    assert evaluate(folder, [tmp_path / "pets"], paths=paths)[0].task == "pets"


def test_what_was_killed_after_saving_is_only_measured(settings, pets, more, tmp_path):
    folder = tmp_path / "learner"
    learn(folder, pets, settings)
    found = learn(folder, more.extending("pets"))
    (folder / "tasks/02-more/eval.json").unlink()
    assert learn(folder, more.extending("pets")) == found
    with pytest.raises(ValueError, match="already learned"):
        learn(folder, more.extending("pets"))


def test_added_classes_that_make_no_sense_are_refused(settings, pets, more, tmp_path):
    learner = Learner.from_pretrained(**settings)
    with pytest.raises(ValueError, match=r"unknown task 'pets'. There is none"):
        learner.learn(more.extending("pets"))
    learner.learn(pets)
    with pytest.raises(ValueError, match=r"nothing can be added .* Did you mean 'pets'"):
        learner.learn(more.extending("pet"))
    with pytest.raises(ValueError, match=r"named 'pets' was already learned.*--name"):
        learner.learn(pets.extending("pets"))
    alike = Task.from_folder(write_folder(tmp_path / "alike", ("DOG", "rat")))
    with pytest.raises(ValueError, match=r"pets: .*dog.*DOG"):
        learner.learn(alike.extending("pets"))
    assert len(learner.memory) == 1


def test_other_methods_take_them(settings, pets, more):
    """Also those with a predictor of their own."""
    for method in ("wise_ft", "icarl"):
        learner = Learner.from_pretrained(**{**settings, "method": method})
        learner.memory = (pets.labels,)
        learner.check_task(more.extending("pets"))


@pytest.mark.parametrize("method", ["condu", "condu_lora", "finetune_individual"])
def test_methods_with_a_model_for_each_task_refuse_them(settings, pets, more, method):
    learner = Learner.from_pretrained(**{**settings, "method": method})
    learner.memory = (pets.labels,)
    with pytest.raises(ValueError, match=rf"{method} has a model for each task.*--into"):
        learner.check_task(more.extending("pets"))


def test_a_single_class_that_reads_like_all_others_is_refused(settings, tmp_path):
    learner = Learner.from_pretrained(**settings)
    first = Task.from_folder(write_folder(tmp_path / "one", ("Dog",)))
    learner.memory = (first.labels,)
    again = Task.from_folder(write_folder(tmp_path / "two", ("dog",)))
    with pytest.raises(ValueError, match="has one class, 'dog', and nothing to tell it from"):
        learner.check_task(again)
    learner.check_task(Task.from_folder(write_folder(tmp_path / "three", ("cat",))))
