"""The forgetting meter: which images it looks at, what it says, and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support import write_folder
from test_cli import call

from gift import Learner, Task
from gift.benchmark import resolve
from gift.commands import learn
from gift.commands.planning import plan_learning
from gift.config import LearnerConfig
from gift.data.labels import LabelSpace
from gift.forgetting import ForgettingMeter, groups, images_of
from gift.runs import Kept, KeptFolder, KeptGroup, RunFolder
from gift.runs.records import read_kept
from gift.settings import fingerprint, merge, validate
from gift.synthesis import plan

NAMES = ("fox", "owl", "elk")


@pytest.fixture
def learner(sequence, tmp_path, paths):
    """A learner that has learned two tasks, as far as its memory goes."""
    (tmp_path / "base.txt").write_text("fox\nowl\nelk\nfox\n")
    settings = {
        **sequence[1],
        "forgetting": {"images": 5},
        "synthesis": {
            **sequence[1]["synthesis"],
            "base_classnames": str(tmp_path / "base.txt"),
            "exclude": ["shapes", "red"],
        },
    }
    learner = Learner(validate(LearnerConfig, settings), paths=paths)
    colours = LabelSpace("colours", ("red", "green"), ("the colour {}",))
    learner.memory = (colours, LabelSpace("shapes", ("ball", "cube")))
    return learner


def test_balanced_plans_take_prompts_in_turn_and_smaller_ones_are_prefixes():
    whole = plan(NAMES, task_index=1, count=7, balanced=True)
    assert whole[:4] == plan(NAMES, task_index=1, count=4, balanced=True)
    prompts = [image.prompt for image in whole]
    assert sorted(prompts[:3]) == sorted(prompts[3:6]) == sorted(NAMES)


def test_images_are_of_general_names_and_of_earlier_tasks_and_held_out(learner):
    general, colours = groups(learner)  # shapes is excluded
    assert (general.task, general.labels.classnames) == (None, NAMES)
    assert colours.names == {"the colour green": "green"}
    seen = learner.generate(60)
    held_out = learner.streams.held_out(tuple(general.names), 5)
    assert len(set(held_out.captions)) == 3
    pixels = {np.asarray(images[i]).tobytes() for images in [seen] for i in range(len(images))}
    assert not pixels & {np.asarray(held_out[i]).tobytes() for i in range(5)}
    later = replace(learner.memory[0], name="later")
    learner.memory = (*learner.memory, later)
    assert learner.streams.held_out(tuple(general.names), 5).cached == 5, "each is generated once"


def test_a_plan_counts_its_images(learner, tmp_path):
    learner.method.streams = ()  # it would not generate images
    task = Task.from_folder(tmp_path / "colours")
    plan = plan_learning(learner, task)
    assert (plan.generate, plan.stored) == (7, 0), "five general ones, two of a class name"
    assert plan.generator is not None
    ForgettingMeter(learner)
    plan = plan_learning(learner, task, [task])
    assert (plan.generate, plan.stored) == (0, 7)
    assert plan.classified == 2 * 4 * len(task.test) + 2 * 7


def test_seeds_are_others_in_the_bits_that_torch_looks_at():
    trained = {
        image.seed % 2**32
        for task in range(1, 30)
        for image in plan(NAMES, task_index=task, count=1000, seed=42)
    }
    held_out = plan(NAMES, task_index=1, count=1000, seed=242, balanced=True)
    assert not trained & {image.seed % 2**32 for image in held_out}


def test_a_model_that_does_not_change_keeps_everything(learner):
    meter = ForgettingMeter(learner)
    general, colours = meter.after(learner)
    assert (general.name, general.classes, general.images) == ("", 3, 5)
    assert (colours.name, colours.classes, colours.images) == ("colours", 2, 2)
    assert {general.agreement, colours.agreement} == {100.0}
    assert general.before == general.after


def test_a_model_whose_answers_turn_around_keeps_nothing(learner):
    meter = ForgettingMeter(learner)

    class Reversed:
        """The least probable class of before is the most probable one."""

        def __init__(self, predictor):
            self.predictor = predictor

        def scores(self, *arguments):
            return -self.predictor.scores(*arguments)

    predictor = learner.predictor()
    learner.predictor = lambda: Reversed(predictor)
    assert [group.agreement for group in meter.after(learner)] == [0.0, 0.0]


def test_the_meter_is_on_where_images_are_generated_anyway():
    config = LearnerConfig()
    assert images_of(config, generates=True) == 100
    assert images_of(config, generates=False) == 0
    asked = validate(LearnerConfig, {"forgetting": {"images": 7}})
    assert images_of(asked, generates=False) == 7
    assert images_of(validate(LearnerConfig, {"forgetting": {"images": 0}}), generates=True) == 0
    assert fingerprint(asked) == fingerprint(config), "it does not bear on what is learned"


def test_a_benchmark_refuses_it(sequence):
    with pytest.raises(ValueError, match=r"forgetting\.images is for 'gift learn'"):
        resolve(sequence[0], "gift", sequence[1], {"forgetting": {"images": 3}})


def test_what_was_kept_is_written_and_no_number_changes(sequence, tmp_path, paths):
    on = merge(sequence[1], {"forgetting": {"images": 3}})
    tasks = [Task.from_folder(tmp_path / name) for name in ("colours", "shapes")]
    sounds = Task.from_folder(tmp_path / "sounds")
    for folder, settings in (("on", on), ("off", sequence[1])):
        learn(tmp_path / folder, tasks[0], settings, paths=paths)
    kept = learn(tmp_path / "on", tasks[1], check=[sounds, tasks[0]], paths=paths).kept
    off = learn(tmp_path / "off", tasks[1], paths=paths)
    weights = [
        (tmp_path / folder / "learner" / "model" / "model.safetensors").read_bytes()
        for folder in ("on", "off")
    ]
    assert weights[0] == weights[1]
    assert off.kept == Kept(task="shapes")
    assert not (tmp_path / "off" / "tasks" / "02-shapes" / "forgetting.json").exists()
    assert read_kept(tmp_path / "on" / "tasks" / "02-shapes" / "forgetting.json") == kept
    assert [(group.name, group.images) for group in kept.generated] == [("", 3), ("colours", 3)]
    named = [(one.name, one.known, one.images) for one in kept.folders]
    assert named == [("sounds", "colours", 8), ("colours", "colours", 8)], "equal classes"
    stages = [event.stage for event in RunFolder(tmp_path / "on").events()]
    assert stages.count("forgetting") == 2


def test_methods_that_generate_nothing_measure_on_request(sequence, tmp_path, paths):
    settings = merge(sequence[1], {"method": "l2", "forgetting": {"images": 2}})
    kept = learn(tmp_path / "l", Task.from_folder(tmp_path / "colours"), settings, paths=paths).kept
    assert [(group.name, group.images) for group in kept.generated] == [("", 2)]


def test_folders_to_check_are_refused_before_any_work(sequence, tmp_path, paths):
    task = Task.from_folder(tmp_path / "colours")
    write_folder(tmp_path / "other" / "shapes", ("one", "two"))
    twice = [Task.from_folder(tmp_path / name) for name in ("shapes", "other/shapes")]
    with pytest.raises(ValueError, match="several folders to check are called shapes"):
        learn(tmp_path / "l", task, sequence[1], check=twice, paths=paths)
    write_folder(tmp_path / "alike", ("Cat", "cat"))
    alike = Task.from_folder(tmp_path / "alike")
    with pytest.raises(ValueError, match="alike: the classes 'Cat', 'cat' are one to the model"):
        learn(tmp_path / "l", task, sequence[1], check=[alike], paths=paths)
    assert not (tmp_path / "l" / "learner").exists()


def test_one_line_says_what_was_kept():
    assert Kept(task="a").in_words() == ""
    groups = (
        KeptGroup(name="", classes=10, images=30, agreement=90.0, before=80.0, after=70.0),
        KeptGroup(name="b", classes=2, images=10, agreement=50.0, before=40.0, after=50.0),
    )
    folder = KeptFolder(
        name="c",
        place="c",
        images=5,
        known=None,
        before=80.0,
        after=75.5,
        before_seen=80.0,
        after_seen=60.0,
    )
    assert Kept(task="a", generated=groups, folders=(folder,)).in_words() == (
        "kept: 80.0 % of the answers on 40 generated images are as before, 70.0 % were correct and "
        "65.0 % are now; the accuracy on the folder changed by -4.5 points."
    )


def test_the_command_prints_a_table_and_the_line(sequence, tiny_clip_folder, tmp_path, capsys):
    (tmp_path / "s.yaml").write_text(json.dumps(sequence[1] | {"method": "finetune"}))
    folder = write_folder(tmp_path / "[red]<b>", ("one", "two"))
    words = [
        "learn",
        tmp_path / "l",
        "--task",
        tmp_path / "colours",
        "--config",
        tmp_path / "s.yaml",
    ]
    assert call(*words, "--check", folder, "--home", tmp_path / "home") == 0
    shown = capsys.readouterr().out
    assert "[red]<b>" in shown
    assert "kept: the accuracy on the folder changed by " in shown
    assert call("undo", tmp_path / "l", "--yes") == 1  # the first task has no state before it
