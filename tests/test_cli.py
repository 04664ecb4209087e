from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from made_results import make_result
from support import write_folder

from gift.cli import main, make_app

COMMON = {"help", "json", "quiet", "verbose", "log-file", "debug"}
OPTIONS = {
    "run": "config data-root device dry-run generator home method model on-nonfinite out "
    "precision seed set track yes",
    "demo": "home out seed",
    "learn": "check columns config data-root device dry-run follow-links generator home into "
    "method model name nested on-bad-image on-nonfinite precision recipe rename set "
    "task template test-fraction track validation-fraction yes",
    "predict": "batch-size classes device fast-decode home list no-seen output seen task threshold "
    "top workers",
    "eval": "benchmark calibrate columns coverage data-root device follow-links home nested "
    "on-bad-image precision rename task template test-fraction",
    "info": "",
    "undo": "yes",
    "export": "format home task",
    "import": "config tokenizer",
    "synthesize": "batch-size classes device dry-run dtype generator guidance images "
    "no-safety-checker revision scheduler seed size steps template yes",
    "report": "embedding home on-bad-image out sessions task test-fraction",
    "experiment": "backend benchmark cluster data-root dry-run home jobs keep list out print "
    "redraw rows seed seeds set table-only track",
    "search": "data-root dry-run home jobs method out set space trials",
    "methods": "",
    "settings": "",
    "data list": "",
    "data check": "data-root decode home no-decode set",
    "data prepare": "data-root home model set",
    "data cache list": "home",
    "data cache clear": "home yes",
    "micro build": "seed",
    "micro generator": "home seed",
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


def test_every_command_has_its_options_promised():
    named = {command.name for command in make_app().registered_commands}
    assert named == {command for command in OPTIONS if " " not in command}


@pytest.mark.parametrize("command", OPTIONS)
def test_the_options_are_a_promise(command, capsys):
    assert call(*command.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert set(re.findall(r"--([a-z-]+)", shown.partition("Options:")[2])) >= COMMON
    lines = [line for line in shown.splitlines() if line.startswith("  -")]
    found = {option for line in lines for option in re.findall(r"--([a-z-]+)", line[:28])}
    assert found - COMMON == set(OPTIONS[command].split())


@pytest.mark.parametrize("command", ["run", "experiment"])
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys, gift.cli\n"
        f"try:\n    gift.cli.main(['{command}', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'transformers', 'numpy', 'PIL', 'joblib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_task_that_is_not_there_is_refused_before_heavy_imports():
    code = (
        "import sys, gift.cli\n"
        "for line in (['learn', 'x', '--task', 'nowhere'], ['eval', 'x', '--task', 'nowhere'],\n"
        "             ['run', 'nowhere'], ['synthesize', 'x', '--classes', 'nowhere.txt'],\n"
        "             ['learn', 'x', '--task', '.', '--config', 'nowhere.yaml'],\n"
        "             ['predict', 'x', 'y', '--classes', 'nowhere.txt']):\n"
        "    try:\n        gift.cli.main(line)\n    except SystemExit as end:\n"
        "        assert end.code == 1\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.count("nowhere") >= 5


def test_what_a_terminal_cannot_show_is_spelled_out():
    code = (
        "import gift.cli\n"
        "try:\n    gift.cli.main(['--help'])\nexcept SystemExit:\n"
        "    gift.cli.show.print_text('a \u2713')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert b"a \\u2713" in done.stdout


def test_a_home_directory_is_found_behind_an_option(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert call("learn", tmp_path / "x", "--task=~/nowhere") == 1
    assert f"{tmp_path}/nowhere is not a folder" in capsys.readouterr().err


def test_learn_predict_eval_with_json(model, tmp_path, capsys):
    folder = write_folder(tmp_path / "colours")
    assert call("learn", tmp_path / "mine", "--task", folder, *model, "--json") == 0
    learned = json.loads(capsys.readouterr().out)
    assert learned["tasks"] == ["colours"]

    image = folder / "red" / "0.png"
    home = ("--home", tmp_path / "home")
    assert call("predict", tmp_path / "mine", image, *home, "--json") == 0
    assert set(json.loads(capsys.readouterr().out)[str(image)]) == {"red", "green"}
    bad = tmp_path / "missing.png"
    assert call("predict", tmp_path / "mine", bad, image, *home, "--json") == 1
    out, err = capsys.readouterr()
    assert [json.loads(out)[str(bad)], set(json.loads(out)[str(image)])] == [None, {"red", "green"}]
    assert "missing.png cannot be read" in err

    assert call("eval", tmp_path / "mine", "--task", folder, *home, "--json") == 0
    measured = json.loads(capsys.readouterr().out)["accuracy"]
    assert measured == learned["accuracy"][2:]
    said = [(one["task"], one["among"], one["images"], one["model"]) for one in measured]
    assert said == [("colours", a, "training", "gift after colours") for a in ("task", "seen")]


def test_the_same_in_words(model, tmp_path, capsys):
    folder = write_folder(tmp_path / "colours")
    assert call("learn", tmp_path / "mine", "--task", folder, *model) == 0
    shown = capsys.readouterr().out
    for words in ("the task's own classes", "all classes seen", "training", "gift before any task"):
        assert words in shown
    assert "model (the model after the last task)" in shown
    home = ("--home", tmp_path / "home")
    image = folder / "red" / "0.png"
    assert call("predict", tmp_path / "mine", image, "--classes", "cat, dog", *home) == 0
    shown = capsys.readouterr().out
    assert "cat" in shown
    assert "red" not in shown.removeprefix(str(image))


@pytest.mark.slow
def test_a_run_and_its_report(tmp_path, capsys):
    """Two tasks of the micro benchmark with the shipped models, few steps and images."""
    settings = {
        "tasks": "[micro-eurosat,micro-mnist]",
        "training.iterations": 4,
        "training.warmup": 1,
        "synthesis.images": 10,
        "synthesis.steps": 3,
    }
    overrides = [text for k, v in settings.items() for text in ("--set", f"{k}={v}")]
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
    own = tmp_path / "two.yaml"
    own.write_text("{name: two, tasks: [micro-eurosat, micro-mnist]}\n")
    assert call("eval", tmp_path / "gift", "--benchmark", own, *home, "--json") == 0
    accuracy = json.loads(capsys.readouterr().out)["accuracy"]
    assert [one["task"] for one in accuracy] == ["micro-eurosat", "micro-mnist"]
    last = sum(one["value"] for one in accuracy) / 2
    assert last == pytest.approx(summary["last"], abs=1e-3)


@pytest.mark.slow
def test_the_demo_in_small(tmp_path, capsys, monkeypatch):
    small = {
        "tasks": ["micro-eurosat", "micro-mnist"],
        "training": {"iterations": 3, "warmup": 1},
        "synthesis": {"images": 6, "steps": 2},
    }
    monkeypatch.setattr("gift_micro.demo.SETTINGS", small)
    assert call("demo", "--out", tmp_path / "demo", "--home", tmp_path / "home") == 0
    shown = capsys.readouterr()
    for text in ("zero-shot", "finetune", "gift", "Transfer", "Try next"):
        assert text in shown.out
    assert "methods: 2 of 2" in shown.err
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
    assert "run the same command again to resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "method", "seed"),
    [
        ([], "l2", 4),
        (["--seed", "5"], "l2", 5),
        (["--seed", "5", "--set", "seed=6", "--set", "method=finetune"], "finetune", 6),
    ],
)
def test_options_win_over_the_file_and_set_wins_over_all(
    options, method, seed, tmp_path, capsys, monkeypatch
):
    (tmp_path / "c.yaml").write_text("seed: 4\nmethod: l2\n")
    monkeypatch.chdir(tmp_path)
    # the model is refused before any work, but after the settings are resolved and stored
    arguments = ["--config", "c.yaml", *options, "--model", tmp_path, "--home", tmp_path / "home"]
    assert call("run", "micro-1", *arguments) == 1
    (folder,) = (tmp_path / "runs" / "micro-1").iterdir()
    assert re.fullmatch(rf"{method}-[0-9a-f]{{8}}-seed{seed}", folder.name)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["method"], config["seed"]) == (method, seed)


def test_experiments_are_listed(capsys):
    assert call("experiment") == 0
    shown = capsys.readouterr().out
    assert "Components of GIFT" in shown
    assert call("experiment", "--list", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["table3"]["rows"]) == 8


def test_an_experiment_shows_what_is_there(tmp_path, capsys):
    make_result(tmp_path, "micro-1")
    arguments = ["experiment", "table6", "--benchmark", "micro-1", "--table-only"]
    arguments += ["--out", tmp_path, "--rows", "AWC (GIFT)", "--seed", "0", "--seed", "5"]
    assert call(*arguments, "--keep", tmp_path / "kept") == 0
    shown = capsys.readouterr().out
    for text in ("AWC (GIFT)", "1 of 2", "77.3", "seeds 0, 5", "MTIL order I"):
        assert text in shown
    assert (tmp_path / "kept" / "micro-1" / "gift-seed0" / "matrix.json").is_file()
    assert call(*arguments, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rows"][0]["seeds"] == [0]
    assert Path(result["files"][0]).is_file()


def test_missing_runs_are_printed_as_commands(tmp_path, capsys):
    make_result(tmp_path, "micro-1")
    arguments = ["experiment", "table6", "--benchmark", "micro-1", "--out", tmp_path, "--print"]
    assert call(*arguments, "--home", tmp_path / "my home") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("gift run micro-1 --method ewc_v --seed 0") for line in lines] == [
        True
    ] * 3
    assert "--set method_settings.fisher_images=64" in lines[0]
    assert lines[0].endswith(f"--home '{tmp_path / 'my home'}'")
    assert call(*arguments, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["commands"]) == 3


def test_a_failed_row_makes_the_status_of_an_experiment(tmp_path, capsys, monkeypatch):
    def fail(config, *_, **__):
        raise RuntimeError(f"seed {config.seed} fails")

    monkeypatch.setattr("gift.studies.work.run", fail)
    arguments = ["experiment", "table6", "--benchmark", "micro-1", "--out", tmp_path]
    assert call(*arguments, "--rows", "AWC (GIFT)", "--seeds", "2") == 1
    shown = capsys.readouterr()
    assert "gift-seed0: RuntimeError: seed 0 fails" in shown.err
    assert "gift-seed1: RuntimeError: seed 1 fails" in shown.err
    assert "2 of 2 runs are missing" in shown.out
    assert "runs: 2 of 2" in shown.err


def test_a_search_from_the_command_line(tmp_path, capsys, monkeypatch):
    asked = {}

    def search(benchmark, method, **more):
        asked.update(more, benchmark=benchmark, method=method)
        rows = [
            {"values": {"a.b": 1}, "transfer": None, "avg": 50.0, "last": 60.0},
            {"values": {"a.b": 2}, "transfer": 1.0, "avg": 70.0, "last": 80.0},
            {"values": {"a.b": 3}, "failure": "not finite"},
        ]
        return {"rows": rows, "best": rows[1], "criterion": "Avg. on validation images"}

    monkeypatch.setattr("gift.studies.search", search)
    arguments = ["search", "micro-1", "--method", "l2", "--trials", 3, "--space", "a.b=1,2,3"]
    assert call(*arguments, "--space", "a.c=1..2", "--set", "seed=4", "--out", tmp_path) == 0
    shown = capsys.readouterr().out
    assert shown.index("70.0") < shown.index("50.0")
    assert "2 trials, 1 failed" in shown
    assert asked["space"]["a.b"] == [1, 2, 3]
    assert asked["settings"] == {"seed": 4}
    assert (asked["method"], asked["trials"], asked["jobs"]) == ("l2", 3, 1)
    assert call(*arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out)["best"]["avg"] == 70.0


def test_a_search_takes_the_values_that_the_recipe_proposes(tmp_path, capsys, monkeypatch):
    asked = {}

    def search(*_, space, **__):
        asked.update(space)
        return {"rows": [], "best": None, "criterion": "Avg. on validation images"}

    monkeypatch.setattr("gift.studies.search", search)
    monkeypatch.setattr("gift.settings.read_recipe", lambda name: {"search": {"a.b": [1, 2]}})
    assert call("search", "micro-1", "--trials", 1) == 0
    assert asked == {"a.b": [1, 2]}


def test_synthesize_generates_and_resumes(tiny_pipeline_folder, tmp_path, capsys):
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


def test_settings_of_generation_reach_the_pipeline(tiny_pipeline_folder, tmp_path, capsys):
    arguments = ["--classes", "cat,dog", "--generator", tiny_pipeline_folder, "--steps", 2]
    changed = ["--size", 24, "--dtype", "bfloat16", "--no-safety-checker"]
    assert call("synthesize", tmp_path, *arguments, *changed, "--images", 2) == 0
    (description,) = tmp_path.glob("*/set.json")
    identity = json.loads(description.read_text())["generator"]
    assert {"size": 24, "dtype": "bfloat16", "safety_checker": False}.items() <= identity.items()
    assert call("synthesize", tmp_path, *arguments, "--size", 20) == 1
    assert "size = 20 is not allowed" in capsys.readouterr().err


def test_data_sets_and_benchmarks_are_listed(capsys):
    assert call("data", "list") == 0
    shown = capsys.readouterr().out
    assert "stanfordcars" in shown
    assert "mtil-1-fewshot" in shown
    assert call("data", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["datasets"]["dtd"]["counts"]["test"] == 1880


def test_a_check_says_what_is_missing_and_what_to_do(tmp_path, capsys):
    arguments = ("data", "check", "mtil-1", "--data-root", tmp_path, "--home", tmp_path / "home")
    assert call(*arguments) == 1
    shown = capsys.readouterr().out
    assert "11 of 11 data sets are missing or wrong" in shown
    assert "Unpack dtd-r1.0.1.tar.gz" in shown
    assert call(*arguments, "--json") == 1
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert len(result["data_sets"]) == 11


def test_a_check_passes_where_a_run_can_start(tmp_path, capsys):
    write_folder(tmp_path / "data" / "mine" / "train")
    write_folder(tmp_path / "data" / "mine" / "test", seed=1)
    (tmp_path / "b.yaml").write_text(
        f"name: b\ntasks:\n- name: mine\n  source: {{path: {tmp_path}/data/mine}}\n"
    )
    home = ("--home", tmp_path / "home")
    assert call("data", "check", tmp_path / "b.yaml", "micro-dtd", *home) == 0
    shown = capsys.readouterr().out
    assert "made by the first run" in shown
    assert "A run can start" in shown
    (tmp_path / "data" / "mine" / "train" / "red" / "0.png").write_bytes(b"nothing")
    assert call("data", "check", tmp_path / "b.yaml", *home) == 1
    assert "0.png" in capsys.readouterr().out


def test_a_class_incremental_benchmark_is_checked_as_one_data_set(tmp_path, capsys):
    assert call("data", "check", "cifar100-50", "--data-root", tmp_path, "--json") == 1
    (finding,) = json.loads(capsys.readouterr().out)["data_sets"]
    assert finding["name"] == "cifar100"


def test_methods_explains_the_settings_of_one(capsys):
    assert call("methods", "gift") == 0
    text = capsys.readouterr().out
    assert "divergence" in text
    assert "same gradient" in text
    assert call("methods", "zero_shot") == 0
    assert "no settings" in capsys.readouterr().out


def test_an_unknown_method_is_refused_with_the_nearest(capsys):
    assert call("methods", "gft") == 1
    assert "Did you mean 'gift'" in capsys.readouterr().err


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
        "Did you mean 'training.iterations'",
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
        lambda p: [
            *("run", "micro-1", "--set", "training.shard=true", "--set", "training.compile=true"),
            *("--out", p / "x"),
        ],
        "training.compile = true does not go with training.shard = true",
    ),
    "rate of a task that is none": (
        lambda p: [
            "run",
            "micro-1",
            "--set",
            "training.learning_rates.micro-mnst=1",
            "--out",
            p / "x",
        ],
        "training.learning_rates: unknown task 'micro-mnst'. Did you mean 'micro-mnist'",
    ),
    "negative rate of a task": (
        lambda p: [
            *("run", "micro-1", "--set", "training.learning_rates.micro-mnist=-1e-5"),
            *("--out", p / "x"),
        ],
        "training.learning_rates.micro-mnist",
    ),
    "setting of a section": (
        lambda p: ["run", "micro-1", "--set", "iterations=3", "--out", p / "x"],
        "Did you mean 'training.iterations'",
    ),
    "class list that is not there": (
        lambda p: ["synthesize", p / "x", "--classes", p / "names.txt"],
        "names.txt does not exist",
    ),
    "folder in place of a class list": (
        lambda p: ["synthesize", p / "x", "--classes", p],
        "is a folder",
    ),
    "learner in its task": (
        lambda p: ["learn", write_folder(p / "t"), "--task", p / "t"],
        "would lie among the images in",
    ),
    "run in a data set": (
        lambda p: ["run", "micro-1", "--out", write_folder(p / "t")],
        "among the images",
    ),
    "one class and nothing else": (
        lambda p: ["learn", p / "x", "--task", write_folder(p / "t", ("red",))],
        "has one class, 'red', and nothing to tell it from",
    ),
    "base template without a place": (
        lambda p: ["run", "micro-1", "--set", "synthesis.base_template=photo", "--out", p / "x"],
        "no '{}'",
    ),
    "unknown experiment": (lambda p: ["experiment", "table33"], "Did you mean 'table3'"),
    "seeds in two ways": (
        lambda p: ["experiment", "table3", "--seeds", "3", "--seed", "7"],
        "give it or --seed, not both",
    ),
    "a seed among the settings": (
        lambda p: ["experiment", "table3", "--benchmark", "micro-1", "--set", "seed=3"],
        "choose seeds with --seeds or --seed",
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


def test_output_that_nobody_reads_ends_quietly():
    words = [sys.executable, "-m", "gift", "experiment", "--list", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
