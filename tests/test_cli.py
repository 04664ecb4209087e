from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support import write_folder

from gift.cli import main

OPTIONS = {
    "run": "benchmark config data-root generator help home json method model out seed set",
    "demo": "help home json out seed",
    "learn": "config generator help home json method model name set task template test-fraction",
    "predict": "classes help home json no-seen seen top",
    "eval": "benchmark data-root help home json task template test-fraction",
    "synthesize": "batch-size classes generator guidance help images json scheduler seed steps "
    "template",
    "report": "help json out",
    "methods": "help json",
}


def call(*arguments):
    """Run a command; returns its exit status."""
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return exit.value.code or 0


@pytest.fixture
def model(tiny_clip_folder, tiny_pipeline_folder, tmp_path):
    """Options of a new learner with tiny models and few steps."""
    return [
        *("--model", tiny_clip_folder, "--generator", tiny_pipeline_folder),
        *("--home", tmp_path / "home"),
        *("--set", "training.iterations=2", "--set", "training.batch_size=4"),
        *("--set", "synthesis.images=4", "--set", "synthesis.steps=2"),
    ]


@pytest.mark.parametrize("command", OPTIONS)
def test_the_options_are_a_promise(command, capsys):
    assert call(command, "--help") == 0
    shown = capsys.readouterr().out
    words = {word.strip(",.[]()").removeprefix("--") for word in shown.split() if word[:2] == "--"}
    for option in OPTIONS[command].split():
        if option not in {"benchmark"} or command != "run":
            assert option in words, f"{command} --{option}"


def test_help_imports_nothing_heavy():
    code = (
        "import sys, gift.cli\n"
        "try:\n    gift.cli.main(['run', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'transformers', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_learn_predict_eval_with_json(model, tmp_path, capsys):
    folder = write_folder(tmp_path / "colours")
    assert call("learn", tmp_path / "mine", "--task", folder, *model, "--json") == 0
    learned = json.loads(capsys.readouterr().out)
    assert learned["tasks"] == ["colours"]

    image = folder / "red" / "0.png"
    home = ("--home", tmp_path / "home")
    assert call("predict", tmp_path / "mine", image, *home, "--json") == 0
    assert set(json.loads(capsys.readouterr().out)[str(image)]) == {"red", "green"}

    assert call("eval", tmp_path / "mine", "--task", folder, *home, "--json") == 0
    measured = json.loads(capsys.readouterr().out)["accuracy"]["colours"]
    assert measured == learned["accuracy"]["colours, after"]


def test_the_same_in_words(model, tmp_path, capsys):
    folder = write_folder(tmp_path / "colours")
    assert call("learn", tmp_path / "mine", "--task", folder, *model) == 0
    assert "Plain model:" in capsys.readouterr().out
    home = ("--home", tmp_path / "home")
    image = folder / "red" / "0.png"
    assert call("predict", tmp_path / "mine", image, "--classes", "cat, dog", *home) == 0
    shown = capsys.readouterr().out
    assert "cat" in shown
    assert "red" not in shown.removeprefix(str(image))


def test_synthesize_paints_and_goes_on(tiny_pipeline_folder, tmp_path, capsys):
    arguments = [
        *("synthesize", tmp_path / "sets", "--classes", "cat,dog"),
        *("--generator", tiny_pipeline_folder, "--steps", 2, "--json"),
    ]
    assert call(*arguments, "--images", 3) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["images"] == 3
    assert call(*arguments, "--images", 5) == 0
    second = json.loads(capsys.readouterr().out)
    assert second == {"folder": first["folder"], "images": 5}


def test_methods_lists_settings(capsys):
    assert call("methods", "--json") == 0
    methods = json.loads(capsys.readouterr().out)
    assert methods["gift"]["settings"]["penalty_weight"]["default"] == 1.0
    assert methods["gift"]["streams"] == ["synthetic"]


def _empty_class(tmp_path):
    (write_folder(tmp_path / "task") / "empty").mkdir()
    return ["learn", tmp_path / "x", "--task", tmp_path / "task"]


def _bad_image(tmp_path):
    (write_folder(tmp_path / "task") / "red" / "0.png").write_bytes(b"nothing")
    return ["learn", tmp_path / "x", "--task", tmp_path / "task", "--method", "finetune"]


WRONG = {
    "empty class folder": (_empty_class, "task/empty holds no images"),
    "unreadable image": (_bad_image, "red/0.png"),
    "no such folder": (lambda p: ["learn", p / "x", "--task", p / "none"], "none"),
    "repeated class name": (
        lambda p: ["learn", p / "x", "--task", write_folder(p / "t", ("a b", "a_b"))],
        "'a b'",
    ),
    "template without a place": (
        lambda p: ["learn", p / "x", "--task", write_folder(p / "t"), "--template", "a photo"],
        "'a photo' has no '{}'",
    ),
    "unknown method": (
        lambda p: ["run", "micro-1", "--method", "gifft", "--out", p / "x"],
        "Did you mean 'gift'",
    ),
    "unknown benchmark": (lambda p: ["run", "mikro-1", "--out", p / "x"], "Did you mean 'micro-1'"),
    "unknown setting": (
        lambda p: ["run", "micro-1", "--set", "training.iteration=3", "--out", p / "x"],
        "Did you mean 'iterations'",
    ),
    "folder that cannot be written": (
        lambda p: ["run", "micro-1", "--out", write_folder(p / "t") / "red" / "0.png" / "x"],
        "cannot write to",
    ),
    "no learner": (lambda p: ["predict", p, p / "x.png"], "holds no learner"),
    "no run": (lambda p: ["report", p], "matrix.json"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gets_one_readable_message(case, model, tmp_path, capsys):
    make, message = WRONG[case]
    arguments = make(tmp_path)
    if arguments[0] == "learn":
        method = arguments[arguments.index("--method") :] if "--method" in arguments else []
        arguments = [*arguments[: len(arguments) - len(method)], *model, *method]
    assert call(*arguments) == 1
    output = capsys.readouterr()
    assert message in output.err
    assert "Traceback" not in output.err
    assert output.out == ""


def test_a_model_that_has_not_two_towers_is_refused(tmp_path, capsys):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    task = write_folder(tmp_path / "task")
    assert call("learn", tmp_path / "x", "--task", task, "--model", tmp_path / "bert") == 1
    assert "'bert'" in capsys.readouterr().err


def test_an_unknown_option_names_the_nearest(capsys):
    assert call("run", "micro-1", "--sede", "3") == 2
    assert "--seed" in capsys.readouterr().err


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="holds no learner"):
        main(["--debug", "predict", str(tmp_path), "x.png"])


def test_a_failed_command_leaves_finished_tasks_alone(model, tmp_path, capsys):
    folder = write_folder(tmp_path / "colours")
    assert call("learn", tmp_path / "mine", "--task", folder, *model) == 0
    before = (tmp_path / "mine" / "learner" / "memory.json").read_text()
    assert call("learn", tmp_path / "mine", "--task", folder, "--home", tmp_path / "home") == 1
    assert "already learned" in capsys.readouterr().err
    assert (tmp_path / "mine" / "learner" / "memory.json").read_text() == before
