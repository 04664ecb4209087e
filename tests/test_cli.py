from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from support import write_folder

from gift.cli import main

COMMON = {"help", "json"}
OPTIONS = {
    "run": "config data-root generator home method model out seed set",
    "demo": "home out seed",
    "learn": "config generator home method model name recipe set task template test-fraction",
    "predict": "classes home no-seen seen top",
    "eval": "benchmark data-root home task template test-fraction",
    "synthesize": "batch-size classes generator guidance images scheduler seed steps template",
    "report": "out",
    "methods": "",
    "micro build": "seed",
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
        *("--set", "training.warmup=1"),
        *("--set", "synthesis.images=4", "--set", "synthesis.steps=2"),
    ]


@pytest.mark.parametrize("command", OPTIONS)
def test_the_options_are_a_promise(command, capsys):
    assert call(*command.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert set(re.findall(r"--([a-z-]+)", shown.partition("Options:")[2])) >= COMMON
    lines = [line for line in shown.splitlines() if line.startswith("  --")]
    found = {option for line in lines for option in re.findall(r"--([a-z-]+)", line[:28])}
    assert found - COMMON == set(OPTIONS[command].split())


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


@pytest.mark.slow
def test_a_run_and_its_report(tmp_path, capsys):
    """Two tasks of the tiny world with the shipped models, few steps and images."""
    settings = {
        "tasks": "[micro-eurosat,micro-mnist]",
        "training.iterations": 4,
        "training.warmup": 1,
        "synthesis.images": 10,
        "synthesis.steps": 3,
    }
    overrides = [word for k, v in settings.items() for word in ("--set", f"{k}={v}")]
    home = ("--home", tmp_path / "home")
    run = ["run", "micro-1", "--method", "gift", "--out", tmp_path / "gift", *home, *overrides]
    assert call(*run, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["method"] == "gift"
    assert call(*run) == 0
    assert "Transfer" in capsys.readouterr().out
    assert call("report", tmp_path / "gift", "--out", tmp_path / "page", "--json") == 0
    page = tmp_path / "page" / "report.html"
    assert json.loads(capsys.readouterr().out) == {"page": str(page)}
    assert "micro-mnist" in page.read_text()
    measured = ["eval", tmp_path / "gift", "--benchmark", "micro-1", *home, "--json"]
    assert call(*measured) == 0
    accuracy = json.loads(capsys.readouterr().out)["accuracy"]
    assert len(accuracy) == 11
    last = (accuracy["micro-eurosat"] + accuracy["micro-mnist"]) / 2
    assert last == pytest.approx(summary["last"], abs=1e-3)


@pytest.mark.slow
def test_the_demo_in_small(tmp_path, capsys, monkeypatch):
    small = {
        "tasks": ["micro-eurosat", "micro-mnist"],
        "training": {"iterations": 3, "warmup": 1},
        "synthesis": {"images": 6, "steps": 2},
    }
    monkeypatch.setattr("gift.experiment.DEMO", small)
    assert call("demo", "--out", tmp_path / "demo", "--home", tmp_path / "home") == 0
    shown = capsys.readouterr()
    for word in ("zero-shot", "finetune", "gift", "Transfer", "Try next"):
        assert word in shown.out
    assert "demo: 4 of 4" in shown.err
    assert (tmp_path / "demo" / "report" / "report.html").is_file()


def test_many_class_names_are_no_file(tiny_pipeline_folder, tmp_path, capsys):
    names = ",".join(f"thing {number}" for number in range(60))
    arguments = ["--generator", tiny_pipeline_folder, "--steps", 1, "--images", 1, "--json"]
    assert call("synthesize", tmp_path, "--classes", names, *arguments) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1


def test_an_unforeseen_error_is_readable_too(monkeypatch, tmp_path, capsys):
    def fail(*_, **__):
        raise RuntimeError("out of something [/b]")

    monkeypatch.setattr("gift.Learner.load", fail)
    assert call("predict", tmp_path, tmp_path / "x.png") == 1
    shown = capsys.readouterr().err
    assert "RuntimeError: out of something [/b]" in shown
    assert "--debug" in shown


def test_a_stopped_command_says_what_is_kept(monkeypatch, tmp_path, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gift.Learner.load", stop)
    assert call("predict", tmp_path, tmp_path / "x.png") == 130
    assert "run the same command again to go on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ([], "l2-seed4"),
        (["--seed", "5"], "l2-seed5"),
        (["--seed", "5", "--set", "seed=6", "--set", "method=finetune"], "finetune-seed6"),
    ],
)
def test_options_win_over_the_file_and_set_wins_over_all(
    options, folder, tmp_path, capsys, monkeypatch
):
    (tmp_path / "c.yaml").write_text("seed: 4\nmethod: l2\n")
    monkeypatch.chdir(tmp_path)
    # the model is refused before any work, but after the settings are resolved and stored
    arguments = ["--config", "c.yaml", *options, "--model", tmp_path, "--home", tmp_path / "home"]
    assert call("run", "micro-1", *arguments) == 1
    assert (tmp_path / "runs" / "micro-1" / folder / "config.yaml").is_file()


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


def _bad_images(tmp_path):
    for part in ("train", "test"):
        write_folder(tmp_path / "task" / part)
        (tmp_path / "task" / part / "red" / "0.png").write_bytes(b"nothing")
    return ["learn", tmp_path / "x", "--task", tmp_path / "task", "--method", "finetune"]


WRONG = {
    "empty class folder": (_empty_class, "task/empty holds no images"),
    "unreadable images": (_bad_images, "2 unreadable images"),
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
        "cannot be written",
    ),
    "value that is not YAML": (
        lambda p: ["run", "micro-1", "--set", "tasks=[a", "--out", p / "x"],
        "not valid YAML",
    ),
    "settings that contradict each other": (
        lambda p: ["run", "micro-1", "--set", "training.warmup=60", "--out", p / "x"],
        "training.warmup = 60 must be smaller than training.iterations = 60",
    ),
    "base template without a place": (
        lambda p: ["run", "micro-1", "--set", "synthesis.base_template=photo", "--out", p / "x"],
        "no '{}'",
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
    assert not (tmp_path / "home" / "data").exists()


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
